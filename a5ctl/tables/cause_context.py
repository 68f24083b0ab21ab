"""What a registry knows beside the responses: how the run began, and how smaller siblings did."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from a5ctl.tables.lineage import parent_id
from core.config.flat import flatten
from core.protocol import compare_protocols
from core.registry.records import EvaluationRecord, Outcome, RunRecord
from core.registry.store import Registry
from core.responses.causes import CauseContext, Earlier, Sibling
from core.responses.names import GraderName
from core.statistics import PairedComparison, compare_paired_shares

FAR_BETTER = 0.10
"""A smaller sibling did far better if the paired interval of the difference lies above this; seeds
of one setting differ by up to half of it."""
_LARGEST_P = 0.01
# What a run decides by its size or for its own sake; none of it makes another experiment.
_OF_NO_MATTER = (
    *("name", "group", "tags", "note", "seed", "data.seed", "data.size", "train.epochs"),
    *("train.steps", "train.tokens", "train.checkpoint_every", "train.keep_last"),
    *("train.keep_best", "train.on_alarm", "train.max_rollbacks", "train.threads"),
    "train.microbatch_tokens",
)
_EVALUATION = "evaluation."


def cause_context(
    store: Registry,
    run: RunRecord,
    evaluation: EvaluationRecord,
    evaluations: Sequence[EvaluationRecord],
    grader: GraderName,
) -> CauseContext:
    """Everything that the search for causes is told about one evaluation.

    Args:
        store: Where the other evaluations are.
        run: The run that is diagnosed.
        evaluation: Its evaluation that is diagnosed.
        evaluations: All its evaluations.
        grader: Decides what is right.
    """
    trained = run.kind != "eval"
    return CauseContext(
        grader=grader,
        cap=evaluation.protocol.get("max_tokens"),
        from_tool="dump" in run.config,
        earlier=_earlier(store, run, evaluation, evaluations) if trained else None,
        sibling=_sibling(store, run, evaluation, grader) if trained else None,
    )


def training_size(run: RunRecord) -> float:
    """Training problems of a run; infinite where it takes all and nobody counted them."""
    size = run.size if run.size is not None else run.config.get("data", {}).get("size")
    return float("inf") if size is None else float(size)


def _earlier(
    store: Registry,
    run: RunRecord,
    evaluation: EvaluationRecord,
    evaluations: Sequence[EvaluationRecord],
) -> Earlier | None:
    """How the weights did by the last number before this evaluation, where that is comparable.

    The run's own evaluation at its start, else the one of the run it started from, else its own
    first one.
    """
    before = [e for e in evaluations if e.step < evaluation.step]
    own = min(before, key=lambda e: (e.step, e.time), default=None)
    for where, first in _beginnings(store, run, own):
        if _comparable(store, first, evaluation, GraderName.LENIENT):
            test = _compare(store, evaluation, first, GraderName.LENIENT)
            now = evaluation.accuracy_by_grader[GraderName.LENIENT]
            then = first.accuracy_by_grader[GraderName.LENIENT]
            return Earlier(where, first.step, then, now, test.interval[0])
    return None


def _beginnings(
    store: Registry, run: RunRecord, own: EvaluationRecord | None
) -> Iterator[tuple[str, EvaluationRecord]]:
    """Where a run's first weights were measured, the nearest to its beginning first, by run."""
    if own is not None and own.step == 0:
        yield run.id, own
    yield from _of_parent(store, run)
    if own is not None and own.step > 0:
        yield run.id, own


def _of_parent(store: Registry, run: RunRecord) -> list[tuple[str, EvaluationRecord]]:
    """The evaluations of the weights that a run took up, the newest first."""
    if run.parent_uuid is None:
        return []
    every = store.evaluations([run.parent_uuid])
    taken = run.config.get("model", {}).get("run_step")
    last = max((e.step for e in every), default=None)
    same = [e for e in every if e.step == (last if taken is None else taken)]
    return [(parent_id(run), e) for e in sorted(same, key=lambda e: -e.time)]


def _sibling(
    store: Registry, run: RunRecord, evaluation: EvaluationRecord, grader: GraderName
) -> Sibling | None:
    """The run with less data that did best, if it did far better beyond chance."""
    here = evaluation.accuracy_by_grader.get(grader)
    if here is None:
        return None
    tried = []
    for other, note in _smaller(store, run):
        last = _last_comparable(store, other, evaluation, grader)
        if last is not None and last.accuracy_by_grader.get(grader, 0.0) >= here + FAR_BETTER:
            tried.append((other, note, last, _compare(store, evaluation, last, grader)))
    held = _least_by_size(tried)
    best = max(held, key=lambda item: item[3].interval[0], default=None)
    if best is None:
        return None
    other, note, last, test = best
    p = min(1.0, test.p * len(tried))
    if test.interval[0] < FAR_BETTER or p >= _LARGEST_P:
        return None
    return Sibling(
        run=other.id,
        size=training_size(other),
        here=training_size(run),
        accuracy=last.accuracy_by_grader[grader],
        lost=test.only_b,
        difference=test.difference,
        p=p,
        note=note,
    )


_Tried = tuple[RunRecord, str, EvaluationRecord, PairedComparison]


def _least_by_size(tried: Sequence[_Tried]) -> list[_Tried]:
    """Of several seeds of one size the one that speaks least against the run."""
    least: dict[float, _Tried] = {}
    for item in tried:
        size = training_size(item[0])
        if size not in least or item[3].interval[0] < least[size][3].interval[0]:
            least[size] = item
    return list(least.values())


def _smaller(store: Registry, run: RunRecord) -> list[tuple[RunRecord, str]]:
    """Siblings with less data, and what else differs; those of the same seed where there are such.

    Siblings have the same settings but for the size, or stand in one group. A group in which other
    settings vary as well at one size is a sweep: what differs there is not the size.
    """
    mine, size = _settings(run), training_size(run)
    others = [
        (other, _settings(other))
        for other in store.runs(kind=run.kind)
        if other.uuid != run.uuid and other.model == run.model
    ]
    grouped = [(o, s) for o, s in others if run.group is not None and o.group == run.group]
    sweep = any(training_size(o) == size and s != mine for o, s in grouped)
    found = []
    for other, settings in others:
        same = settings == mine
        related = same or (not sweep and run.group is not None and other.group == run.group)
        if related and training_size(other) < size:
            found.append((other, _note(run, other, mine, settings)))
    same_seed = {training_size(other) for other, _ in found if other.seed == run.seed}
    return [(o, n) for o, n in found if o.seed == run.seed or training_size(o) not in same_seed]


def _settings(run: RunRecord) -> dict[str, Any]:
    flat = flatten(dict(run.config))
    return {
        key: value
        for key, value in flat.items()
        if key not in _OF_NO_MATTER and not key.startswith(_EVALUATION)
    }


def _note(
    run: RunRecord, other: RunRecord, mine: Mapping[str, Any], theirs: Mapping[str, Any]
) -> str:
    differing = sorted(k for k in mine.keys() | theirs.keys() if mine.get(k) != theirs.get(k))
    differing += ["seed"] if run.seed != other.seed else []
    return f"they also differ in {', '.join(differing)}" if differing else ""


def _last_comparable(
    store: Registry, run: RunRecord, evaluation: EvaluationRecord, grader: GraderName
) -> EvaluationRecord | None:
    every = store.evaluations([run.uuid])
    found = [e for e in every if _comparable(store, e, evaluation, grader)]
    return max(found, key=lambda e: (e.step, e.time), default=None)


def _comparable(
    store: Registry, a: EvaluationRecord, b: EvaluationRecord, grader: GraderName
) -> bool:
    """The same questions asked in the same way, judged by one version of the chosen grader."""
    blocking = compare_protocols(a.protocol, b.protocol).blocking
    if set(blocking) - {"grader", "grader_version"}:
        return False
    return len(set(store.grade_versions([a.uuid, b.uuid], grader).values())) == 1


def _compare(
    store: Registry, here: EvaluationRecord, there: EvaluationRecord, grader: GraderName
) -> PairedComparison:
    """Paired over problems; positive where `there` is better."""
    return compare_paired_shares(_shares(store, here, grader), _shares(store, there, grader))


def _shares(store: Registry, evaluation: EvaluationRecord, grader: GraderName) -> dict[str, float]:
    """Problem id -> share of its samples that are right."""
    counts = store.counts_by_problem(evaluation.uuid, Outcome.ACCURACY, grader)
    return {problem: right / samples for problem, (right, samples) in counts.items()}
