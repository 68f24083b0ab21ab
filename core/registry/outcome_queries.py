"""How often something happened, problem by problem: what paired tests are made of."""

from core.registry.database import Database
from core.registry.evaluation_queries import NEWEST_GRADE
from core.registry.records import Outcome

_JOINED = f"JOIN grade g ON g.response = x.key AND g.grader = :grader AND {NEWEST_GRADE}"
_RESPONSE_OUTCOMES = {
    Outcome.UNCLOSED: "NOT x.closed",
    Outcome.UNPARSEABLE: "x.unparseable",
    Outcome.TRUNCATED: "x.finish = 'length'",
    Outcome.LAST_NUMBER: "x.flags LIKE '%right_by_last_number%'",
}
_GRADE_OUTCOMES = {
    Outcome.ACCURACY: 'g.formatted AND g."right"',
    Outcome.FORMATTED: "g.formatted",
}


def counts_by_problem(
    database: Database, evaluation_uuid: str, outcome: Outcome, grader: str
) -> dict[str, tuple[int, int]]:
    """(samples with the outcome, samples) by problem id, without reading any text."""
    parameters = {"uuid": evaluation_uuid}
    joined = restricted = ""
    condition = _RESPONSE_OUTCOMES.get(outcome) or _GRADE_OUTCOMES[outcome]
    if outcome in _GRADE_OUTCOMES:
        parameters["grader"] = grader
        joined = _JOINED
    if outcome is Outcome.UNPARSEABLE:
        restricted = "AND x.unparseable IS NOT NULL"
    sql = f"""SELECT p.id, SUM(CASE WHEN {condition} THEN 1 ELSE 0 END), COUNT(*)
        FROM evaluation e JOIN response x ON x.evaluation = e.key
        JOIN problem p ON p.key = x.problem {joined}
        WHERE e.uuid = :uuid {restricted} GROUP BY p.id"""
    return {problem: (hits, asked) for problem, hits, asked in database.read(sql, parameters)}


def asked_problems(database: Database, evaluation_uuid: str) -> dict[str, tuple[str, str]]:
    """Question and truth by problem id."""
    sql = """SELECT p.id, p.question, p.truth FROM problem p WHERE p.key IN
        (SELECT x.problem FROM evaluation e JOIN response x ON x.evaluation = e.key
        WHERE e.uuid = :uuid)"""
    rows = database.read(sql, {"uuid": evaluation_uuid})
    return {problem: (question, truth) for problem, question, truth in rows}


def sampled_answers(
    database: Database, evaluation_uuid: str, grader: str
) -> dict[str, list[tuple[bool, str | None]]]:
    """(right, extracted answer) of every sample by problem id, in the order sampled."""
    sql = f"""SELECT p.id, g.formatted AND g."right", g.extracted
        FROM evaluation e JOIN response x ON x.evaluation = e.key
        JOIN problem p ON p.key = x.problem {_JOINED}
        WHERE e.uuid = :uuid ORDER BY x.problem, x.sample"""
    found: dict[str, list[tuple[bool, str | None]]] = {}
    parameters = {"uuid": evaluation_uuid, "grader": grader}
    for problem, right, extracted in database.read(sql, parameters):
        found.setdefault(problem, []).append((bool(right), extracted))
    return found
