"""The registry as the rest of the program sees it: runs in, records out."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import UserError
from core.registry import evaluation_queries, metric_queries, outcome_queries, run_queries
from core.registry.codec import clean
from core.registry.connections import BUSY_TIMEOUT_S
from core.registry.database import Database, RegistryUnavailableError
from core.registry.journal import journal_size, merge_journal
from core.registry.live_runs import look_for_sign
from core.registry.liveness import display_status
from core.registry.migrate import ensure_schema
from core.registry.records import (
    ArtifactRecord,
    CurvePoint,
    Deletion,
    EvaluationRecord,
    EventRecord,
    Headline,
    MetricPoint,
    MetricSummary,
    NewRun,
    Outcome,
    PlanRecord,
    RunRecord,
    RunStatus,
    StoredResponse,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from core.registry.probe_records import ProbeRecord
    from core.registry.query.request import Selection
    from core.registry.query.selection import SelectedRuns
    from core.registry.rollout_records import RolloutBatchRecord, StoredRollout
    from core.workspace import Workspace

__all__ = [
    "ArtifactRecord",
    "Deletion",
    "EvaluationRecord",
    "EventRecord",
    "Headline",
    "MetricPoint",
    "MetricSummary",
    "NewRun",
    "Outcome",
    "PlanRecord",
    "Registry",
    "RunRecord",
    "RunStatus",
    "StoredResponse",
    "open_registry",
]


def open_registry(
    url: str, *, create: bool = True, busy_timeout: float = BUSY_TIMEOUT_S
) -> "Registry":
    """Open a registry and bring its tables up to date.

    Args:
        url: SQLAlchemy URL of an SQLite file or a PostgreSQL database.
        create: Make a missing SQLite file. Without it, a missing one reads as empty.
        busy_timeout: Seconds to wait for another writer.

    Raises:
        UserError: it cannot be used; the message says why, and what to do.
    """
    database = Database(url, busy_timeout)
    if create or database.exists():
        ensure_schema(database)
    return Registry(database)


class Registry:
    """Everything that is stored. Reads cost a query; writes are one short transaction each."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @property
    def label(self) -> str:
        """Where the registry is, for messages."""
        return self.database.label

    def close(self) -> None:
        """Close all connections; the next access opens new ones."""
        self.database.close()

    def create_run(self, new: NewRun) -> RunRecord:
        """Store a new run as queued, under a short id that no other run has.

        Raises:
            UserError: the registry cannot be written, or `new.id` is taken.
        """
        from core.registry.run_writes import insert_run

        uuid = insert_run(self.database, new)
        return self.run_by_uuid(uuid)

    def adopt_run(self, columns: Mapping[str, Any], folder: Path | None = None) -> RunRecord:
        """Store a run that another registry made; it gets a new short id if its own is taken.

        Args:
            columns: Its row, as its journal has it.
            folder: Its run folder, whose file of labels is newer than the row.
        """
        from core.registry.labels import tell_of_damage, with_labels
        from core.registry.run_writes import insert_foreign_run

        labelled, damage = with_labels(columns, folder)
        run = self.run_by_uuid(insert_foreign_run(self.database, labelled))
        if damage is not None:
            tell_of_damage(self.database, run, damage)
        return run

    def find_run(self, reference: str) -> RunRecord:
        """The run a person means: short id, uuid, name, unique beginning or ending of an id.

        Raises:
            UserError: no run fits (near matches are named), or several do.
        """
        return run_queries.find_run(self.database, reference)

    def run_by_uuid(self, uuid: str) -> RunRecord:
        """The run with this identity.

        Raises:
            UserError: there is none.
        """
        run = run_queries.run_by_uuid(self.database, uuid)
        if run is None:
            raise UserError(f"registry {self.label} has no run with the uuid {uuid}")
        return run

    def runs(
        self,
        kind: str | None = None,
        group: str | None = None,
        status: str | None = None,
        limit: int | None = None,
        *,
        archived: bool = False,
    ) -> list[RunRecord]:
        """Runs that fit everything given, newest first.

        Args:
            status: As stored, or as shown: `stale` and `lost` work too.
            archived: With those that were archived.
        """
        read = run_queries.list_runs
        if status is None:
            return read(self.database, kind, group, None, limit, archived=archived)
        stored = status if status in list(RunStatus) else None
        found = read(self.database, kind, group, stored, None, archived=archived)
        return [run for run in found if display_status(run) == status][:limit]

    def count_runs(
        self, kind: str | None = None, group: str | None = None, *, archived: bool = False
    ) -> int:
        """How many runs fit everything given."""
        return run_queries.count_runs(self.database, kind, group, archived=archived)

    def select_runs(self, selection: "Selection") -> "SelectedRuns":
        """Runs that a filter lets through, in the order asked for, with the fields asked for.

        Raises:
            UserError: the filter, a field or the order cannot be understood.
        """
        from core.registry.query.selection import select_runs

        return select_runs(self.database, selection)

    def runs_by_uuid(self, run_uuids: Sequence[str]) -> list[RunRecord]:
        """These runs, in the order asked for; unknown ones are left out."""
        return run_queries.runs_by_uuid(self.database, run_uuids)

    def children(self, run_uuid: str) -> list[RunRecord]:
        """Runs that started from this one's weights."""
        return run_queries.children(self.database, run_uuid)

    def ancestors(self, run: RunRecord) -> list[RunRecord]:
        """The runs that this one descends from, the nearest first; it ends where one is gone."""
        return run_queries.ancestors(self.database, run)

    def descendants(self, run_uuid: str) -> list[RunRecord]:
        """Every run that descends from this one, oldest first."""
        return run_queries.descendants(self.database, run_uuid)

    def set_status(
        self,
        run_uuid: str,
        status: RunStatus | str,
        exit_reason: str | None = None,
        traceback: str | None = None,
    ) -> None:
        """Set a run's status by hand; a settled one gets the time of its end.

        Raises:
            UserError: the registry cannot be written.
        """
        wanted = RunStatus(status)
        values: dict[str, Any] = {"status": wanted.value, "exit_reason": exit_reason}
        values |= {"traceback": traceback, "ended": time.time() if wanted.settled else None}
        self._update(run_uuid, values)

    def set_config(self, run_uuid: str, config: Mapping[str, Any], config_hash: str) -> None:
        """Replace a run's configuration, for choices that are made while it runs."""
        text = clean(json.dumps(config))
        self._update(run_uuid, {"config": text, "config_hash": config_hash})

    def beat(self, connection: "Connection", run_uuid: str) -> None:
        """Note a sign of life in an open transaction; a run that was given up runs again."""
        from core.registry.run_writes import beat

        beat(connection, run_uuid)

    def provenance(self, run_uuid: str) -> dict[str, Any]:
        """Commit, packages, hardware and hashes of a run."""
        return dict(json.loads(self._column(run_uuid, "provenance")))

    def traceback(self, run_uuid: str) -> str | None:
        """What a failed run raised; None when nothing was kept."""
        return self._column(run_uuid, "traceback")

    def columns(self, run_uuid: str) -> dict[str, Any]:
        """A run's whole row as written into its journal."""
        from core.registry.run_writes import run_columns

        return run_columns(self.database, run_uuid)

    def segments(self, run_uuid: str) -> list[tuple[int, int]]:
        """(number, start step) of every segment but the first, oldest first."""
        return run_queries.segments(self.database, run_uuid)

    def metrics(
        self, run_uuid: str, names: Sequence[str] | None = None
    ) -> dict[str, list[MetricPoint]]:
        """Values by name, in order of steps; what a resume or rollback superseded is left out."""
        return metric_queries.metrics(self.database, run_uuid, names)

    def curves(
        self, run_uuids: Sequence[str], names: Sequence[str] | None = None, points: int = 500
    ) -> dict[str, dict[str, list[CurvePoint]]]:
        """Metrics by run uuid and name, in at most `points` points each.

        Where a metric has more values than that, neighbours become one point with their mean,
        smallest and largest; the database makes it, so that only points are read.
        """
        return metric_queries.curves(self.database, run_uuids, names, points)

    def metric_summaries(
        self, run_uuids: Sequence[str], names: Sequence[str] | None = None
    ) -> dict[str, dict[str, MetricSummary]]:
        """Summaries by run uuid and name; a run without metrics has an empty entry."""
        return metric_queries.metric_summaries(self.database, run_uuids, names)

    def last_steps(self, run_uuids: Sequence[str]) -> dict[str, int]:
        """Last recorded step by run uuid."""
        return run_queries.last_steps(self.database, run_uuids)

    def headlines(self, run_uuids: Sequence[str]) -> dict[str, Headline]:
        """The last evaluation by run uuid, in short."""
        return run_queries.headlines(self.database, run_uuids)

    def evaluations(self, run_uuids: Sequence[str]) -> list[EvaluationRecord]:
        """Evaluations in order of the runs given, then steps; superseded ones are left out.

        Of several with the same step, split and protocol only the newest is returned.
        """
        return evaluation_queries.evaluations(self.database, run_uuids)

    def responses(self, evaluation_uuid: str) -> list[StoredResponse]:
        """Every response of an evaluation with its problem and grades, in the order asked."""
        return evaluation_queries.responses(self.database, evaluation_uuid)

    def right_by_problem(self, evaluation_uuid: str, grader: str) -> dict[str, bool]:
        """Problem id -> whether its first sample is right, without reading any text."""
        return evaluation_queries.right_by_problem(self.database, evaluation_uuid, grader)

    def type_counts(
        self, evaluation_uuids: Sequence[str], grader: str
    ) -> dict[str, tuple[int, int, int]]:
        """Responses of type 1, 2 and 3 under any grader, by evaluation uuid."""
        return evaluation_queries.type_counts(self.database, evaluation_uuids, grader)

    def grade_versions(self, evaluation_uuids: Sequence[str], grader: str) -> dict[str, int]:
        """Version of the grader behind the newest grades, by evaluation uuid."""
        return evaluation_queries.grade_versions(self.database, evaluation_uuids, grader)

    def counts_by_problem(
        self, evaluation_uuid: str, outcome: Outcome, grader: str
    ) -> dict[str, tuple[int, int]]:
        """Problem id -> (samples with the outcome, samples); `grader` where the outcome needs one.

        Problems to which the outcome does not apply are left out.
        """
        return outcome_queries.counts_by_problem(self.database, evaluation_uuid, outcome, grader)

    def asked_problems(self, evaluation_uuid: str) -> dict[str, tuple[str, str]]:
        """Problem id -> question and truth, as this evaluation asked them."""
        return outcome_queries.asked_problems(self.database, evaluation_uuid)

    def sampled_answers(
        self, evaluation_uuid: str, grader: str
    ) -> dict[str, list[tuple[bool, str | None]]]:
        """Problem id -> (right, extracted answer) of every sample, in the order sampled."""
        return outcome_queries.sampled_answers(self.database, evaluation_uuid, grader)

    def note_plan(self, name: str, digest: str, text: str) -> list[PlanRecord]:
        """Store a plan unless it is stored already; returns all versions, oldest first.

        Raises:
            UserError: the registry cannot be written.
        """
        from core.registry.plans import note_plan

        return note_plan(self.database, name, digest, text)

    def probes_of(self, evaluation_uuid: str, *, texts: bool = False) -> "list[ProbeRecord]":
        """Every probe of an evaluation: larger caps by cap, then closing; texts where asked for."""
        from core.registry.probe_queries import probes_of

        return probes_of(self.database, evaluation_uuid, texts=texts)

    def rollout_batches(self, run_uuid: str) -> "list[RolloutBatchRecord]":
        """A run's rollout batches by step; superseded ones are left out."""
        from core.registry.rollout_queries import rollout_batches

        return rollout_batches(self.database, run_uuid)

    def rollouts(self, run_uuid: str, step: int | None = None) -> "list[StoredRollout]":
        """Rollouts in the order sampled, with problems and grades; superseded ones are left out.

        Args:
            run_uuid: The run.
            step: Only the batch that this update first learned from; all when not given.
        """
        from core.registry.rollout_queries import rollouts

        return rollouts(self.database, run_uuid, step)

    def solved_questions(self, run_uuid: str, grader: str = "r1_zero") -> set[str]:
        """Questions that the run's evaluations hold a right response to."""
        return evaluation_queries.solved_questions(self.database, run_uuid, grader)

    def events(self, run_uuid: str) -> list[EventRecord]:
        """Events, oldest first."""
        return run_queries.events(self.database, run_uuid)

    def artifacts(self, run_uuid: str) -> list[ArtifactRecord]:
        """Artifacts, oldest first; their files may be gone by now."""
        return run_queries.artifacts(self.database, run_uuid)

    def merge_left_behind(self, workspace: "Workspace") -> list[str]:
        """Merge the journals of runs whose process is gone; returns their short ids.

        A registry that cannot be written now is left as it is: nothing is lost, and the next
        command tries again.
        """
        merged = []
        for run in run_queries.unsettled_runs(self.database):
            folder = workspace.run_folder(run.id)
            look_for_sign(run, folder)
            behind = journal_size(folder) > run.journal_bytes
            if behind and display_status(run) not in (RunStatus.RUNNING, RunStatus.QUEUED):
                try:
                    merge_journal(self, folder)
                except RegistryUnavailableError:
                    break  # whoever only wants to read waits for a lock once, and not once a run
                except UserError:
                    continue
                merged.append(run.id)
        return merged

    def plan_deletion(self, run_uuid: str) -> Deletion:
        """What would go with a run: rows by table, its folder, and the runs that came from it."""
        from core.registry.run_writes import plan_deletion

        return plan_deletion(self.database, self.run_by_uuid(run_uuid))

    def delete_run(self, run_uuid: str) -> Deletion:
        """Delete a run's rows and return what went; its folder is left to the caller.

        Raises:
            UserError: the run is still running.
        """
        from core.registry.run_writes import delete_run

        return delete_run(self.database, self.run_by_uuid(run_uuid))

    def _update(self, run_uuid: str, values: dict[str, Any]) -> None:
        from core.registry.run_writes import update_run

        update_run(self.database, run_uuid, values)

    def _column(self, run_uuid: str, column: str) -> Any:
        sql = f"SELECT {column} FROM run WHERE uuid = :uuid"
        rows = self.database.read(sql, {"uuid": run_uuid})
        if not rows:
            raise UserError(f"registry {self.label} has no run with the uuid {run_uuid}")
        return rows[0][0]
