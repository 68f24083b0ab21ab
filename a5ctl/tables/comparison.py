"""Runs side by side: which settings differ, how accurate each is, and how sure that is."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.config.load import flatten
from core.errors import UserError
from core.protocol import ProtocolDifference, compare_protocols
from core.registry.records import EvaluationRecord, RunRecord
from core.registry.store import Registry
from core.statistics import (
    PairedComparison,
    compare_paired,
    holm,
    mean_and_standard_error,
    minimum_detectable_difference,
    wilson_interval,
)

# labels, and choices of the machine that cannot change what is measured
_NOT_SETTINGS = frozenset(
    {"kind", "name", "group", "note", "tags", "seed", "train.threads", "train.microbatch_tokens"}
)
_FIRST_SETTINGS = ("data.size", "train.lr", "train.epochs", "train.supervise")


@dataclass(frozen=True, slots=True)
class Entry:
    """One run with the evaluation it is compared by.

    Attributes:
        settings: Dotted settings, labels left out; `kind` among them.
        accuracy: Under the chosen grader.
        types: Responses of type 1, 2 and 3 under it.
        tokens_trained: Training tokens fed; None for an evaluation.
        seconds: From start to end; None while it runs.
    """

    run: RunRecord
    evaluation: EvaluationRecord
    settings: Mapping[str, Any]
    accuracy: float
    types: tuple[int, int, int]
    interval: tuple[float, float]
    tokens_trained: float | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Cell:
    """Runs that differ only in their seed.

    Attributes:
        mean: Mean accuracy over the runs.
        standard_error: Of that mean over seeds; None for one run.
    """

    entries: tuple[Entry, ...]
    mean: float
    standard_error: float | None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95% Wilson interval of a single run; seeds have a standard error instead."""
        return self.entries[0].interval if len(self.entries) == 1 else None

    def average(self, name: str) -> float:
        """Mean over the runs of a share of the evaluation, such as `unclosed`."""
        return sum(getattr(e.evaluation, name) / e.evaluation.n for e in self.entries) / len(
            self.entries
        )


@dataclass(frozen=True, slots=True)
class Paired:
    """One run against the baseline on the same problems.

    Attributes:
        comparison: None when no test may be made.
        refused: Why not.
        adjusted: Holm-corrected p over the whole table.
    """

    comparison: PairedComparison | None
    refused: str = ""
    adjusted: float | None = None
    detectable: float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything the table shows.

    Attributes:
        varying: Settings that differ, in the order of the columns.
        cells: Rows, best first.
        warnings: Protocols that differ, runs without an evaluation, and the like.
        baseline: Id of the run that the others are tested against.
        paired: By run id.
        grader: What accuracy means here; None where each run has its own headline grader.
    """

    varying: tuple[str, ...]
    cells: tuple[Cell, ...]
    warnings: tuple[str, ...]
    grader: str | None
    baseline: str | None = None
    paired: Mapping[str, Paired] = field(default_factory=dict)


def build_comparison(
    registry: Registry,
    runs: Sequence[RunRecord],
    *,
    grader: str | None = None,
    baseline: RunRecord | None = None,
    merge_seeds: bool = True,
    force: bool = False,
) -> Comparison:
    """Collect and compare.

    Args:
        registry: Where the runs are.
        runs: What to compare; those without an evaluation are named in a warning.
        grader: Decides accuracy; each evaluation's own headline grader when None.
        baseline: Test every run against this one.
        merge_seeds: Runs that differ only in their seed become one row.
        force: Test even where the protocols differ.

    Raises:
        UserError: none of the runs has an evaluation, or the baseline has none.
    """
    entries, missing = _entries(registry, runs, grader)
    warnings = [f"{run.id} has no evaluation yet and is left out" for run in missing]
    if not entries:
        raise UserError("none of these runs has an evaluation yet; a5ctl ls shows where they stand")
    warnings += _protocol_warnings(entries, grader)
    cells = _cells(entries, merge_seeds)
    paired: Mapping[str, Paired] = {}
    if baseline is not None:
        reference = next((e for e in entries if e.run.uuid == baseline.uuid), None)
        if reference is None:
            raise UserError(f"baseline {baseline.id} has no evaluation to test against")
        paired = _test_all(registry, reference, entries, grader, force)
    return Comparison(
        varying=_varying([cell.entries[0].settings for cell in cells]),
        cells=tuple(sorted(cells, key=lambda cell: -cell.mean)),
        warnings=tuple(warnings),
        grader=grader or _common_grader(entries),
        baseline=baseline.id if baseline else None,
        paired=paired,
    )


def last_evaluation(evaluations: Sequence[EvaluationRecord]) -> EvaluationRecord | None:
    """The evaluation that stands for a run: the newest of its last step."""
    return max(evaluations, key=lambda e: (e.step, e.time), default=None)


def _entries(
    registry: Registry, runs: Sequence[RunRecord], grader: str | None
) -> tuple[list[Entry], list[RunRecord]]:
    uuids = [run.uuid for run in runs]
    by_run: dict[str, list[EvaluationRecord]] = defaultdict(list)
    for found in registry.evaluations(uuids):
        by_run[found.run_uuid].append(found)
    newest = {uuid: last_evaluation(own) for uuid, own in by_run.items()}
    summaries = registry.metric_summaries(uuids)
    shown = [e.uuid for e in newest.values() if e is not None]
    types = registry.type_counts(shown, grader) if grader else {}
    entries: list[Entry] = []
    missing: list[RunRecord] = []
    for run in runs:
        evaluation = newest.get(run.uuid)
        if evaluation is None:
            missing.append(run)
            continue
        tokens = summaries.get(run.uuid, {}).get("tokens_total")
        counts = types.get(evaluation.uuid)
        entries.append(_entry(run, evaluation, grader, counts, tokens.last if tokens else None))
    return entries, missing


def _entry(
    run: RunRecord,
    evaluation: EvaluationRecord,
    grader: str | None,
    types: tuple[int, int, int] | None,
    tokens: float | None,
) -> Entry:
    accuracy = evaluation.accuracy_by_grader[grader] if grader else evaluation.accuracy
    own = grader is None or grader == evaluation.grader
    ended = run.ended if run.ended is not None else run.heartbeat
    return Entry(
        run=run,
        evaluation=evaluation,
        settings=_settings(run),
        accuracy=accuracy,
        types=types or (evaluation.type1, evaluation.type2, evaluation.type3),
        interval=evaluation.interval
        if own
        else wilson_interval(round(accuracy * evaluation.n), evaluation.n),
        tokens_trained=tokens,
        seconds=ended - run.started if ended is not None and run.started is not None else None,
    )


def _settings(run: RunRecord) -> dict[str, Any]:
    flat = {k: v for k, v in flatten(run.config).items() if k not in _NOT_SETTINGS}
    if run.kind != "eval":
        flat.setdefault("data.size", "full")
    return {"kind": run.kind, **flat}


def _cells(entries: Sequence[Entry], merge_seeds: bool) -> list[Cell]:
    groups: dict[Any, list[Entry]] = defaultdict(list)
    for entry in entries:
        key = repr(sorted(entry.settings.items())) if merge_seeds else entry.run.uuid
        groups[(key, entry.evaluation.step)].append(entry)
    cells = []
    for group in groups.values():
        mean, error = mean_and_standard_error([entry.accuracy for entry in group])
        cells.append(Cell(tuple(group), mean, error))
    return cells


def _varying(settings: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    keys = {key for one in settings for key in one}
    varying = {key for key in keys if len({repr(one.get(key)) for one in settings}) > 1}
    first = [key for key in ("kind", *_FIRST_SETTINGS) if key in varying]
    return (*first, *sorted(varying.difference(first)))


def _differences(a: Entry, b: Entry, grader: str | None) -> ProtocolDifference:
    """How two protocols differ; headline graders do not matter where one was chosen for both."""
    found = compare_protocols(a.evaluation.protocol, b.evaluation.protocol)
    if grader is None:
        return found
    blocking = (name for name in found.blocking if name not in ("grader", "grader_version"))
    return ProtocolDifference(tuple(blocking), found.warning)


def _common_grader(entries: Sequence[Entry]) -> str | None:
    graders = {entry.evaluation.grader for entry in entries}
    return graders.pop() if len(graders) == 1 else None


def _protocol_warnings(entries: Sequence[Entry], grader: str | None) -> list[str]:
    reference = entries[0]
    by_fields: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = defaultdict(list)
    for entry in entries[1:]:
        found = _differences(reference, entry, grader)
        if found.blocking or found.warning:
            by_fields[(found.blocking, found.warning)].append(entry.run.id)
    return [
        f"protocol: {_some(ids)} differ{'s' if len(ids) == 1 else ''} from {reference.run.id} in "
        f"{', '.join(blocking + warning)}"
        + ("; these accuracies answer different questions" if blocking else "")
        for (blocking, warning), ids in by_fields.items()
    ]


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids) if len(ids) <= 3 else f"{ids[0]} and {len(ids) - 1} more"


def _test_all(
    registry: Registry,
    reference: Entry,
    entries: Sequence[Entry],
    grader: str | None,
    force: bool,
) -> dict[str, Paired]:
    others = [entry for entry in entries if entry.run.uuid != reference.run.uuid]
    tests = {e.run.id: _test(registry, reference, e, grader, force) for e in others}
    tested = [name for name, test in tests.items() if test.comparison is not None]
    adjusted = holm([test.comparison.p for test in tests.values() if test.comparison is not None])
    for name, p in zip(tested, adjusted, strict=True):
        found = tests[name]
        tests[name] = Paired(found.comparison, "", p, found.detectable)
    return tests


def _test(
    registry: Registry, reference: Entry, entry: Entry, grader: str | None, force: bool
) -> Paired:
    blocking = _differences(reference, entry, grader).blocking
    if blocking and not force:
        return Paired(None, f"{', '.join(blocking)} differ; --force tests anyway")
    if entry.evaluation.protocol.get("n") != 1 and not force:
        return Paired(None, "several samples per problem are not paired one by one")
    name = grader or reference.evaluation.grader
    a = registry.right_by_problem(reference.evaluation.uuid, name)
    b = registry.right_by_problem(entry.evaluation.uuid, name)
    shared = a.keys() & b.keys()
    if not shared:
        return Paired(None, "no problem was asked in both")
    result = compare_paired({key: a[key] for key in shared}, {key: b[key] for key in shared})
    discordant = result.only_a + result.only_b
    return Paired(result, detectable=minimum_detectable_difference(discordant, result.n))
