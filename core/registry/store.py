"""The registry as the rest of the program sees it: runs in, records out."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from core.errors import UserError
from core.registry import (
    curve_queries,
    evaluation_queries,
    metric_queries,
    moment_queries,
    outcome_queries,
    run_queries,
)
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
from core.registry.run_store import RunStore

if TYPE_CHECKING:
    from core.registry.probe_records import ProbeRecord
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


class Registry(RunStore):
    """Everything that is stored. Reads cost a query; writes are one short transaction each."""

    def segments(self, run_uuid: str) -> list[tuple[int, int]]:
        """(number, start step) of every segment but the first, oldest first."""
        return run_queries.segments(self.database, run_uuid)

    def metrics(
        self, run_uuid: str, names: Sequence[str] | None = None
    ) -> dict[str, list[MetricPoint]]:
        """Values by name, in order of steps; what a resume or rollback superseded is left out."""
        return metric_queries.metrics(self.database, run_uuid, names)

    def curves(
        self,
        run_uuids: Sequence[str],
        names: Sequence[str] | None = None,
        points: int = 500,
        sample: int | None = None,
    ) -> dict[str, dict[str, list[CurvePoint]]]:
        """Metrics by run uuid and name, in at most `points` points each.

        Where a metric has more values than that, neighbours become one point with their mean,
        smallest and largest; the database makes it, so that only points are read.

        Args:
            sample: Of long curves look at so many values per point only, for a small picture.
        """
        return curve_queries.curves(self.database, run_uuids, names, points, sample)

    def metric_times(self, run_uuid: str, name: str, steps: Sequence[int]) -> dict[int, float]:
        """When these steps of a metric were recorded, by step; seconds since the epoch."""
        return metric_queries.metric_times(self.database, run_uuid, name, steps)

    def values_at(
        self, moments: Iterable[tuple[str, int]], name: str
    ) -> dict[tuple[str, int], MetricPoint]:
        """The last value of a metric at or before (run uuid, step); see `moment_queries`."""
        return moment_queries.values_at(self.database, moments, name)

    def sampled_curves(
        self, run_uuids: Sequence[str], name: str, points: int
    ) -> dict[str, list[tuple[int, float]]]:
        """(step, value) at so many places of a metric by run; reads no more of longer runs."""
        return moment_queries.sampled_curves(self.database, run_uuids, name, points)

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

    def last_evaluations(self, run_uuids: Sequence[str]) -> dict[str, EvaluationRecord]:
        """The last evaluation by run uuid, with all its figures; without those that have none."""
        return evaluation_queries.last_evaluations(self.database, run_uuids)

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

    def note_plan(
        self, name: str, digest: str, text: str, workspace: "Workspace | None" = None
    ) -> list[PlanRecord]:
        """Store a plan unless it is stored already; returns all versions, oldest first.

        With a workspace, its file of plans gets it too, so that it outlives the registry.

        Raises:
            UserError: the registry or the workspace cannot be written.
        """
        from core.registry.plans import note_plan

        return note_plan(self.database, workspace, name, digest, text)

    def plan_versions(self, name: str) -> list[PlanRecord]:
        """All versions of the plan with this name, oldest first; none where it is not known."""
        from core.registry.plan_queries import plan_versions

        return plan_versions(self.database, name)

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
