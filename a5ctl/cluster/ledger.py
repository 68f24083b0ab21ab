"""What was handed in to a batch system, kept in the workspace so that nothing is handed in twice.

An array is written down before it is handed in, under a name that no other job has; its id follows
when the batch system has said it. Who was killed in between finds the job by its name.
"""

import json
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from a5ctl.cluster.batch import ArrayJob
from core.errors import UserError
from core.registry.lock import FileLock
from core.whole_files import write_whole

_ALPHABET = "bcdfghjkmnpqrstvwxz23456789"
_NAME_CHARS = 10
_VERSION = 1
_STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Submission:
    """An array that was handed in, or was about to be.

    Attributes:
        job: The array.
        system: Which batch system has it.
        until: Its cells end behind this update; None where they run to their end.
        tries: Which job this is for each of its cells, from 1, since somebody asked for them.
        refused: It never came to be.
    """

    job: ArrayJob
    system: str
    until: int | None
    tries: int
    when: float
    refused: bool = False

    @property
    def stopped(self) -> bool:
        """A person asked to stop it, from whatever process."""
        return (self.job.folder / _STOPPED).exists()

    @property
    def is_over(self) -> bool:
        """Every element has written down how it ended."""
        return all(self.job.exit_code(index) is not None for index in range(len(self.job.cells)))

    def stop(self) -> None:
        """Write down that a person asked to stop it."""
        (self.job.folder / _STOPPED).touch()


class Ledger:
    """The submissions of one plan; one process at a time changes them.

    Args:
        folder: The plan's folder in the workspace.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "jobs"
        self._path = self.folder / "jobs.json"
        self._lock = FileLock(self.folder / "follower.lock", timeout=0)
        self._held: dict[str, Submission] = {}

    def open(self) -> None:
        """Read it and keep other followers out until `close`.

        Raises:
            UserError: another process follows the plan, or the file is damaged.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.__enter__()
        except TimeoutError as error:
            raise UserError(
                f"another process follows the jobs of this plan ({self._lock.path} is held); let "
                "it go on, or stop it first"
            ) from error
        try:
            self.read()
        except BaseException:
            self.close()
            raise

    def read(self) -> None:
        """Read it without keeping others out, to look at it.

        Raises:
            UserError: the file is damaged.
        """
        self._held = {item.job.name: item for item in self._read()}

    def close(self) -> None:
        """Let others follow."""
        self._lock.__exit__(None, None, None)

    def __iter__(self) -> Iterator[Submission]:
        return iter(list(self._held.values()))

    def latest(self, cell_id: str) -> Submission | None:
        """The last array that a cell was part of."""
        found = [item for item in self if cell_id in item.job.cells and not item.refused]
        return found[-1] if found else None

    def intend(
        self, cells: Sequence[str], system: str, until: int | None, tries: int
    ) -> Submission:
        """Write down that an array is about to be handed in.

        Raises:
            OSError: it cannot be written; then nothing must be handed in.
        """
        name = "a5-" + "".join(secrets.choice(_ALPHABET) for _ in range(_NAME_CHARS))
        folder = self.folder / name
        folder.mkdir(parents=True)
        job = ArrayJob(name, None, tuple(cells), folder)
        submission = Submission(job, system, until, tries, time.time())
        self._put(submission)
        return submission

    def submitted(self, submission: Submission, job_id: str) -> Submission:
        """Write down what the batch system calls it."""
        return self._put(replace(submission, job=replace(submission.job, job_id=job_id)))

    def refuse(self, submission: Submission) -> None:
        """Write down that it never came to be."""
        self._put(replace(submission, refused=True))

    def _put(self, submission: Submission) -> Submission:
        self._held[submission.job.name] = submission
        entries = [_entry(item) for item in self._held.values()]
        write_whole(self._path, json.dumps({"version": _VERSION, "jobs": entries}, indent=1))
        return submission

    def _read(self) -> list[Submission]:
        try:
            tree = json.loads(self._path.read_text(encoding="utf-8"))
            if tree["version"] != _VERSION:
                raise ValueError(f"version {tree['version']}")
            return [_submission(self.folder, entry) for entry in tree["jobs"]]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{self._path} cannot be read ({error}); see with squeue or qstat that no job of "
                "this plan is left, then move the file away"
            ) from error


def _entry(item: Submission) -> dict[str, Any]:
    return {
        "name": item.job.name,
        "job_id": item.job.job_id,
        "cells": list(item.job.cells),
        "system": item.system,
        "until": item.until,
        "tries": item.tries,
        "when": item.when,
        "refused": item.refused,
    }


def _submission(folder: Path, entry: dict[str, Any]) -> Submission:
    job = ArrayJob(entry["name"], entry["job_id"], tuple(entry["cells"]), folder / entry["name"])
    rest = {key: entry[key] for key in ("system", "until", "tries", "when", "refused")}
    return Submission(job, **rest)
