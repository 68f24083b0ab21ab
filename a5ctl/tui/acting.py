"""Keys that do something to runs, the same on every screen that has chosen some."""

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from a5ctl.tui.house import HouseScreen

if TYPE_CHECKING:
    from core.registry.records import RunRecord


class ActingScreen(HouseScreen):
    """A screen of runs that can be stopped, resumed and labelled."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("u", "resume", "Resume", show=False),
        Binding("t", "tag", "Tag", show=False),
        Binding("e", "note", "Edit the note", show=False),
        Binding("z", "archive", "Archive or bring back", show=False),
    ]

    @property
    @abstractmethod
    def chosen_runs(self) -> "list[RunRecord]":
        """What the keys work on."""

    def action_stop(self) -> None:
        """Stop the run, after asking."""
        self.house.actions_on.stop(self.chosen_runs)

    def action_resume(self) -> None:
        """Go on with the run."""
        self.house.actions_on.resume(self.chosen_runs)

    def action_tag(self) -> None:
        """Put tags on, and take them off."""
        self.house.actions_on.tag(self.chosen_runs)

    def action_note(self) -> None:
        """Write the note."""
        self.house.actions_on.note(self.chosen_runs)

    def action_archive(self) -> None:
        """Into the archive, or out of it."""
        self.house.actions_on.archive(self.chosen_runs)
