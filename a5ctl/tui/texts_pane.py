"""Long texts about a run: its settings, and what it was made of."""

from collections.abc import Callable, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any, cast

from rich.text import Text
from textual.containers import VerticalScroll

from a5ctl.console import plain
from a5ctl.format import iso
from a5ctl.tui.house import HouseScreen, Plain, in_background
from a5ctl.tui.looks import styled
from core.config.flat import flatten

if TYPE_CHECKING:
    from core.registry.records import RunRecord
    from core.registry.store import Registry

_LONGEST_VALUE, _LONGEST_DIFF = 2_000, 40_000


class TextsPane(VerticalScroll):
    """A text that is made in a thread and scrolled by keys.

    Args:
        make: Makes it.
    """

    def __init__(self, make: Callable[[], Text]) -> None:
        super().__init__()
        self._make = make

    def on_mount(self) -> None:
        """Make the text."""
        in_background(self, self._read, "texts")

    async def _read(self) -> None:
        text = await cast(HouseScreen, self.screen).ask(self._make)
        # made when its size is known: a text that grows before it was ever drawn may stay small
        await self.mount(Plain(text if text is not None else "it cannot be read"))


def config_text(run: "RunRecord") -> Text:
    """Every setting, by section."""
    text = Text()
    for name, value in (("run folder", run.folder), ("config hash", run.config_hash)):
        text.append_text(_pair(name, value))
    return text.append_text(_sections(flatten(run.config)))


def provenance_text(registry: "Registry", run: "RunRecord") -> Text:
    """What the run was made of; the changes that were not committed come last."""
    provenance = registry.provenance(run.uuid)
    flat = flatten(provenance)
    diff = str(flat.pop("git.diff", "") or "")
    facts = {
        "uuid": run.uuid,
        "host": run.host,
        "pid": run.pid,
        "created": iso(run.created),
        "started": iso(run.started),
        "ended": iso(run.ended),
        "model hash": run.model_hash,
        "data hash": run.data_hash,
        "protocol": run.protocol_hash,
        "parent": run.parent_uuid,
    }
    text = Text()
    for name, value in facts.items():
        if value is not None:
            text.append_text(_pair(name, value))
    text.append_text(_sections(flat))
    if diff:
        text.append("\nuncommitted changes\n", "bold").append_text(plain(diff[:_LONGEST_DIFF]))
    failure = registry.traceback(run.uuid)
    if failure:
        text.append("\ntraceback\n", "bold").append_text(plain(failure))
    return text


def _sections(flat: Mapping[str, Any]) -> Text:
    text = Text()
    ordered = sorted(flat.items(), key=lambda item: ("." in item[0], item[0]))
    for section, pairs in groupby(ordered, key=lambda item: item[0].rpartition(".")[0]):
        text.append_text(plain(f"\n{section}\n" if section else "\n", "bold"))
        for name, value in pairs:
            text.append_text(_pair(name.rpartition(".")[2], value))
    return text


def _pair(name: str, value: Any) -> Text:
    shown = str(value)[:_LONGEST_VALUE]
    return styled((f"  {name} ", "dim"), (f"{shown}\n", ""))
