"""Which calls a stop waits for."""

import sys
from collections.abc import Callable
from types import FrameType

import pytest

from core.insistence import undivided


def called_by(*modules: str) -> FrameType:
    """A frame whose callers are functions of these modules, the outermost first."""

    def here() -> FrameType:
        return sys._getframe()

    call: Callable[[], FrameType] = here
    for name in reversed(modules):
        place = {"__name__": name, "inner": call}
        exec("def call():\n    return inner()", place)
        call = place["call"]  # type: ignore[assignment]
    return call()


@pytest.mark.parametrize(
    ("modules", "waits"),
    [
        (("a5ctl.commands.regrade",), False),
        (("a5ctl.commands.regrade", "core.registry.afterwards"), True),
        (("a5ctl.commands.tag", "core.registry.labels", "sqlalchemy.engine"), True),
        (("core.registry.rebuild",), False),
        (("core.registry.rebuild", "core.registry.merge", "json"), False),
        (("core.registry.rebuild", "core.registry.merge", "core.registry.apply"), True),
        (("core.registry.recorder", "core.registry.merge"), True),
        (("core.registry.backup", "sqlite3"), False),
    ],
)
def test_a_stop_waits_for_short_calls_and_not_for_work_of_minutes(
    modules: tuple[str, ...], waits: bool
) -> None:
    assert undivided(called_by(*modules)) is waits
