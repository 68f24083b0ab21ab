"""What it took a run to get to the moment at which it is compared: tokens and seconds."""

from collections.abc import Mapping, Sequence

from a5ctl.tables.carried import Carried
from a5ctl.tables.moments import At, Chosen, Moment
from core.registry.records import RunRecord
from core.registry.store import Registry

_TOKENS = "tokens_total"
Cost = tuple[float | None, float | None]


def costs_of(
    registry: Registry,
    runs: Sequence[RunRecord],
    chosen: Chosen,
    at: At,
    carried: Mapping[str, Carried],
) -> dict[str, Cost]:
    """(training tokens, seconds) of every run up to its moment, by uuid.

    Args:
        registry: Where the runs are.
        runs: The runs.
        chosen: The evaluations that stand for them.
        at: How they were chosen.
        carried: What runs took over from those they began with, which is added.
    """
    nothing = Carried()
    if at.moment is Moment.LAST:
        summaries = registry.metric_summaries([run.uuid for run in runs], [_TOKENS])
        tokens = {uuid: own[_TOKENS].last for uuid, own in summaries.items() if _TOKENS in own}
        seconds = {run.uuid: _seconds(run) for run in runs}
    else:
        moments = [(uuid, e.step) for uuid, e in chosen.evaluations.items()]
        spent = {uuid: p for (uuid, _), p in registry.values_at(moments, _TOKENS).items()}
        tokens = {uuid: point.value for uuid, point in spent.items()}
        started = {run.uuid: run.started for run in runs}
        seconds = {
            uuid: None if (begun := started[uuid]) is None else max(0.0, e.time - begun)
            for uuid, e in chosen.evaluations.items()
        }
    found = {}
    for run in runs:
        before = carried.get(run.uuid, nothing)
        fed, taken = tokens.get(run.uuid), seconds.get(run.uuid)
        found[run.uuid] = (
            before.tokens + fed if fed is not None else before.tokens or None,
            before.seconds + taken if taken is not None else None,
        )
    return found


def _seconds(run: RunRecord) -> float | None:
    ended = run.ended if run.ended is not None else run.heartbeat
    return ended - run.started if ended is not None and run.started is not None else None
