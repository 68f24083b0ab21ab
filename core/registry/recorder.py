"""One run's writer: everything a run wants remembered goes through here.

    with Recorder(registry, run.uuid, folder) as recorder:
        recorder.metrics(step, {"loss": 0.5})
        recorder.finish("finished", "completed")

Calls return at once; a background thread writes the journal and then the database.
"""

import functools
import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from core.config.methods import KeepRollouts
from core.errors import UserError
from core.evaluation import EvaluationResult
from core.registry.codec import clean
from core.registry.database import RegistryUnavailableError
from core.registry.entries import (
    ArtifactEntry,
    Entry,
    EventEntry,
    MetricsEntry,
    RunEntry,
    SegmentEntry,
    StatusEntry,
    clean_tree,
    new_uuid,
    parse_entry,
)
from core.registry.evaluation_entries import evaluation_entry
from core.registry.files import Reserve, describe
from core.registry.journal import JOURNAL_NAME, merge_journal, read_lines
from core.registry.later_entries import ConfigEntry
from core.registry.live_runs import RECORDER_LOCK
from core.registry.lock import FileLock
from core.registry.processes import host_name, process_mark
from core.registry.records import RunStatus
from core.registry.rollout_entries import rollouts_entry
from core.registry.writer import Writer
from core.rollouts import RolloutBatch
from core.secrets import mask_text

if TYPE_CHECKING:
    from core.registry.store import Registry

_FLUSH_TIMEOUT_S = 10.0
_STOP_TIMEOUT_S = 40.0


class Recorder:
    """Records one run; use it as a context manager.

    Leaving the context without `finish` settles the run: as finished, or as failed when an
    exception passes through.

    Args:
        registry: Where the run's row is.
        run_uuid: The run.
        folder: The run folder; made when missing.
        interval: Seconds between two writes to the journal; the database gets every second one.
        heartbeat: Seconds between two signs of life.
    """

    def __init__(
        self,
        registry: "Registry",
        run_uuid: str,
        folder: Path,
        *,
        interval: float = 0.5,
        heartbeat: float = 10.0,
    ) -> None:
        self._registry = registry
        self._run_uuid = run_uuid
        self._folder = folder
        self._writer = Writer(registry, run_uuid, folder, interval, heartbeat)
        self._lock = FileLock(folder / RECORDER_LOCK, timeout=0)
        self._reserve = Reserve(folder / ".reserve")
        self._segment = 0
        self._data_hash = ""
        self._finished = False

    def __enter__(self) -> "Recorder":
        """Merge what an earlier recorder left in the journal, mark the run as running, and start.

        Raises:
            UserError: the run is unknown, its folder cannot be written, or another process
                records it.
        """
        run = self._registry.run_by_uuid(self._run_uuid)
        self._data_hash = run.data_hash or ""
        self._take_folder(run.id)
        self._reserve.take()
        behind = self._merge()
        self._segment = self._newest_segment(unmerged=behind is not None)
        self._writer.problem = behind
        self._writer.start(behind=behind is not None)
        self._put(RunEntry, columns=clean_tree(self._registry.columns(self._run_uuid)))
        self._put(
            StatusEntry,
            status="running",
            time=time.time(),
            host=host_name(),
            pid=os.getpid(),
            process_start=process_mark(),
        )
        self.flush()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if not self._finished:
                self._finish_unasked(error)
        finally:
            self._reserve.release()
            self._writer.stop(_STOP_TIMEOUT_S)
            self._lock.__exit__(None, None, None)

    @property
    def problem(self) -> str | None:
        """What keeps the recorder from writing, as one sentence; None while all is well."""
        return self._writer.problem

    @property
    def unsaved(self) -> bool:
        """Something recorded is neither in the journal nor in the registry."""
        return self._writer.unsaved

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Record the metrics of one step.

        Raises:
            TypeError, ValueError: a value is not a number.
        """
        numbers = {name: float(value) for name, value in values.items()}
        self._put(MetricsEntry, segment=self._segment, step=step, time=time.time(), values=numbers)

    def event(
        self,
        severity: str,
        kind: str,
        message: str,
        step: int | None = None,
        data: Any = None,
        *,
        once: bool = False,
    ) -> None:
        """Record that something happened.

        Args:
            severity: `info`, `warning` or `error`.
            kind: Short machine-readable name.
            message: One sentence for people.
            step: Where in the run.
            data: Anything JSON-ready.
            once: A run that goes on after a kill may tell the very same again: it is held once.
        """
        told = {
            "step": step,
            "severity": str(severity),
            "kind": clean(kind),
            "message": clean(mask_text(message)),
            "data": None if data is None else clean_tree(data),
        }
        identity = self._identity_of(told) if once else new_uuid()
        self._put(EventEntry, uuid=identity, time=time.time(), **told)

    def choices(self, config: Mapping[str, Any], config_hash: str) -> None:
        """Record the configuration as it is from here on, for choices made while the run goes."""
        self._put(ConfigEntry, config=clean_tree(config), config_hash=config_hash)

    def evaluation(self, result: EvaluationResult) -> str:
        """Record an evaluation with every response and grade; returns its uuid."""
        identity = new_uuid()
        make = functools.partial(evaluation_entry, result, identity, self._segment, time.time())
        self._writer.put(make)
        return identity

    def rollouts(self, batch: RolloutBatch, keep: KeepRollouts) -> None:
        """Record a rollout batch with every response and grade, or what is to be kept of it.

        Call it whenever the run takes up a batch, sampled or stored: one that is recorded already
        is held once, and counts for the run as it is now.
        """
        self._writer.put(
            functools.partial(
                rollouts_entry,
                batch,
                keep,
                run_uuid=self._run_uuid,
                data_hash=self._data_hash,
                segment=self._segment,
                time=time.time(),
            )
        )

    def artifact(
        self, kind: str, path: Path | os.PathLike[str], known: tuple[int, str] | None = None
    ) -> None:
        """Record a file or folder inside the run folder.

        Args:
            kind: What it is.
            path: Where it is.
            known: Its bytes and SHA-256; when not given, it is read and hashed in the background.

        Raises:
            ValueError: the path is outside the run folder.
        """
        inside = Path(path).resolve().relative_to(self._folder.resolve()).as_posix()
        if known is None:
            self._writer.put(functools.partial(self._describe, kind, inside, time.time()))
            return
        size, sha256 = known
        self._put(
            ArtifactEntry, time=time.time(), kind=kind, path=inside, bytes=size, sha256=sha256
        )

    def begin_segment(self, step: int) -> None:
        """Everything recorded after `step` until now is superseded by what follows."""
        self._segment += 1
        self._put(SegmentEntry, number=self._segment, start_step=step, time=time.time())
        self.flush()

    def finish(
        self, status: RunStatus | str, exit_reason: str | None = None, traceback: str | None = None
    ) -> None:
        """Settle the run as `finished`, `failed` or `interrupted`.

        Raises:
            ValueError: another status.
        """
        if not RunStatus(status).settled:
            raise ValueError(f"a run cannot end as {status}")
        self._finished = True
        self._reserve.release()
        self._put(RunEntry, columns=self._final_columns())
        self._put(
            StatusEntry,
            status=str(status),
            time=time.time(),
            exit_reason=None if exit_reason is None else clean(mask_text(exit_reason)),
            traceback=None if traceback is None else clean(mask_text(traceback)),
        )
        self.flush()

    def flush(self, timeout: float = _FLUSH_TIMEOUT_S) -> bool:
        """Wait until everything recorded so far is safe on disk.

        Args:
            timeout: Seconds to wait for the database; the journal is always waited for.

        Returns:
            True when the database holds it too.
        """
        return self._writer.flush(timeout)

    def _put(self, build: type[Entry], /, **fields: Any) -> None:
        self._writer.put(functools.partial(build, **fields))

    def _identity_of(self, told: Mapping[str, Any]) -> str:
        """The same for an event of this run that says the same."""
        content = json.dumps([self._run_uuid, told], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:32]

    def _describe(self, kind: str, path: str, when: float) -> ArtifactEntry | None:
        found = describe(self._folder / path, self._writer.beat_if_due)
        if found is None:
            return None
        size, sha256 = found
        return ArtifactEntry(time=when, kind=kind, path=path, bytes=size, sha256=sha256)

    def _take_folder(self, run_id: str) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock.__enter__()
        except TimeoutError as error:
            raise UserError(
                f"run {run_id} is being recorded by another process; wait for it or stop it"
            ) from error
        except OSError as error:
            raise UserError(
                f"run folder {self._folder} cannot be written: {error.strerror}"
            ) from error

    def _merge(self) -> str | None:
        """Why the journal could not be merged; None when it is."""
        try:
            merge_journal(self._registry, self._folder)
        except RegistryUnavailableError as error:
            return str(error)
        return None

    def _newest_segment(self, *, unmerged: bool) -> int:
        numbers = [number for number, _ in self._registry.segments(self._run_uuid)]
        if unmerged:
            for _, lines in read_lines(self._folder / JOURNAL_NAME):
                marked = [line for line in lines if line.startswith(b'{"entry":"segment"')]
                found = [parse_entry(line) for line in marked]
                numbers += [entry.number for entry in found if isinstance(entry, SegmentEntry)]
        return max(numbers, default=0)

    def _final_columns(self) -> dict[str, Any]:
        """The run's row once more: choices made while it ran are in its configuration now."""
        try:
            return dict(clean_tree(self._registry.columns(self._run_uuid)))
        except UserError:
            return {}

    def _finish_unasked(self, error: BaseException | None) -> None:
        import traceback

        if error is None:
            self.finish(RunStatus.FINISHED, "completed")
            return
        stopped = isinstance(error, KeyboardInterrupt)
        status = RunStatus.INTERRUPTED if stopped else RunStatus.FAILED
        trace = "".join(traceback.format_exception(error))
        self.finish(status, str(error).strip() or type(error).__name__, trace)
