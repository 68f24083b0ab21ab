"""Paired tests of a table: run against run on the same problems, setting against setting."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from a5ctl.tables.entries import Entry, by_setting, protocol_differences
from core.registry.records import EvaluationRecord, Outcome
from core.registry.store import Registry
from core.statistics import (
    MIN_SEEDS,
    PairedComparison,
    SeedComparison,
    bootstrap_interval,
    compare_across_seeds,
    compare_paired_shares,
    holm,
    minimum_detectable_difference,
)


@dataclass(frozen=True, slots=True)
class Paired:
    """One run against the baseline on the same problems.

    Attributes:
        comparison: None when no test may be made.
        refused: Why not.
        adjusted: Holm-corrected p over the whole table.
        detectable: The difference found with 80% power at this discordance.
        bootstrap: 95% interval of the difference when problems are drawn again; it shares no
            formula with the test.
    """

    comparison: PairedComparison | None
    refused: str = ""
    adjusted: float | None = None
    detectable: float | None = None
    bootstrap: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class SettingTest:
    """A setting against the baseline's setting over paired seeds.

    Attributes:
        runs: Ids of the runs of the setting that have a partner.
        comparison: None when no test may be made.
        refused: Why not.
        adjusted: Holm-corrected p over the settings tested.
    """

    runs: tuple[str, ...]
    comparison: SeedComparison | None
    refused: str = ""
    adjusted: float | None = None


@dataclass(frozen=True, slots=True)
class Detectable:
    """The smallest difference, as a share, that so many problems find with 80% power.

    Attributes:
        seeds: Paired ones, where settings are compared and not two runs.
        seeds_needed: To find the difference that there is.
    """

    difference: float
    problems: int
    seeds: int | None = None
    seeds_needed: int | None = None


def paired_tests(
    registry: Registry,
    reference: Entry,
    entries: Sequence[Entry],
    grader: str | None,
    force: bool,
) -> dict[str, Paired]:
    """Every entry against the reference, by run id."""
    others = [entry for entry in entries if entry.run.uuid != reference.run.uuid]
    return corrected(
        {
            e.run.id: paired_test(registry, reference.evaluation, e.evaluation, grader, force)
            for e in others
        }
    )


def paired_test(
    registry: Registry,
    reference: EvaluationRecord,
    evaluation: EvaluationRecord,
    grader: str | None,
    force: bool = False,
) -> Paired:
    """One evaluation against another on the same problems, or why there is no such test."""
    blocking = protocol_differences(reference, evaluation).blocking
    if blocking and not force:
        return Paired(None, _refusal(blocking))
    a, b = paired_shares(registry, (reference, evaluation), grader or reference.grader)
    if not a.keys() & b.keys():
        return Paired(None, "no problem was asked in both")
    return Paired(
        compare_paired_shares(a, b),
        detectable=detectable_difference(a, b),
        bootstrap=bootstrap_interval(a, b),
    )


def corrected(tests: Mapping[str, Paired]) -> dict[str, Paired]:
    """The same tests with p values after Holm's correction over all of them."""
    made = {name: t.comparison for name, t in tests.items() if t.comparison is not None}
    adjusted = dict(zip(made, holm([found.p for found in made.values()]), strict=True))
    return {name: replace(t, adjusted=adjusted.get(name)) for name, t in tests.items()}


def setting_tests(
    registry: Registry,
    reference: Entry,
    entries: Sequence[Entry],
    grader: str | None,
    force: bool,
) -> tuple[SettingTest, ...]:
    """Every setting with several seeds against the reference's setting."""
    grouped = by_setting(entries)
    base = grouped.pop(reference.setting, {})
    if len(base) < 2:
        return ()
    tests = [
        _across(registry, base, own, grader, force) for own in grouped.values() if len(own) > 1
    ]
    made = [test.comparison.p for test in tests if test.comparison is not None]
    adjusted = iter(holm(made))
    return tuple(
        replace(test, adjusted=next(adjusted)) if test.comparison is not None else test
        for test in tests
    )


def detectable_of(paired: Mapping[str, Paired]) -> Detectable | None:
    """One figure for the table: the largest holds for every row."""
    known = [
        Detectable(test.detectable, test.comparison.n)
        for test in paired.values()
        if test.detectable is not None and test.comparison is not None
    ]
    return max(known, key=lambda found: found.difference, default=None)


def detectable_over_seeds(
    registry: Registry, rows: Sequence[Sequence[Entry]], grader: str | None
) -> Detectable | None:
    """The figure for two rows of one setting each; None where they share too few seeds."""
    if len(rows) < 2 or min(map(len, rows)) < MIN_SEEDS:
        return None
    a, b = ({e.run.seed: e for e in row if e.run.seed is not None} for row in rows[:2])
    found = _across(registry, a, b, grader, force=False).comparison
    if found is None:
        return None
    return Detectable(found.detectable, found.problems, len(found.seeds), found.seeds_needed)


def detectable_between(
    registry: Registry, entries: Sequence[Entry], grader: str | None
) -> Detectable | None:
    """The figure for two entries; None unless both answered the same under one protocol."""
    if len(entries) < 2:
        return None
    pair = (entries[0].evaluation, entries[1].evaluation)
    if protocol_differences(*pair).blocking:
        return None
    a, b = paired_shares(registry, pair, grader or pair[0].grader)
    shared = len(a.keys() & b.keys())
    return Detectable(detectable_difference(a, b), shared) if shared else None


def shares(
    registry: Registry, evaluation: EvaluationRecord, outcome: Outcome, grader: str
) -> dict[str, float]:
    """Problem id -> share of its samples with the outcome."""
    counts = registry.counts_by_problem(evaluation.uuid, outcome, grader)
    return {problem: hits / asked for problem, (hits, asked) in counts.items()}


def paired_shares(
    registry: Registry, pair: tuple[EvaluationRecord, EvaluationRecord], grader: str
) -> tuple[dict[str, float], dict[str, float]]:
    """For both, problem id -> share right, of the problems that mean the same in both."""
    same = same_problems(registry, pair)
    a, b = (_kept(shares(registry, one, Outcome.ACCURACY, grader), same) for one in pair)
    return a, b


def same_problems(
    registry: Registry, evaluations: Sequence[EvaluationRecord]
) -> frozenset[str] | None:
    """Ids that stand for the same question and truth in all of them; None where all ids do.

    Ids are unique within one data set only: the same id may stand for another question.
    """
    if len({evaluation.protocol.get("data_hash") for evaluation in evaluations}) == 1:
        return None
    asked = [registry.asked_problems(evaluation.uuid).items() for evaluation in evaluations]
    return frozenset(problem for problem, _ in set(asked[0]).intersection(*asked[1:]))


def detectable_difference(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    """What a paired test of these shares finds with 80% power; they must share a problem."""
    shared = a.keys() & b.keys()
    return minimum_detectable_difference(sum((b[k] - a[k]) ** 2 for k in shared), len(shared))


def _across(
    registry: Registry,
    base: Mapping[int, Entry],
    own: Mapping[int, Entry],
    grader: str | None,
    force: bool,
) -> SettingTest:
    seeds = sorted(base.keys() & own.keys())
    runs = tuple(own[seed].run.id for seed in seeds or sorted(own))
    if len(seeds) < MIN_SEEDS:
        why = f"its seeds paired with the baseline's are {len(seeds)}, and {MIN_SEEDS} are needed"
        return SettingTest(runs, None, why)
    first = base[seeds[0]].evaluation
    every = [side[seed].evaluation for seed in seeds for side in (base, own)]
    blocking = {f for e in every for f in protocol_differences(first, e).blocking}
    if blocking and not force:
        return SettingTest(runs, None, _refusal(sorted(blocking)))
    name = grader or first.grader
    same = same_problems(registry, every)
    a, b = (
        {
            seed: _kept(shares(registry, side[seed].evaluation, Outcome.ACCURACY, name), same)
            for seed in seeds
        }
        for side in (base, own)
    )
    try:
        return SettingTest(runs, compare_across_seeds(a, b))
    except ValueError as error:
        return SettingTest(runs, None, str(error))


def _refusal(fields: Sequence[str]) -> str:
    differ = "differs" if len(fields) == 1 else "differ"
    mend = "a5ctl regrade RUN judges both alike, " if "grader_version" in fields else ""
    return f"{', '.join(fields)} {differ}; {mend}--force tests anyway"


def _kept(table: dict[str, float], same: frozenset[str] | None) -> dict[str, float]:
    return table if same is None else {k: v for k, v in table.items() if k in same}
