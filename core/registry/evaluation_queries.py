"""Queries about evaluations, responses and grades."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from core.errors import UserError
from core.registry.codec import stored_table
from core.registry.database import Database, Row
from core.registry.records import EvaluationRecord, StoredGrade, StoredResponse
from core.registry.run_queries import LAST_EVALUATION, read_among
from core.registry.text_reading import text_reader
from core.registry.texts import TextReader

NEWEST_GRADE = "g.newest"
"""SQL condition: the grade `g` is of the newest version of its grader for its response."""

NOT_SUPERSEDED = """NOT EXISTS (SELECT 1 FROM segment s
    WHERE s.run = e.run AND s.number > e.segment AND s.start_step < e.step)"""
"""Condition on an evaluation `e`: no rollback or resume took it back."""
_RANK = "ORDER BY e.step, e.segment, e.key"  # keys grow; a clock may have been set back


_FIGURES = """e.uuid, r.uuid, e.segment, e.step, e.split, e.time, e.n, e.type1, e.type2,
    e.type3, e.unclosed, e.unparseable, e.numeric, e.truncated, e.accuracy, e.interval_low,
    e.interval_high, e.accuracies, e.lengths, e.seconds, e.generated_tokens, e.protocol"""

_COUNTS = (int, type(None))


def evaluations(database: Database, run_uuids: Sequence[str]) -> list[EvaluationRecord]:
    """Evaluations by step; of several of the same step, split and protocol the newest."""
    sql = f"""SELECT {_FIGURES} FROM evaluation e JOIN run r ON r.key = e.run
        WHERE r.uuid IN (:values) AND {NOT_SUPERSEDED} {_RANK}"""
    newest: dict[tuple[str, int, str, int], Row] = {}
    for row in database.read_in(sql, list(run_uuids)):
        newest[row[1], row[3], row[4], row[-1]] = row
    order = {uuid: index for index, uuid in enumerate(run_uuids)}
    found = _records(database, newest.values())
    return sorted(found, key=lambda e: (order[e.run_uuid], e.step, e.time))


def last_evaluations(database: Database, run_uuids: Sequence[str]) -> dict[str, EvaluationRecord]:
    """The evaluation that stands for each run that has one, by run: what `headlines` shows of it.

    The others are not read, so that a listing costs the same however often runs are evaluated.
    """
    sql = f"""SELECT {_FIGURES} FROM run r JOIN evaluation e ON e.key = {LAST_EVALUATION}
        WHERE r.uuid IN (:values)"""
    wanted = set(run_uuids)
    rows = [row for row in read_among(database, sql, run_uuids) if row[1] in wanted]
    return {record.run_uuid: record for record in _records(database, rows)}


def _records(database: Database, rows: Iterable[Row]) -> list[EvaluationRecord]:
    """Rows of `_FIGURES`; protocols, which many of them share, are read once."""
    rows = list(rows)
    keys = list({row[-1] for row in rows})
    sql = "SELECT key, generation, grading, fields FROM protocol WHERE key IN (:values)"
    protocols = {
        key: (generation, grading, stored_table(fields, "the protocol of an evaluation"))
        for key, generation, grading, fields in database.read_in(sql, keys)
    }
    return [_evaluation(row, protocols[row[-1]]) for row in rows]


def responses(database: Database, evaluation_uuid: str) -> list[StoredResponse]:
    """Every response of an evaluation in the order asked, with all grades."""
    sql = """SELECT x.key, p.id, p.question, p.truth, x.sample, x.text, x.finish, x.tokens,
            x.think_tokens, x.answer_position, x.closed, x.unparseable, x.flags
        FROM response x JOIN evaluation e ON e.key = x.evaluation
        JOIN problem p ON p.key = x.problem
        WHERE e.uuid = :uuid ORDER BY x.key"""
    grades = newest_grades(database, evaluation_uuid)
    rows = database.read(sql, {"uuid": evaluation_uuid})
    texts = text_reader(database)
    return [stored_response(row, grades.get(row[0], {}), texts) for row in rows]


def right_by_problem(database: Database, evaluation_uuid: str, grader: str) -> dict[str, bool]:
    """Whether the first sample of each problem is right, without reading any text."""
    sql = """SELECT p.id, g."right" FROM evaluation e
        JOIN answer x ON x.evaluation = e.key
        JOIN problem p ON p.key = x.problem
        JOIN verdict g ON g.verdict_set = x.verdict_set AND g.grader = :grader
        WHERE e.uuid = :uuid AND x.sample = 0 ORDER BY g.version"""
    rows = database.read(sql, {"uuid": evaluation_uuid, "grader": grader})
    return {problem: bool(right) for problem, right in rows}


def type_counts(
    database: Database, evaluation_uuids: Sequence[str], grader: str
) -> dict[str, tuple[int, int, int]]:
    """Responses of type 1, 2 and 3 under any grader, by evaluation."""
    sql = f"""SELECT e.uuid, SUM(CASE WHEN g.formatted AND g."right" THEN 1 ELSE 0 END),
            SUM(CASE WHEN g.formatted AND NOT g."right" THEN 1 ELSE 0 END),
            SUM(CASE WHEN g.formatted THEN 0 ELSE 1 END)
        FROM evaluation e JOIN answer x ON x.evaluation = e.key
        JOIN verdict g ON g.verdict_set = x.verdict_set AND g.grader = :grader
        WHERE e.uuid IN (:values) AND {NEWEST_GRADE}
        GROUP BY e.uuid"""
    rows = database.read_in(sql, list(evaluation_uuids), grader=grader)
    return {uuid: (type1, type2, type3) for uuid, type1, type2, type3 in rows}


def grade_versions(
    database: Database, evaluation_uuids: Sequence[str], grader: str
) -> dict[str, int]:
    """Version of the newest grades by evaluation; the oldest of them where they are mixed."""
    sql = f"""SELECT e.uuid, MIN(g.version) FROM evaluation e
        JOIN answer x ON x.evaluation = e.key
        JOIN verdict g ON g.verdict_set = x.verdict_set AND g.grader = :grader
        WHERE e.uuid IN (:values) AND {NEWEST_GRADE} GROUP BY e.uuid"""
    return dict(database.read_in(sql, list(evaluation_uuids), grader=grader))


def solved_questions(database: Database, run_uuid: str, grader: str) -> set[str]:
    """Questions that any response of the run's visible evaluations answers right."""
    sql = f"""SELECT p.question, x.key, g."right" FROM evaluation e
        JOIN run r ON r.key = e.run
        JOIN answer x ON x.evaluation = e.key
        JOIN problem p ON p.key = x.problem
        JOIN verdict g ON g.verdict_set = x.verdict_set AND g.grader = :grader
        WHERE r.uuid = :uuid AND {NOT_SUPERSEDED} ORDER BY g.version"""
    newest: dict[int, tuple[str, bool]] = {}
    for question, response, right in database.read(sql, {"uuid": run_uuid, "grader": grader}):
        newest[response] = (question, bool(right))
    return {question for question, right in newest.values() if right}


def newest_grades(database: Database, evaluation_uuid: str) -> dict[int, dict[str, StoredGrade]]:
    """The newest grade of every grader, by the key of the response."""
    sql = """SELECT g.response, g.grader, g.formatted, g."right", g.extracted, g.failure, g.version
        FROM evaluation e JOIN answer x ON x.evaluation = e.key JOIN grade g ON g.response = x.key
        WHERE e.uuid = :uuid ORDER BY g.version"""
    return by_response(database.read(sql, {"uuid": evaluation_uuid}))


def by_response(rows: Iterable[Row]) -> dict[int, dict[str, StoredGrade]]:
    """Rows of response, grader, formatted, right, extracted, failure and version; the last wins."""
    found: dict[int, dict[str, StoredGrade]] = {}
    for response, grader, formatted, right, *rest in rows:
        grade = StoredGrade(bool(formatted), bool(right), *rest)
        found.setdefault(response, {})[grader] = grade
    return found


def stored_response(row: Row, grades: dict[str, StoredGrade], texts: TextReader) -> StoredResponse:
    """A row of the columns that `responses` selects, with its grades."""
    _, problem, question, truth, sample, text, finish, tokens, think, answer, *rest = row
    closed, unparseable, flags = rest
    return StoredResponse(
        problem_id=problem,
        question=question,
        truth=truth,
        sample=sample,
        text=texts.text(text),
        finish=finish,
        tokens=tokens,
        think_tokens=think,
        answer_position=answer,
        closed=bool(closed),
        unparseable=None if unparseable is None else bool(unparseable),
        flags=frozenset(flags.split(",")) if flags else frozenset(),
        grades=grades,
    )


def _evaluation(row: Row, protocol: tuple[str, str, Mapping[str, Any]]) -> EvaluationRecord:
    if not row[6] or not all(type(count) in _COUNTS for count in (row[3], *row[6:14])):
        raise UserError(
            "the row of an evaluation in the registry is damaged: a count in it is none; correct "
            "it, or restore a backup of the registry"
        )
    low, high, accuracies, lengths, seconds, tokens = row[15:21]
    shares = stored_table(accuracies, "the accuracies of an evaluation")
    measured = ((low, high), shares, lengths, seconds, tokens)
    values = (*row[:15], *measured, *protocol)
    return EvaluationRecord(*values)
