"""Cells as elements of array jobs: handed in together, followed, and handed in again."""

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from a5ctl.cluster.arrays import Arrays, Wanted
from a5ctl.cluster.batch import BatchError, BatchSystem, Element, Ending, Phase
from a5ctl.cluster.cancelling import cancel
from a5ctl.cluster.harvest import Harvest
from a5ctl.cluster.judging import Over, finished, judge
from a5ctl.cluster.ledger import Ledger, Submission
from a5ctl.cluster.needs import Needs
from a5ctl.cluster.site import Site
from a5ctl.format import counted
from a5ctl.plans.executor import CellCommand, Ended
from core.errors import UserError
from core.plans.cells import Cell
from core.plans.codes import CellExit
from core.whole_files import write_whole

_PAUSE_S = 0.2
_ASK_AGAIN_S = 60.0
# the exit code of a cell may reach this machine later than the word that its job is over
_SETTLE_S = 10.0


@dataclass
class _Followed:
    cell: Cell
    submission: Submission
    index: int
    ended_since: float | None = None
    element: Element | None = None

    @property
    def active(self) -> bool:
        """The batch system says that it waits or runs."""
        return self.element is not None and self.element.phase is not Phase.ENDED


@dataclass
class BatchExecutor:
    """Hands cells in and follows them; they go on where this process ends.

    Attributes:
        system: Where they are handed in.
        site: What it has to be told.
        ledger: What was handed in; open.
        command: How a cell is carried out on a node.
        cells: Every cell of the plan by id, for those that were handed in before.
        title: What the scripts are for.
        harvest: Brings what nodes recorded into the registry; None where they record there.
        tell: Gets a sentence about what happens.
        environment: Variables of the jobs.
        secret_environment: Variables that must not stand in a script.
    """

    system: BatchSystem
    site: Site
    ledger: Ledger
    command: CellCommand
    cells: Mapping[str, Cell]
    title: str
    tell: Callable[[str], None]
    harvest: Harvest | None = None
    environment: dict[str, str] = field(default_factory=dict)
    secret_environment: dict[str, str] = field(default_factory=dict)
    _wanted: list[Wanted] = field(default_factory=list)
    _followed: dict[str, _Followed] = field(default_factory=dict)
    _ended: list[Ended] = field(default_factory=list)
    _asked: float = -_ASK_AGAIN_S
    _silent: bool = False
    _stopped_before: set[str] = field(default_factory=set)
    _counts: str = ""

    @property
    def room(self) -> int:
        """The batch system has a queue of its own."""
        return 1_000_000

    def note_busy(self, busy: set[str]) -> None:
        """Others take no room here."""

    def open(self) -> None:
        """Take up what was handed in before and is not known to be over.

        Raises:
            UserError: another process follows it.
        """
        self.ledger.open()
        for submission in self.ledger:
            if submission.refused:
                continue
            for index, cell_id in enumerate(submission.job.cells):
                if cell_id in self.cells and self.ledger.latest(cell_id) == submission:
                    self._followed[cell_id] = _Followed(self.cells[cell_id], submission, index)
        self._find_unnamed()
        self._ask()
        for cell_id, each in list(self._followed.items()):
            if each.submission.job.exit_code(each.index) is not None and not each.active:
                # it was over before; whoever asks for the cell now asks for another attempt
                del self._followed[cell_id]
        # who runs the plan after a stop wants what is still saving itself to go on afterwards
        self._stopped_before = {item.job.name for item in self.ledger if item.stopped}
        if self.harvest is not None:
            self.harvest.gather(at_once=True)

    def adopt(self) -> dict[str, Cell]:
        """Cells that are in the queue or on nodes."""
        followed = {key: each.cell for key, each in self._followed.items()}
        return followed | {want.cell.id: want.cell for want in self._wanted}

    def submit(self, cell: Cell, until: int | None = None) -> None:
        """Put the cell into the next array."""
        self._wanted.append(Wanted(cell, until, 1))

    def poll(self, seconds: float) -> list[Ended]:
        """Hand in what is wanted, and see what ended; see `Executor.poll`."""
        deadline = time.monotonic() + seconds
        self._hand_in()
        while True:
            self._look()
            if self._ended or time.monotonic() >= deadline:
                break
            time.sleep(min(_PAUSE_S, max(0.0, deadline - time.monotonic())))
        if self.harvest is not None:
            self.harvest.gather(at_once=bool(self._ended))
        ended, self._ended = self._ended, []
        return ended

    def detach(self) -> bool:
        """Jobs go on without this process."""
        return True

    def stop(self, signum: int) -> None:
        """Take waiting jobs out of the queue, and let running ones save themselves."""
        for want in self._wanted:
            self._ended.append(Ended(want.cell.id, CellExit.TERMINATED, "it was not handed in"))
        self._wanted.clear()
        for submission in {e.submission.job.name: e.submission for e in self._live()}.values():
            self.tell(cancel(self.system, submission))
        self._asked = -_ASK_AGAIN_S

    def close(self) -> None:
        """Let others follow."""
        self.ledger.close()

    def preview(self, cells: Sequence[Cell]) -> list[tuple[str, list[str]]]:
        """The scripts of the arrays that these cells would become, with the ids of their cells."""
        return self._arrays.preview(cells, self.system, self.ledger.folder)

    @property
    def _arrays(self) -> Arrays:
        on_node = self.harvest is not None
        return Arrays(self.site, self.command, self.title, self.environment, on_node)

    def _live(self) -> list[_Followed]:
        return list(self._followed.values())

    # handing in

    def _hand_in(self) -> None:
        now = time.monotonic()
        ready = [want for want in self._wanted if want.not_before <= now]
        for needs, group in self._arrays.of(ready):
            if not self._hand_in_array(group, needs):
                return

    def _hand_in_array(self, group: Sequence[Wanted], needs: Needs) -> bool:
        until, tries = group[0].until, group[0].tries
        ids = [want.cell.id for want in group]
        submission = self.ledger.intend(ids, self.system.name, until, tries)
        errand = self._arrays.errand(submission.job, until, take_over=tries > 1)
        path = submission.job.folder / "job.sh"
        write_whole(path, self.system.script(errand, self.site, needs))
        try:
            job_id = self.system.submit(path, {**os.environ, **self.secret_environment})
        except BatchError as error:
            return self._refused(submission, group, error)
        submission = self.ledger.submitted(submission, job_id)
        self._follow(group, submission)
        what = counted(len(group), "cell")
        self.tell(f"{what} handed in to {self.system.name} as job {job_id} ({path})")
        self._asked = time.monotonic()
        return True

    def _follow(self, group: Sequence[Wanted], submission: Submission) -> None:
        for index, want in enumerate(group):
            self._wanted.remove(want)
            self._followed[want.cell.id] = _Followed(want.cell, submission, index)

    def _refused(self, submission: Submission, group: Sequence[Wanted], error: BatchError) -> bool:
        """It may be there all the same: a program can fail after it has handed the job in.

        Raises:
            UserError: trying again does not help.
        """
        said, transient = str(error), error.transient
        try:
            job_id = self.system.find(submission.job.name)
        except BatchError:
            job_id, transient = None, True
            if error.unanswered:
                # nobody can tell; the array is followed, and found or given up later
                self._follow(group, submission)
                return False
        if job_id is not None:
            submission = self.ledger.submitted(submission, job_id)
            self._follow(group, submission)
            return True
        self.ledger.refuse(submission)
        if not transient:
            raise UserError(
                f"{self.system.name} refused the jobs: {said}; see the site file, and "
                f"{submission.job.folder / 'job.sh'}"
            )
        self.tell(f"{said}; the jobs are handed in again in {_ASK_AGAIN_S:.0f} s")
        later = time.monotonic() + _ASK_AGAIN_S
        self._wanted = [Wanted(want.cell, want.until, want.tries, later) for want in self._wanted]
        return False

    # following

    def _look(self) -> None:
        if time.monotonic() - self._asked >= self.site.ask_every_s:
            self._find_unnamed()
            self._ask()
        for cell_id, each in list(self._followed.items()):
            if self._is_over(each):
                del self._followed[cell_id]
                self._judge(each)

    def _is_over(self, each: _Followed) -> bool:
        code = each.submission.job.exit_code(each.index)
        gone = each.element is not None and each.element.phase is Phase.ENDED
        if finished(code):
            return True
        if not gone:
            each.ended_since = None
            return False
        if each.ended_since is None:
            each.ended_since = time.monotonic()
        return code is not None or time.monotonic() - each.ended_since >= _SETTLE_S

    def _ask(self) -> None:
        """Ask the batch system about everything at once."""
        self._asked = time.monotonic()
        jobs = {e.submission.job.name: e.submission.job for e in self._live()}
        named = [job for job in jobs.values() if job.job_id is not None]
        if not named:
            return
        try:
            found = self.system.elements(named)
        except BatchError as error:
            if not self._silent:
                self.tell(f"{error}; asked again until it answers")
            self._silent = True
            return
        self._silent = False
        for each in self._live():
            job = each.submission.job
            if job.job_id is not None:
                forgotten = Element(Phase.ENDED, Ending.UNKNOWN)
                each.element = found.get((job.name, each.index), forgotten)
        self._tell_counts()

    def _find_unnamed(self) -> None:
        """Arrays that were handed in by somebody who was killed before their id was written."""
        unnamed = {
            each.submission.job.name: each.submission
            for each in self._live()
            if each.submission.job.job_id is None
        }
        for name, submission in unnamed.items():
            try:
                job_id = self.system.find(name)
            except BatchError:
                continue
            members = [e for e in self._live() if e.submission.job.name == name]
            if job_id is not None:
                known = self.ledger.submitted(submission, job_id)
                for each in members:
                    each.submission = known
            elif time.time() - submission.when > _ASK_AGAIN_S or not self._may_be_on_its_way(
                submission
            ):
                self._never_came(submission, members)

    def _may_be_on_its_way(self, submission: Submission) -> bool:
        """The program that hands it in may still be at work, though who started it is gone."""
        return (submission.job.folder / "job.sh").exists()

    def _never_came(self, submission: Submission, members: Sequence[_Followed]) -> None:
        codes = [submission.job.exit_code(each.index) for each in members]
        begun = any((submission.job.folder / f"{e.index}.node").exists() for e in members)
        if begun or any(code is not None for code in codes):
            for each in members:  # it came, and was forgotten since
                each.element = Element(Phase.ENDED, Ending.UNKNOWN)
            return
        self.ledger.refuse(submission)
        for each in members:
            del self._followed[each.cell.id]
            self._wanted.append(Wanted(each.cell, submission.until, submission.tries))

    def _tell_counts(self) -> None:
        phases = Counter(e.element.phase for e in self._live() if e.element is not None)
        reasons = Counter(
            e.element.reason for e in self._live() if e.element is not None and e.element.reason
        )
        parts = [f"{phases[p]} {p.value}" for p in (Phase.RUNNING, Phase.WAITING) if phases[p]]
        text = f"{self.system.name}: {', '.join(parts)}" if parts else ""
        if reasons and phases[Phase.WAITING]:
            text += f" ({reasons.most_common(1)[0][0]})"
        if text and text != self._counts:
            self.tell(text)
        self._counts = text

    # judging

    def _judge(self, each: _Followed) -> None:
        submission = each.submission
        stopped_before = submission.job.name in self._stopped_before
        if stopped_before and not finished(submission.job.exit_code(each.index)):
            self._wanted.append(Wanted(each.cell, submission.until, 1))
            return
        memory = self.site.memory or "what the site gives"
        verdict = judge(submission, each.index, each.element, memory)
        if isinstance(verdict, Over):
            self._end(each, verdict.code, verdict.reason)
        else:
            self._again(each, verdict.why, verdict.pause)

    def _end(self, each: _Followed, code: int, reason: str) -> None:
        log = each.submission.job.log(each.index)
        self._ended.append(Ended(each.cell.id, code, reason, log if log.exists() else None))

    def _again(self, each: _Followed, why: str, pause: float) -> None:
        """Hand the cell in once more, unless that happened too often."""
        tries = each.submission.tries
        if tries >= self.site.most_jobs:
            text = f"{why}, and {tries} jobs are the most for one cell (most_jobs)"
            self._end(each, CellExit.FAILED, text)
            return
        self.tell(f"cell {each.cell.id}: {why}; job {tries + 1} goes on with it")
        later = time.monotonic() + pause
        self._wanted.append(Wanted(each.cell, each.submission.until, tries + 1, later))
