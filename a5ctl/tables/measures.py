"""What a comparison measures runs by: a figure of their evaluations, or a metric of training."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from a5ctl.figures import ACCURACY, SHARES, TYPES, figure_of
from a5ctl.tables.entries import Entry
from core.errors import UserError
from core.registry.store import Registry

LENGTH = "length"
_SMALLER = ("loss", "grad_norm", "kl", "perplexity", LENGTH, "type2", "type3", *SHARES[1:])
_LARGER = (ACCURACY, "formatted", "type1", "reward", "margin", "right_share", "formatted_share")
_Found = tuple[float, tuple[float, float] | None]


@dataclass(frozen=True, slots=True)
class Measure:
    """What the rows are compared by.

    Attributes:
        share: Shown in percent.
        evaluated: Of evaluations; else a metric that training recorded.
        better: 1 where larger values are better, -1 where smaller ones are, 0 where neither is.
    """

    name: str = ACCURACY
    share: bool = True
    evaluated: bool = True
    better: int = 1


def measure_of(name: str) -> Measure:
    """The measure of this name, as far as the name tells."""
    grader = name.startswith(f"{ACCURACY}.")
    evaluated = grader or name in (ACCURACY, *SHARES, *TYPES, LENGTH)
    share = (evaluated and name != LENGTH) or name.endswith(("_share", "_fraction"))
    better = 1 if grader or name in _LARGER else -1 if name in _SMALLER else 0
    return Measure(name, share, evaluated, better)


def measured(
    registry: Registry, entries: Sequence[Entry], measure: Measure, *, at_the_end: bool
) -> tuple[list[Entry], dict[str, str]]:
    """Entries with their values, and by run id why others have none.

    Args:
        registry: Where they are.
        entries: Runs with the evaluation that stands for them.
        measure: What is wanted.
        at_the_end: A metric of training is its last value; else that at the evaluation's step.

    Raises:
        UserError: none of the runs has it.
    """
    if measure.name == ACCURACY:
        return list(entries), {}
    values: Mapping[str, _Found]
    if measure.evaluated:
        values = {e.run.uuid: found for e in entries if (found := _evaluated(e, measure.name))}
    else:
        values = _recorded(registry, entries, measure.name, at_the_end=at_the_end)
    if not values:
        raise UserError(_unknown(registry, entries, measure.name))
    kept = [
        replace(e, value=values[e.run.uuid][0], interval=values[e.run.uuid][1])
        for e in entries
        if e.run.uuid in values
    ]
    gone = {e.run.id: f"has no {measure.name}" for e in entries if e.run.uuid not in values}
    return kept, gone


def _evaluated(entry: Entry, name: str) -> _Found | None:
    if name == LENGTH:
        lengths = entry.evaluation.lengths.get("response") or {}
        return (lengths["mean"], None) if lengths.get("n") else None
    type1, type2, type3 = entry.types  # under the grader that was chosen for all
    judged = replace(entry.evaluation, type1=type1, type2=type2, type3=type3)
    found = figure_of(judged, name)
    return None if found is None else (found[0], found[1:])


def _recorded(
    registry: Registry, entries: Sequence[Entry], name: str, *, at_the_end: bool
) -> Mapping[str, _Found]:
    if at_the_end:
        summaries = registry.metric_summaries([e.run.uuid for e in entries], [name])
        return {uuid: (own[name].last, None) for uuid, own in summaries.items() if name in own}
    moments = [(e.run.uuid, e.evaluation.step) for e in entries]
    found = registry.values_at(moments, name)
    return {uuid: (point.value, None) for (uuid, _), point in found.items()}


def _unknown(registry: Registry, entries: Sequence[Entry], name: str) -> str:
    summaries = registry.metric_summaries([e.run.uuid for e in entries])
    recorded = {metric for own in summaries.values() for metric in own}
    graders = {f"{ACCURACY}.{g}" for e in entries for g in e.evaluation.accuracy_by_grader}
    known = sorted({ACCURACY, *SHARES, *TYPES, LENGTH, *graders, *recorded})
    if name in recorded:
        return f"none of these runs has recorded {name} so early; choose a later --at"
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known[:12])}"
    return f"these runs have no metric {name!r}; {hint}"
