"""The terminal program driven as a person drives it: keys in, what stands on the screen out."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from textual.pilot import Pilot

from a5ctl.commands.ui import forms
from a5ctl.tui.app import HouseApp
from a5ctl.tui.desk import Desk
from core.registry.store import open_registry
from core.workspace import open_workspace

SMALL, LARGE = (80, 24), (200, 60)
PATIENCE_S = 60.0


class Person:
    """Somebody in front of the screen."""

    def __init__(self, pilot: Pilot[None], app: HouseApp) -> None:
        self._pilot = pilot
        self.app = app

    @property
    def lines(self) -> list[str]:
        """What stands on the screen, without trailing blanks."""
        strips = self.app.screen._compositor.render_strips()
        return ["".join(segment.text for segment in strip).rstrip() for strip in strips]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def line(self, part: str) -> str:
        """The one line that holds a text."""
        (found,) = [line for line in self.lines if part in line]
        return found

    async def press(self, *keys: str) -> None:
        await self._pilot.press(*keys)

    async def type(self, text: str) -> None:
        names = {" ": "space", "=": "equals_sign", ">": "greater_than_sign", ".": "full_stop"}
        names |= {"+": "plus", "-": "minus"}
        await self._pilot.press(*(names.get(char, char) for char in text))

    async def sees(self, *wanted: str) -> None:
        """Wait until all of it stands on the screen."""
        await self.until(lambda: all(part in self.text for part in wanted), str(wanted))

    async def hears(self, wanted: str) -> None:
        """Wait until a message says it."""
        told = self.app._notifications
        await self.until(lambda: any(wanted in one.message for one in told), wanted)

    async def misses(self, unwanted: str) -> None:
        """Wait until it does not stand there any more."""
        await self.until(lambda: unwanted not in self.text, f"no {unwanted}")

    async def until(self, condition: Callable[[], bool], what: str = "it") -> None:
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, f"{what} never came:\n{self.text}"
            await asyncio.sleep(0.04)


def sit_down(
    home: Path, play: Callable[[Person], Awaitable[None]], size: tuple[int, int] = SMALL
) -> None:
    """Open the program on a workspace and do something with it."""

    async def run() -> None:
        workspace = open_workspace(home)
        registry = open_registry(workspace.registry_url(), create=False)
        desk = Desk(workspace, registry)
        app = HouseApp(desk, forms())
        try:
            async with app.run_test(size=size, notifications=True) as pilot:
                person = Person(pilot, app)
                await person.until(lambda: app.runs.is_mounted and "reading" not in person.text)
                await play(person)
        finally:
            desk.close()

    asyncio.run(run())
