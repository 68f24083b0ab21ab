"""Checks a plan against what the registry holds: met, not met, or cannot tell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from a5ctl.tables.entries import FROM, judged_by, protocol_differences
from a5ctl.tables.origins import ONE_RUN, Origins
from a5ctl.tables.pairs import detectable_difference, same_problems, shares
from a5ctl.tables.selection import selection_note
from a5ctl.tables.verdicts import Figures, Finding, Judged, PlanReport, Timing, Verdict
from core.criteria.plan import Criterion, LoadedPlan, Scope, plan_changes
from core.registry.records import EvaluationRecord, PlanRecord, RunRecord, RunStatus
from core.registry.store import Registry
from core.statistics import MIN_SEEDS, compare_across_seeds, compare_paired_shares, holm

ALPHA = 0.05
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Candidate:
    """A run that may be compared."""

    run: RunRecord
    evaluation: EvaluationRecord
    settings: Mapping[str, Any]


def check_plan(
    registry: Registry, loaded: LoadedPlan, versions: Sequence[PlanRecord], *, force: bool = False
) -> PlanReport:
    """Judge every criterion.

    Args:
        registry: Where the runs are.
        loaded: The plan.
        versions: All versions of its name in the registry, this one among them.
        force: Compare even where the protocols differ.
    """
    plan = loaded.plan
    every = registry.runs()
    origins = Origins(registry, every)
    runs = [(run, _settings(run, origins)) for run in every]
    members = {
        name: [(run, settings) for run, settings in runs if chosen.holds(run, settings)]
        for name, chosen in plan.sets.items()
    }
    sides, warnings = _sides(registry, members)
    drafts = [(c, _findings(registry, c, sides, force)) for c in plan.criterion]
    belonging = {run.uuid: run for own in members.values() for run, _ in own}
    if note := selection_note(belonging.values()):
        warnings.append(note)
    return PlanReport(
        plan=plan,
        hash=loaded.hash,
        timing=_timing(loaded, versions, list(belonging.values())),
        judged=_corrected(drafts),
        warnings=tuple(warnings),
    )


def _sides(
    registry: Registry, members: Mapping[str, Sequence[tuple[RunRecord, dict[str, Any]]]]
) -> tuple[dict[str, list[Candidate]], list[str]]:
    """Finished runs with an evaluation, oldest first; the others are named in warnings."""
    every = {run.uuid: run for own in members.values() for run, _ in own}
    evaluations = registry.last_evaluations(list(every))
    sides: dict[str, list[Candidate]] = {name: [] for name in members}
    left_out: dict[str, str] = {}
    for name, own in members.items():
        for run, settings in sorted(own, key=lambda pair: pair[0].created):
            evaluation = evaluations.get(run.uuid)
            if run.status is not RunStatus.FINISHED:
                left_out[run.id] = f"{run.id} is {run.status} and does not count"
            elif evaluation is None:
                left_out[run.id] = f"{run.id} has no evaluation and does not count"
            else:
                sides[name].append(Candidate(run, evaluation, settings))
    return sides, list(left_out.values())


def _findings(
    registry: Registry,
    criterion: Criterion,
    sides: Mapping[str, Sequence[Candidate]],
    force: bool,
) -> list[Finding]:
    found = []
    for place in criterion.places():
        base = _at(sides[criterion.baseline], place)
        for name in criterion.candidates:
            draft = Finding(name, criterion.baseline, place, Verdict.CANNOT_TELL)
            found += _compare(registry, criterion, draft, base, _at(sides[name], place), force)
    return found


def _at(side: Sequence[Candidate], place: Mapping[str, Any]) -> list[Candidate]:
    return [c for c in side if all(c.settings.get(key) == value for key, value in place.items())]


def _compare(
    registry: Registry,
    criterion: Criterion,
    draft: Finding,
    base: Sequence[Candidate],
    own: Sequence[Candidate],
    force: bool,
) -> list[Finding]:
    for name, side in ((draft.baseline, base), (draft.candidate, own)):
        if not side:
            return [replace(draft, reason=f"{name} has no finished run here")]
        if varying := _varying(side):
            why = f"{name} holds several settings here ({', '.join(varying)}); narrow it down"
            return [replace(draft, reason=why)]
    pairs = _paired_by_seed(base, own)
    if not pairs:
        return [replace(draft, reason="no seed was run on both sides")]
    if criterion.scope is Scope.CHECKPOINTS:
        return [_judge(registry, criterion, draft, [pair], force) for pair in pairs]
    return [_judge(registry, criterion, draft, pairs, force)]


def _settings(run: RunRecord, origins: Origins) -> dict[str, Any]:
    """A plan can ask for the run itself, or for what it started from."""
    settings, origin = origins.settings(run), origins.of(run)
    return dict(settings) if origin is None else {**settings, FROM: origin}


def _varying(side: Sequence[Candidate]) -> list[str]:
    """Settings that differ within a side, apart from seeds and the runs that weights came from."""
    keys = {key for c in side for key in c.settings}
    return sorted(
        key
        for key in keys
        if not key.endswith(".seed")
        and key not in ONE_RUN
        and len({repr(c.settings.get(key)) for c in side}) > 1
    )


def _paired_by_seed(
    base: Sequence[Candidate], own: Sequence[Candidate]
) -> list[tuple[Candidate, Candidate]]:
    """One pair per seed, newest runs; an untrained baseline that ran once serves every seed."""
    newest = {candidate.run.seed or 0: candidate for candidate in own}
    if len(base) == 1 and base[0].run.kind == "eval":
        return [(base[0], newest[seed]) for seed in sorted(newest)]
    reference = {candidate.run.seed or 0: candidate for candidate in base}
    return [(reference[seed], newest[seed]) for seed in sorted(reference.keys() & newest.keys())]


def _judge(
    registry: Registry,
    criterion: Criterion,
    draft: Finding,
    pairs: Sequence[tuple[Candidate, Candidate]],
    force: bool,
) -> Finding:
    ids = dict.fromkeys(c.run.id for pair in pairs for c in pair)
    draft = replace(draft, runs=tuple(ids))
    every = [candidate.evaluation for pair in pairs for candidate in pair]
    judged = judged_by(registry, every, criterion.grader)
    fields = {f for e in judged for f in protocol_differences(judged[0], e).blocking}
    if fields and not force:
        mend = "a5ctl regrade RUN judges all alike, " if "grader_version" in fields else ""
        why = f"protocols differ in {', '.join(sorted(fields))}; {mend}--force compares anyway"
        return replace(draft, reason=why)
    tables = [
        tuple(shares(registry, c.evaluation, criterion.metric, criterion.grader) for c in pair)
        for pair in pairs
    ]
    a = {number: table[0] for number, table in enumerate(tables)}
    b = {number: table[1] for number, table in enumerate(tables)}
    shared = set.intersection(*(set(table) for pair in tables for table in pair))
    same = same_problems(registry, every)
    if same is not None:
        shared &= same
        a, b = ({n: _only(t, shared) for n, t in side.items()} for side in (a, b))
    if not shared:
        return replace(draft, reason="no problem counts on both sides")
    figures = _figures(a, b, criterion.boundary, len(shared))
    if not criterion.significant:
        return replace(draft, figures=figures, verdict=_by_estimate(criterion, figures))
    if criterion.scope is Scope.SETTING and len(pairs) < MIN_SEEDS:
        why = f"{len(pairs)} paired of the {MIN_SEEDS} seeds that speak of a setting"
        return replace(draft, figures=figures, reason=why)
    return replace(draft, figures=figures, adjusted=figures.p)


def _figures(
    a: Mapping[int, Mapping[str, float]],
    b: Mapping[int, Mapping[str, float]],
    boundary: float,
    shared: int,
) -> Figures:
    """Over seeds where they suffice; else of the mean over seeds, which speaks of these runs."""
    if len(a) >= MIN_SEEDS and shared > 1:
        across = compare_across_seeds(a, b, boundary)
        return Figures(
            *(across.difference, across.interval, across.p, len(a), shared),
            *(across.detectable, across.seeds_needed),
        )
    mean_a, mean_b = _mean(a), _mean(b)
    one = compare_paired_shares(mean_a, mean_b, boundary)
    return Figures(
        one.difference, one.interval, one.p, len(a), one.n, detectable_difference(mean_a, mean_b)
    )


def _only(table: Mapping[str, float], kept: set[str]) -> dict[str, float]:
    return {key: value for key, value in table.items() if key in kept}


def _mean(tables: Mapping[int, Mapping[str, float]]) -> dict[str, float]:
    shared = set.intersection(*(set(table) for table in tables.values()))
    return {key: sum(t[key] for t in tables.values()) / len(tables) for key in shared}


def _by_estimate(criterion: Criterion, figures: Figures) -> Verdict:
    beyond = figures.difference - criterion.boundary
    beyond = beyond if criterion.direction.upwards else -beyond
    slack = -_ROUNDING if criterion.direction.allows_equality else _ROUNDING
    return Verdict.MET if beyond > slack else Verdict.NOT_MET


def _corrected(drafts: Sequence[tuple[Criterion, list[Finding]]]) -> tuple[Judged, ...]:
    """Holm over every test of the plan, then the verdicts that need a test."""
    tested = [f.adjusted for _, findings in drafts for f in findings if f.adjusted is not None]
    adjusted = iter(holm(tested))
    return tuple(
        Judged(
            criterion,
            tuple(
                f if f.adjusted is None else _by_test(criterion, f, next(adjusted))
                for f in findings
            ),
        )
        for criterion, findings in drafts
    )


def _by_test(criterion: Criterion, finding: Finding, p: float) -> Finding:
    if finding.figures is None or p >= ALPHA:
        return replace(finding, adjusted=p, reason="noise of this size explains either answer")
    return replace(finding, adjusted=p, verdict=_by_estimate(criterion, finding.figures))


def _timing(
    loaded: LoadedPlan, versions: Sequence[PlanRecord], judged: Sequence[RunRecord]
) -> Timing:
    place = next(n for n, version in enumerate(versions) if version.hash == loaded.hash)
    seen = versions[place].first_seen
    previous = versions[place - 1] if place else None
    began = {run.id: run.started if run.started is not None else run.created for run in judged}
    return Timing(
        first_seen=seen,
        judged=tuple(sorted(began)),
        earlier=tuple(sorted(run for run, start in began.items() if start < seen)),
        previous=previous,
        changes=tuple(plan_changes(previous.text, loaded.text)) if previous else (),
    )
