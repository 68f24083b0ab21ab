"""What can be done to runs from a screen; nothing here ever makes the screen wait."""

import os
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from a5ctl.tui.dialogs import AskLongText, AskText, Confirm
from a5ctl.tui.house import in_background
from a5ctl.tui.log_screen import LogScreen
from a5ctl.tui.start_command import shown_command
from a5ctl.tui.start_form import StartForm
from a5ctl.tui.started import Started, start
from core.errors import UserError
from core.registry.liveness import display_status
from core.registry.processes import ProcessState, host_name, process_state
from core.registry.records import RunRecord

if TYPE_CHECKING:
    from a5ctl.tui.app import HouseApp
    from core.registry.labels import Labels

_MOST_NAMED = 3


class Actions:
    """Starts, stops, resumes and labels runs.

    Args:
        house: The program; its screens show the questions and the outcomes.
    """

    def __init__(self, house: "HouseApp") -> None:
        self._house = house
        self._started: list[Started] = []
        self._last: Started | None = None

    def start(self) -> None:
        """Ask for a run and start it."""
        entries = self._house.runs.model.entries.values()
        groups = list(dict.fromkeys(entry.run.group for entry in entries if entry.run.group))
        runs = [entry.run.id for entry in entries]
        form = StartForm(self._house.forms, str(self._house.desk.workspace.root), runs, groups)
        self._house.push_screen(form, self._start)

    def _start(self, arguments: list[str] | None) -> None:
        if arguments is not None:
            self._launch(arguments, " ".join(arguments[:2]))

    def resume(self, runs: Sequence[RunRecord]) -> None:
        """Go on with runs that did not finish."""
        for run in runs:
            status = display_status(run)
            if status in ("finished", "running", "queued"):
                self._house.tell(f"run {run.id} is {status}; there is nothing to resume", "warning")
            else:
                self._launch(["resume", run.id], f"resume {run.id}")

    def stop(self, runs: Sequence[RunRecord]) -> None:
        """Ask, then send the processes of runs the signal of Ctrl-C."""
        able = [run for run in runs if self._can_stop(run)]
        if able:
            question = (
                f"Stop {_named(able)}?\n\nThe update that is under way is finished and saved; "
                "u goes on with it later."
            )
            self._house.push_screen(Confirm(question, "Stop"), partial(self._stop, able))

    def tag(self, runs: Sequence[RunRecord]) -> None:
        """Ask for tags to put on and to take off."""
        from core.registry.labels import add_and_drop, checked_tag

        def split(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
            try:
                words = shlex.split(text)
            except ValueError as error:
                raise UserError("there is an open quote; close it") from error
            drop = tuple(checked_tag(word[1:]) for word in words if word.startswith("-"))
            add = tuple(checked_tag(word.lstrip("+")) for word in words if word[0] != "-")
            return add, drop

        def answered(text: str | None) -> None:
            if text is not None and text.strip():
                add, drop = split(text)
                self._relabel(runs, lambda labels: add_and_drop(labels, add, drop), "tagged")

        if runs:
            now = ", ".join(runs[0].tags) if len(runs) == 1 else ""
            hint = f"good -draft puts one on and takes one off. Now: {now or 'none'}"
            question = AskText(f"Tags of {_named(runs)}", hint=hint, check=split)
            self._house.push_screen(question, answered)

    def note(self, runs: Sequence[RunRecord]) -> None:
        """Ask for the note of a run."""
        from core.registry.labels import checked_note

        def answered(text: str | None) -> None:
            if text is not None:
                wanted = checked_note(text)
                self._relabel(runs[:1], lambda labels: replace(labels, note=wanted), "noted")

        if len(runs) > 1:
            self._house.tell("a note belongs to one run; take the marks off with esc", "warning")
        elif runs:
            question = AskLongText(f"Note of {runs[0].id}", runs[0].note, check=checked_note)
            self._house.push_screen(question, answered)

    def archive(self, runs: Sequence[RunRecord]) -> None:
        """Put runs into the archive; where all are in it, bring them back."""
        back = all(run.archived for run in runs)
        done = "brought back from the archive" if back else "archived; z brings it back"

        def go(agreed: bool | None = True) -> None:
            if agreed:
                self._relabel(runs, lambda labels: replace(labels, archived=not back), done)

        if len(runs) > 1:
            verb = "Bring back" if back else "Archive"
            self._house.push_screen(Confirm(f"{verb} {_named(runs)}?", verb), go)
        elif runs:
            go()

    def show_log(self) -> None:
        """What the program that was started last prints."""
        if self._last is None:
            self._house.tell("nothing was started from here yet", "warning")
        else:
            self._house.push_screen(LogScreen(self._last.about, self._last.log))

    def look_after_started(self) -> None:
        """Tell of programs that ended."""
        for one in [one for one in self._started if one.process.poll() is not None]:
            self._started.remove(one)
            if one.process.returncode == 0:
                self._house.tell(f"{one.about}: done")
            else:
                text = f"{one.about} ended with {one.process.returncode}: {one.last_words()}"
                self._house.tell(text, "error")

    def _launch(self, arguments: list[str], about: str) -> None:
        desk = self._house.desk

        async def go() -> None:
            try:
                begun = await desk.read(
                    lambda: start(desk.workspace, desk.registry_option, arguments, about)
                )
            except UserError as error:
                self._house.tell(str(error), "error")
                return
            self._started.append(begun)
            self._last = begun
            self._house.tell(f"started: {shown_command(arguments)}; L shows what it prints")

        in_background(self._house, go, "launch")

    def _can_stop(self, run: RunRecord) -> bool:
        """Whether the run's process is here; else the person is told why not."""
        status = display_status(run)
        state = process_state(run.host, run.pid, run.process_start)
        reason = ""
        if run.status.settled:
            reason = f"run {run.id} is {status} already"
        elif state is not ProcessState.ALIVE:
            where = f"on {run.host}, and this is {host_name()}" if run.host else "nowhere yet"
            reason = f"run {run.id} is {status}; its process is {where}"
            if run.host == host_name():
                reason = f"run {run.id} is {status}; its process {run.pid} is not to be seen here"
        elif sys.platform == "win32":
            reason = f"press Ctrl-C where run {run.id} was started; Windows has no signal for it"
        if reason:
            self._house.tell(reason, "warning")
        return not reason

    def _stop(self, runs: Sequence[RunRecord], agreed: bool | None) -> None:
        for run in runs if agreed else ():
            try:
                # it may have ended while the question stood there, and its number be another's
                if process_state(run.host, run.pid, run.process_start) is ProcessState.ALIVE:
                    os.kill(run.pid or 0, signal.SIGINT)
                    self._house.tell(f"asked run {run.id} to stop")
                else:
                    self._house.tell(f"run {run.id} ended meanwhile")
            except OSError as error:
                text = f"run {run.id} cannot be stopped: {error.strerror or error}"
                self._house.tell(text, "error")

    def _relabel(
        self, runs: Sequence[RunRecord], change: "Callable[[Labels], Labels]", done: str
    ) -> None:
        desk = self._house.desk

        def work() -> None:
            from core.registry.labels import relabel

            for run in runs:
                folder = desk.workspace.run_folder(run.id)
                relabel(desk.registry.database, run, folder, change)

        async def go() -> None:
            try:
                await desk.read(work)
            except UserError as error:
                self._house.tell(str(error), "error")
                return
            self._house.tell(f"{_named(runs)} {done}")
            self._house.look()

        in_background(self._house, go, "labels")


def _named(runs: Sequence[RunRecord]) -> str:
    names = ", ".join(run.id for run in runs[:_MOST_NAMED])
    return names if len(runs) <= _MOST_NAMED else f"{names} and {len(runs) - _MOST_NAMED} more"
