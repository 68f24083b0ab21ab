"""Deletes what a run owns a little at a time, so that those who record are not held up.

One statement would hold the write lock for about three seconds per million metric values, and
whoever waits for longer than the busy timeout has to go on without the database.
"""

import time
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Delete, Select, delete, select, update

from core.registry.database import Database
from core.registry.query.reading import reading
from core.registry.schema import Evaluation, Metric, MetricName, Response, Run, Segment, table

CUT_SHORT = "its deletion was cut short; delete it again, or bring it back with a5ctl import"
"""Reason for the end of a run of which only a part is left."""

_ROWS = 20_000
_HOLD_S = 0.1


def delete_in_slices(database: Database, run: int) -> None:
    """Delete metrics, evaluations and rollouts of a run, in many short transactions.

    The first one forgets how much of the journal is held: should this be cut short, a merge of the
    journal brings everything back.

    Args:
        database: Where it is.
        run: Key of the run, whose row stays.

    Raises:
        RegistryUnavailableError: the registry cannot be written; a part may be gone.
    """
    with reading(database) as connection:
        slices = [*_metrics(connection, run), *_answered(connection, run)]
    if not slices:
        return
    runs = table(Run)
    mark = update(runs).where(runs.c.key == run)
    with database.begin() as connection:
        connection.execute(mark.values(journal_bytes=0, exit_reason=CUT_SHORT))
    while slices:
        started = time.monotonic()
        with database.begin() as connection:
            connection.execute(slices.pop())
            while slices and time.monotonic() - started < _HOLD_S:
                connection.execute(slices.pop())
        # those who wait for the lock look for it now and then; let them find it free
        time.sleep(time.monotonic() - started)


def _answered(connection: Connection, run: int) -> Iterator[Delete]:
    """Evaluations, and the rollouts of one step after the other, with what hangs on them."""
    evaluations, responses = table(Evaluation), table(Response)
    for key in _column(connection, select(evaluations.c.key).where(evaluations.c.run == run)):
        yield delete(evaluations).where(evaluations.c.key == key)
    steps = select(responses.c.step).where(responses.c.run == run).distinct()
    for step in _column(connection, steps):
        yield delete(responses).where(responses.c.run == run, responses.c.step == step)


def _metrics(connection: Connection, run: int) -> Iterator[Delete]:
    """Ranges of steps of at most so many rows, along the primary key."""
    metrics, segments = table(Metric), table(Segment)
    numbers = [0, *_column(connection, select(segments.c.number).where(segments.c.run == run))]
    for name in _column(connection, select(table(MetricName).c.key)):
        for number in numbers:
            place = (metrics.c.run, metrics.c.name, metrics.c.segment)
            here = [column == key for column, key in zip(place, (run, name, number), strict=True)]
            steps = select(metrics.c.step).where(*here).order_by(metrics.c.step)
            lowest = _column(connection, steps.limit(1))
            while lowest:
                above = steps.where(metrics.c.step >= lowest[0])
                bound = _column(connection, above.offset(_ROWS).limit(1))
                ends = [metrics.c.step < bound[0]] if bound else []
                yield delete(metrics).where(*here, metrics.c.step >= lowest[0], *ends)
                lowest = bound


def _column(connection: Connection, query: Select[Any]) -> list[Any]:
    return [row[0] for row in connection.execute(query)]
