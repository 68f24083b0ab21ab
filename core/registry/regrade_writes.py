"""Writes further grades of stored responses, and the figures that follow from them."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, select, text, update

from core.protocol import GradingProtocol
from core.registry.codec import pack_lines, unpack_lines
from core.registry.entries import GradeRow, ProtocolRow
from core.registry.evaluation_queries import NEWEST_GRADE
from core.registry.later_entries import RegradeEntry
from core.registry.protocol_rows import protocol_key
from core.registry.response_writes import response_keys
from core.registry.schema import Evaluation, Run, table
from core.registry.verdict_sets import Ending, Noted, add_grades, change_notes
from core.statistics import clustered_rate


@dataclass(frozen=True, slots=True)
class Observations:
    """What grading finds out about a response beside the verdicts."""

    closed: bool
    unparseable: bool | None
    flags: tuple[str, ...]


class RegradedRow(BaseModel):
    """One response that was graded again.

    Attributes:
        problem: Id of the problem it answers.
        sample: Number of the sample for this problem, from 0.
        grades: The new ones.
        seen: What to note anew beside them; None leaves it.
    """

    model_config = ConfigDict(frozen=True)

    problem: str
    sample: int
    grades: list[GradeRow]
    seen: Observations | None = None


@dataclass(frozen=True, slots=True)
class Regraded:
    """What new grades led to.

    Attributes:
        new: There were grades among them that were not stored already.
        change: Accuracy by grader before and after, and the grader versions behind the headline.
    """

    new: bool
    change: dict[str, Any]


def regrade_entry(evaluation_uuid: str, rows: Iterable[RegradedRow]) -> RegradeEntry:
    """New grades of an evaluation as they are recorded."""
    lines = (row.model_dump_json().encode() for row in rows)
    return RegradeEntry(evaluation=evaluation_uuid, rows=pack_lines(lines))


def write_regrade(connection: Connection, entry: RegradeEntry) -> Regraded:
    """Insert grades that are not stored yet, and let the figures follow; twice changes nothing.

    Args:
        connection: An open write transaction.
        entry: What was graded.

    Raises:
        ValueError: the evaluation, or a response, is not there.
    """
    evaluation = _evaluation(connection, entry.evaluation)
    keys = response_keys(connection, evaluation.key)
    rows = [RegradedRow.model_validate_json(line) for line in unpack_lines(entry.rows)]
    unknown = [row for row in rows if (row.problem, row.sample) not in keys]
    if unknown:
        raise ValueError(f"evaluation {entry.evaluation} has no response to {unknown[0].problem}")
    before = _grades(connection, evaluation)
    add_grades(connection, {keys[row.problem, row.sample]: row.grades for row in rows})
    seen = {keys[row.problem, row.sample]: row.seen for row in rows if row.seen is not None}
    if seen:
        _observe(connection, evaluation, seen)
    change = _follow(connection, evaluation)
    return Regraded(_grades(connection, evaluation) != before, change)


@dataclass(frozen=True, slots=True)
class _Evaluation:
    key: int
    protocol: Mapping[str, Any]


def _evaluation(connection: Connection, uuid: str) -> _Evaluation:
    sql = """SELECT e.key, p.fields FROM evaluation e JOIN protocol p ON p.key = e.protocol
        WHERE e.uuid = :uuid"""
    row = connection.execute(text(sql), {"uuid": uuid}).first()
    if row is None:
        raise ValueError(f"there is no evaluation {uuid}")
    return _Evaluation(row.key, json.loads(row.fields))


def _grades(connection: Connection, evaluation: _Evaluation) -> int:
    sql = """SELECT COUNT(*) FROM response x JOIN grade g ON g.response = x.key
        WHERE x.evaluation = :key"""
    return int(connection.execute(text(sql), {"key": evaluation.key}).scalar_one())


def _observe(
    connection: Connection, evaluation: _Evaluation, found: Mapping[int, Observations]
) -> None:
    """Replace what is noted beside the verdicts, and count it anew."""
    evaluations = table(Evaluation)

    def observe(key: int, noted: Noted) -> Noted:
        seen = found[key]
        flags = ",".join(seen.flags)
        ending = Ending(noted.ending.finish, seen.closed, seen.unparseable, flags)
        return Noted(ending, noted.grades)

    change_notes(connection, list(found), observe)
    sql = """SELECT SUM(CASE WHEN closed THEN 0 ELSE 1 END),
            SUM(CASE WHEN unparseable THEN 1 ELSE 0 END), COUNT(unparseable)
        FROM response WHERE evaluation = :key"""
    unclosed, unparseable, numeric = connection.execute(text(sql), {"key": evaluation.key}).one()
    counted = {"unclosed": unclosed, "unparseable": unparseable, "numeric": numeric}
    connection.execute(
        update(evaluations).where(evaluations.c.key == evaluation.key).values(counted)
    )


def _follow(connection: Connection, evaluation: _Evaluation) -> dict[str, Any]:
    """Let an evaluation's figures and protocol follow the newest grades; returns both states."""
    evaluations = table(Evaluation)
    here = evaluations.c.key == evaluation.key
    old = connection.execute(select(evaluations).where(here)).mappings().one()
    counts = _counts(connection, evaluation)
    grader = str(evaluation.protocol["grader"])
    n, formatted, type1, version = counts[grader]
    low, high = clustered_rate(_right_by_problem(connection, evaluation, grader)).interval
    # a grader that judges only some of the problems has no accuracy over all of them
    whole = {name: found for name, found in counts.items() if found[0] == n}
    after = {name: right / total for name, (total, _, right, _) in whole.items()}
    values = {
        "type1": type1,
        "type2": formatted - type1,
        "type3": n - formatted,
        "accuracy": type1 / n,
        "interval_low": low,
        "interval_high": high,
        "accuracies": json.dumps(after),
        "protocol": _move_protocol(connection, old["run"], evaluation, version),
    }
    connection.execute(update(evaluations).where(here).values(values))
    return {
        "grader": grader,
        "versions": [evaluation.protocol["grader_version"], version],
        "before": json.loads(old["accuracies"]),
        "after": after,
        "types": [[old[name], values[name]] for name in ("type1", "type2", "type3")],
    }


def _counts(
    connection: Connection, evaluation: _Evaluation
) -> dict[str, tuple[int, int, int, int]]:
    """(graded, formatted, right, version) by grader, over the newest grades."""
    sql = f"""SELECT g.grader, COUNT(*), SUM(CASE WHEN g.formatted THEN 1 ELSE 0 END),
            SUM(CASE WHEN g."right" THEN 1 ELSE 0 END), MIN(g.version)
        FROM response x JOIN grade g ON g.response = x.key
        WHERE x.evaluation = :key AND {NEWEST_GRADE}
        GROUP BY g.grader ORDER BY g.grader"""
    rows = connection.execute(text(sql), {"key": evaluation.key})
    return {row[0]: (row[1], row[2], row[3], row[4]) for row in rows}


def _right_by_problem(
    connection: Connection, evaluation: _Evaluation, grader: str
) -> list[tuple[int, int]]:
    """(right samples, samples) of each problem; samples of one problem are not independent."""
    sql = f"""SELECT SUM(CASE WHEN g.formatted AND g."right" THEN 1 ELSE 0 END), COUNT(*)
        FROM response x JOIN grade g ON g.response = x.key AND g.grader = :grader
        WHERE x.evaluation = :key AND {NEWEST_GRADE} GROUP BY x.problem"""
    rows = connection.execute(text(sql), {"key": evaluation.key, "grader": grader})
    return [(right, asked) for right, asked in rows]


def _move_protocol(connection: Connection, run: int, evaluation: _Evaluation, version: int) -> int:
    """Key of the same protocol with this version of its grader; the run's mark moves with it."""
    found = select(table(Evaluation).c.protocol).where(table(Evaluation).c.key == evaluation.key)
    key = int(connection.execute(found).scalar_one())
    if version == evaluation.protocol["grader_version"]:
        return key
    grader = str(evaluation.protocol["grader"])
    sql = "SELECT generation, grading FROM protocol WHERE key = :key"
    generation, grading = connection.execute(text(sql), {"key": key}).one()
    moved = ProtocolRow(
        generation=generation,
        grading=GradingProtocol(grader, version).fingerprint,
        data_hash=str(evaluation.protocol["data_hash"]),
        fields={**evaluation.protocol, "grader_version": version},
    )
    runs = table(Run)
    stale = (runs.c.key == run) & (runs.c.protocol_hash == f"{generation}:{grading}")
    together = f"{generation}:{moved.grading}"
    connection.execute(update(runs).where(stale).values(protocol_hash=together))
    return protocol_key(connection, moved)
