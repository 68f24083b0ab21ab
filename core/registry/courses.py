"""How accuracies moved, in short: for small pictures beside many runs at once."""

from collections.abc import Sequence

from core.registry.database import Database
from core.registry.evaluation_queries import NOT_SUPERSEDED
from core.registry.run_queries import read_among

Course = list[tuple[int, float]]


def accuracy_courses(database: Database, run_uuids: Sequence[str]) -> dict[str, Course]:
    """(step, accuracy) of the evaluations that ask what a run's last one asks, by run.

    Runs without an evaluation are left out. Of several at one step the one stored last counts.
    """
    sql = f"""SELECT r.uuid, e.step, e.accuracy, e.split, e.protocol
        FROM evaluation e JOIN run r ON r.key = e.run
        WHERE r.uuid IN (:values) AND {NOT_SUPERSEDED} ORDER BY e.step, e.segment, e.key"""
    wanted = set(run_uuids)
    found: dict[str, list[tuple[int, float, tuple[str, int]]]] = {}
    for uuid, step, accuracy, *asked in read_among(database, sql, run_uuids):
        if uuid in wanted:
            found.setdefault(uuid, []).append((step, accuracy, (asked[0], asked[1])))
    return {uuid: _like_the_last(rows) for uuid, rows in found.items()}


def _like_the_last(rows: Sequence[tuple[int, float, tuple[str, int]]]) -> Course:
    asked = rows[-1][2]
    return sorted({step: accuracy for step, accuracy, same in rows if same == asked}.items())
