"""Runs with the evaluation they are compared by."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from a5ctl.tables.carried import Carried
from a5ctl.tables.costs import Cost, costs_of
from a5ctl.tables.moments import At, Chosen, choose
from a5ctl.tables.origins import FROM, Origins
from a5ctl.tables.samples import Sampled, accuracy_interval, sampled_of
from a5ctl.tables.settings import Settings
from core.protocol import ProtocolDifference, compare_protocols
from core.registry.records import EvaluationRecord, RunRecord, RunStatus
from core.registry.store import Registry


@dataclass(frozen=True, slots=True)
class Entry:
    """One run with the evaluation it is compared by.

    Attributes:
        settings: Dotted settings, labels left out; `kind` among them.
        accuracy: Under the chosen grader.
        types: Responses of type 1, 2 and 3 under it.
        value: What runs are compared by: the accuracy, or another figure or metric.
        interval: 95%, of the value, clustered by problem where a problem has several samples; None
            for what has none.
        tokens_trained: Training tokens fed; None for an evaluation.
        seconds: From start to end; None while it runs.
        sampled: None for one sample per problem.
        best_on_test: Its own accuracies on a test split chose the evaluation.
        carried: What it took over from the runs it began with, where that counts; tokens and
            seconds have it in them.
    """

    run: RunRecord
    evaluation: EvaluationRecord
    settings: Settings
    accuracy: float
    types: tuple[int, int, int]
    value: float
    interval: tuple[float, float] | None
    tokens_trained: float | None
    seconds: float | None
    sampled: Sampled | None = None
    best_on_test: bool = False
    carried: Carried | None = None

    @property
    def setting(self) -> str:
        """The same text for runs that differ in nothing but their seed."""
        return self.settings.text

    @property
    def reached(self) -> int | None:
        """The step of the evaluation of a run that has not ended; None behind the end.

        Ends of one setting lie at different steps where the data decide how many there are.
        """
        return None if self.run.status is RunStatus.FINISHED else self.evaluation.step


@dataclass(frozen=True, slots=True)
class Collected:
    """Entries of the runs that can be compared.

    Attributes:
        left_out: By run id why the others cannot.
        chosen: The evaluations that stand for them, and what is to be said of that choice.
    """

    entries: list[Entry]
    left_out: dict[str, str]
    chosen: Chosen


def collect_entries(
    registry: Registry,
    runs: Sequence[RunRecord],
    grader: str | None,
    *,
    at: At = At(),  # noqa: B008 (frozen)
    carried: Mapping[str, Carried] | None = None,
) -> Collected:
    """Read the evaluation that stands for each run, and what it took to get there.

    Args:
        registry: Where the runs are.
        runs: The runs.
        grader: Decides accuracy; each evaluation's own headline grader when None.
        at: The moment of a run that stands for it.
        carried: What runs took over from those they began with, by uuid, where that counts.
    """
    chosen = choose(registry, runs, at, grader, carried or {})
    costs = costs_of(registry, runs, chosen, at, carried or {})
    shown = list(chosen.evaluations.values())
    origins = Origins(registry, runs)
    types = registry.type_counts([e.uuid for e in shown], grader) if grader else {}
    judged = {e.uuid: e for e in judged_by(registry, shown, grader)}
    entries: list[Entry] = []
    left_out: dict[str, str] = {}
    for run in runs:
        found = chosen.evaluations.get(run.uuid)
        if found is None:
            left_out[run.id] = chosen.left_out[run.uuid]
            continue
        evaluation = judged[found.uuid]
        if grader is not None and grader not in evaluation.accuracy_by_grader:
            known = ", ".join(evaluation.accuracy_by_grader)
            left_out[run.id] = (
                f"has no accuracy under {grader}, which did not judge all its responses ({known} "
                "did)"
            )
            continue
        counts = types.get(evaluation.uuid)
        settings = settings_with_origin(run, origins)
        entry = _entry(registry, run, evaluation, settings, grader, counts, costs[run.uuid])
        on_test = run.uuid in chosen.on_test
        more = (carried or {}).get(run.uuid)
        if on_test or more is not None:
            entry = replace(entry, best_on_test=on_test, carried=more)
        entries.append(entry)
    return Collected(_parted(entries), left_out, chosen)


def settings_with_origin(run: RunRecord, origins: Origins) -> Settings:
    """Settings with what a training run started from in place of the one run that it was.

    The evaluation of a run stays with it: it has no seed of its own to tell it from others.
    """
    return origins.settings(run) if run.kind == "eval" else origins.settings_from(run)


def _parted(entries: Sequence[Entry]) -> list[Entry]:
    """Runs of one seed that started from several runs of one setting are several settings.

    Otherwise one of them would stand for that seed, and the others would be dropped.
    """
    parents: dict[tuple[str, int | None], set[str | None]] = defaultdict(set)
    for entry in entries:
        parents[(entry.setting, entry.run.seed)].add(entry.run.parent_uuid)
    mixed = {setting for (setting, _), found in parents.items() if len(found) > 1}
    return [
        _named(entry) if FROM in entry.settings and entry.setting in mixed else entry
        for entry in entries
    ]


def _named(entry: Entry) -> Entry:
    parent = entry.run.config.get("model", {}).get("run") or entry.run.parent_uuid
    origin = f"{entry.settings[FROM]}, {parent}"
    return replace(entry, settings=Settings({**entry.settings, FROM: origin}))


def judged_by(
    registry: Registry, evaluations: Sequence[EvaluationRecord], grader: str | None
) -> list[EvaluationRecord]:
    """The evaluations with a chosen grader, and the version that judged, in their protocols.

    Headline graders do not matter where one was chosen for all; the versions of that one do.
    """
    if grader is None:
        return list(evaluations)
    versions = registry.grade_versions([e.uuid for e in evaluations], grader)
    return [
        replace(
            e,
            protocol={**e.protocol, "grader": grader, "grader_version": versions.get(e.uuid)},
        )
        for e in evaluations
    ]


def protocol_differences(a: EvaluationRecord, b: EvaluationRecord) -> ProtocolDifference:
    """How the protocols of two evaluations differ."""
    return compare_protocols(a.protocol, b.protocol)


def by_setting(entries: Sequence[Entry]) -> dict[str, dict[int, Entry]]:
    """Entries by setting and seed; of several with one seed, the newest run."""
    grouped: dict[str, dict[int, Entry]] = defaultdict(dict)
    for entry in sorted(entries, key=lambda e: e.run.created):
        if entry.run.seed is not None:
            grouped[entry.setting][entry.run.seed] = entry
    return dict(grouped)


def _entry(
    registry: Registry,
    run: RunRecord,
    evaluation: EvaluationRecord,
    settings: Settings,
    grader: str | None,
    types: tuple[int, int, int] | None,
    cost: Cost,
) -> Entry:
    accuracy = evaluation.accuracy if grader is None else evaluation.accuracy_by_grader[grader]
    several = evaluation.protocol.get("n") != 1
    return Entry(
        run=run,
        evaluation=evaluation,
        settings=settings,
        accuracy=accuracy,
        types=types or (evaluation.type1, evaluation.type2, evaluation.type3),
        value=accuracy,
        interval=accuracy_interval(registry, evaluation, grader, accuracy),
        tokens_trained=cost[0],
        seconds=cost[1],
        sampled=sampled_of(registry, evaluation, grader) if several else None,
    )
