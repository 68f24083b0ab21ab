"""Further grades for responses that are stored already: what there is to grade, and the writing.

A grade belongs to a response, a grader and its version, so new grades stand beside the old ones.
The figures of an evaluation follow the newest version; an event keeps what they were before.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, text, update

from core.protocol import GradingProtocol
from core.registry.apply import apply_entries, protocol_key
from core.registry.entries import EventEntry, GradeRow, ProtocolRow, new_uuid
from core.registry.evaluation_queries import NEWEST_GRADE, newest_grades
from core.registry.records import RunRecord, StoredGrade
from core.registry.schema import Evaluation, Run, table
from core.registry.store import Registry
from core.registry.text_reading import text_reader
from core.registry.verdict_sets import Ending, Noted, add_grades, change_notes
from core.statistics import clustered_rate


@dataclass(frozen=True, slots=True)
class StoredEvaluation:
    """An evaluation whose responses can be graded again.

    Attributes:
        protocol: Every field of its protocol.
    """

    key: int
    uuid: str
    step: int
    split: str
    n: int
    protocol: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoredText:
    """A response with what grading needs.

    Attributes:
        key: Of the response in the registry.
        grades: By grader name, newest version of each.
    """

    key: int
    problem_id: str
    question: str
    truth: str
    sample: int
    text: str
    finish: str
    grades: Mapping[str, StoredGrade]


@dataclass(frozen=True, slots=True)
class Observations:
    """What grading finds out about a response beside the verdicts."""

    closed: bool
    unparseable: bool | None
    flags: tuple[str, ...]


def stored_evaluations(registry: Registry, run_uuid: str) -> list[StoredEvaluation]:
    """Every evaluation of a run by step, those that a resume superseded too."""
    sql = """SELECT e.key, e.uuid, e.step, e.split, e.n, p.fields FROM evaluation e
        JOIN run r ON r.key = e.run JOIN protocol p ON p.key = e.protocol
        WHERE r.uuid = :uuid ORDER BY e.step, e.segment, e.time, e.key"""
    rows = registry.database.read(sql, {"uuid": run_uuid})
    return [
        StoredEvaluation(key, uuid, step, split, n, json.loads(fields))
        for key, uuid, step, split, n, fields in rows
    ]


def stored_texts(registry: Registry, evaluation: StoredEvaluation) -> list[StoredText]:
    """Every response of an evaluation, in the order asked."""
    sql = """SELECT x.key, p.id, p.question, p.truth, x.sample, x.text, x.finish
        FROM response x JOIN problem p ON p.key = x.problem
        WHERE x.evaluation = :key ORDER BY x.key"""
    found = newest_grades(registry.database, evaluation.uuid)
    rows = registry.database.read(sql, {"key": evaluation.key})
    texts = text_reader(registry.database)
    return [
        StoredText(key, problem, question, truth, sample, texts.text(packed), finish, grades)
        for key, problem, question, truth, sample, packed, finish in rows
        for grades in (found.get(key, {}),)
    ]


def store_regrade(
    registry: Registry,
    run: RunRecord,
    evaluation: StoredEvaluation,
    grades: Mapping[int, Sequence[GradeRow]],
    observations: Mapping[int, Observations],
) -> dict[str, Any]:
    """Write new grades and the figures that follow from them, in one transaction.

    Args:
        registry: Where to.
        run: Whose evaluation it is.
        evaluation: What was graded again.
        grades: New grades by response; a grade that is stored already stays as it is.
        observations: What to store anew beside the verdicts, by response; may be empty.

    Returns:
        Accuracy by grader before and after, and the grader versions behind the headline.

    Raises:
        UserError: the registry cannot be written; nothing was changed.
    """
    with registry.database.begin() as connection:
        before = _grades(connection, evaluation)
        add_grades(connection, grades)
        if observations:
            _observe(connection, evaluation, observations)
        change = _follow(connection, evaluation)
        if _grades(connection, evaluation) == before:  # another process has just done the same
            return change
        entry = EventEntry(
            uuid=new_uuid(),
            time=time.time(),
            step=evaluation.step,
            severity="info",
            kind="regraded",
            message=f"{len(grades)} responses of the {evaluation.split} split were graded again",
            data={"evaluation": evaluation.uuid, **change},
        )
        apply_entries(connection, run.key, [entry])
    return change


def _grades(connection: Connection, evaluation: StoredEvaluation) -> int:
    sql = """SELECT COUNT(*) FROM response x JOIN grade g ON g.response = x.key
        WHERE x.evaluation = :key"""
    return int(connection.execute(text(sql), {"key": evaluation.key}).scalar_one())


def _observe(
    connection: Connection, evaluation: StoredEvaluation, found: Mapping[int, Observations]
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


def _follow(connection: Connection, evaluation: StoredEvaluation) -> dict[str, Any]:
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
    connection: Connection, evaluation: StoredEvaluation
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
    connection: Connection, evaluation: StoredEvaluation, grader: str
) -> list[tuple[int, int]]:
    """(right samples, samples) of each problem; samples of one problem are not independent."""
    sql = f"""SELECT SUM(CASE WHEN g.formatted AND g."right" THEN 1 ELSE 0 END), COUNT(*)
        FROM response x JOIN grade g ON g.response = x.key AND g.grader = :grader
        WHERE x.evaluation = :key AND {NEWEST_GRADE} GROUP BY x.problem"""
    rows = connection.execute(text(sql), {"key": evaluation.key, "grader": grader})
    return [(right, asked) for right, asked in rows]


def _move_protocol(
    connection: Connection, run: int, evaluation: StoredEvaluation, version: int
) -> int:
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
