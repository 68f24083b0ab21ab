"""Responses across evaluations and runs: everything stored about one problem, and who solved what.

Functions over a whole registry, where `evaluation_queries` looks at single evaluations.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from core.registry.evaluation_queries import NEWEST_GRADE, NOT_SUPERSEDED, stored_response
from core.registry.records import StoredGrade, StoredResponse
from core.registry.store import Registry
from core.registry.text_reading import text_reader


@dataclass(frozen=True, slots=True)
class ProblemAnswer:
    """One response with where it comes from.

    Attributes:
        run_uuid: The run.
        run_id: Its short id.
        step: Optimizer updates done when it was asked.
        split: Part of the data the problem was asked from.
        time: When the evaluation ended, in seconds since the epoch.
        grader: Headline grader of that evaluation.
    """

    run_uuid: str
    run_id: str
    step: int
    split: str
    time: float
    grader: str
    response: StoredResponse


class ProblemOutcome(NamedTuple):
    """How one evaluation's samples of one problem came out under one grader; there are many.

    Attributes:
        key: Of the problem in the registry; the same in all evaluations of one data set.
        failure: Failure class of the first wrong sample; None when all are right.
    """

    evaluation_uuid: str
    key: int
    samples: int
    right: int
    failure: str | None


@dataclass(frozen=True, slots=True)
class ProblemText:
    """A problem as it was asked."""

    id: str
    question: str
    truth: str


def answers_to(
    registry: Registry, problem_id: str, run_uuid: str | None = None
) -> list[ProblemAnswer]:
    """Every stored response to the problems of this id, oldest run first, then by step.

    The same id can stand for different questions in different data sets.

    Args:
        registry: Where to look.
        problem_id: Exact id.
        run_uuid: Only responses of this run.
    """
    # problems first, then the index on (evaluation, problem): never a walk over all responses
    source = f"""FROM problem p CROSS JOIN evaluation e CROSS JOIN response x
        JOIN run r ON r.key = e.run JOIN protocol q ON q.key = e.protocol
        WHERE p.id = :id AND x.evaluation = e.key AND x.problem = p.key
        AND (:run = '' OR r.uuid = :run) AND {NOT_SUPERSEDED}"""
    given = {"id": problem_id, "run": run_uuid or ""}
    columns = """x.key, p.id, p.question, p.truth, x.sample, x.text, x.finish, x.tokens,
        x.think_tokens, x.answer_position, x.closed, x.unparseable, x.flags, r.uuid, r.id, e.step,
        e.split, e.time, q.fields"""
    order = "ORDER BY r.created, r.key, e.step, e.segment, e.time, x.sample"
    rows = registry.database.read(f"SELECT {columns} {source} {order}", given)
    grades = grades_of(registry, [row[0] for row in rows])
    texts = text_reader(registry.database)
    return [
        ProblemAnswer(
            uuid,
            short,
            step,
            split,
            time,
            _grader(fields),
            stored_response(row[:13], grades[row[0]], texts),
        )
        for row in rows
        for uuid, short, step, split, time, fields in (row[13:],)
    ]


def problem_ids(registry: Registry) -> list[str]:
    """Ids of all problems that evaluations ever asked."""
    sql = """SELECT DISTINCT id FROM problem
        WHERE key IN (SELECT problem FROM answer WHERE evaluation IS NOT NULL) ORDER BY id"""
    return [row[0] for row in registry.database.read(sql)]


def grades_of(registry: Registry, responses: Sequence[int]) -> dict[int, dict[str, StoredGrade]]:
    """The newest grade of every grader, by the key of the response."""
    sql = """SELECT response, grader, formatted, "right", extracted, failure, version
        FROM grade WHERE response IN (:values) ORDER BY version"""
    found: dict[int, dict[str, StoredGrade]] = {key: {} for key in responses}
    for key, grader, formatted, right, *rest in registry.database.read_in(sql, list(responses)):
        found[key][grader] = StoredGrade(bool(formatted), bool(right), *rest)
    return found


def failure_counts(
    registry: Registry, evaluation_uuids: Sequence[str], grader: str
) -> dict[str, dict[str | None, int]]:
    """Responses per failure class, right ones under None, by evaluation.

    One query for each evaluation, which groups by the few sets of verdicts: all in one would sort
    every response of every evaluation, and takes twice as long over a million of them.
    """
    judged = f"SELECT verdict_set, failure FROM verdict g WHERE grader = :grader AND {NEWEST_GRADE}"
    failures: dict[int, str | None] = dict(registry.database.read(judged, {"grader": grader}))
    sql = """SELECT x.verdict_set, COUNT(*) FROM evaluation e
        JOIN answer x ON x.evaluation = e.key WHERE e.uuid = :uuid GROUP BY x.verdict_set"""
    found: dict[str, dict[str | None, int]] = {}
    for uuid in evaluation_uuids:
        counts = found[uuid] = Counter[str | None]()
        for verdicts, n in registry.database.read(sql, {"uuid": uuid}):
            if verdicts in failures:
                counts[failures[verdicts]] += n
    return found


def problem_outcomes(
    registry: Registry, evaluation_uuids: Sequence[str], grader: str
) -> list[ProblemOutcome]:
    """How every problem of these evaluations came out, in the order asked; no text is read."""
    sql = f"""SELECT e.uuid, x.problem, COUNT(*), SUM(CASE WHEN g."right" THEN 1 ELSE 0 END),
            MIN(g.failure) FROM evaluation e
        JOIN answer x ON x.evaluation = e.key
        JOIN verdict g ON g.verdict_set = x.verdict_set AND g.grader = :grader
        WHERE e.uuid IN (:values) AND {NEWEST_GRADE}
        GROUP BY e.uuid, x.problem ORDER BY MIN(x.key)"""
    rows = registry.database.read_in(sql, list(evaluation_uuids), grader=grader)
    return [ProblemOutcome._make(row) for row in rows]


def problem_texts(registry: Registry, keys: Sequence[int]) -> dict[int, ProblemText]:
    """Problems by key."""
    sql = "SELECT key, id, question, truth FROM problem WHERE key IN (:values)"
    rows = registry.database.read_in(sql, list(keys))
    return {key: ProblemText(*rest) for key, *rest in rows}


def solvers(
    registry: Registry, texts: Mapping[int, ProblemText], grader: str
) -> tuple[dict[int, set[str]], dict[int, set[str]]]:
    """Which runs ever answered a question, and which ever answered it right.

    Args:
        registry: Where to look.
        texts: Problems by key; the same question and truth in other data sets count too.
        grader: Decides what is right.

    Returns:
        Ids of the runs that asked, and of those that were right, by key.
    """
    twins = _twins(registry, texts)
    sql = f"""SELECT x.problem, r.id, MAX(CASE WHEN g."right" THEN 1 ELSE 0 END)
        FROM evaluation e CROSS JOIN answer x JOIN run r ON r.key = e.run
        JOIN verdict g ON g.verdict_set = x.verdict_set AND g.grader = :grader
        WHERE x.evaluation = e.key AND x.problem IN (:values)
        AND {NEWEST_GRADE} AND {NOT_SUPERSEDED} GROUP BY x.problem, r.id"""
    asked: dict[int, set[str]] = {key: set() for key in texts}
    right: dict[int, set[str]] = {key: set() for key in texts}
    for problem, run, solved in registry.database.read_in(sql, list(twins), grader=grader):
        for key in twins[problem]:
            asked[key].add(run)
            if solved:
                right[key].add(run)
    return asked, right


def _twins(registry: Registry, texts: Mapping[int, ProblemText]) -> dict[int, list[int]]:
    """Keys of all stored problems that ask one of these questions, with the keys they stand for."""
    wanted: dict[tuple[str, str], list[int]] = {}
    for key, text in texts.items():
        wanted.setdefault((text.question, text.truth), []).append(key)
    rows: Iterable[tuple[Any, ...]] = registry.database.read(
        "SELECT key, question, truth FROM problem"
    )
    return {
        key: wanted[question, truth] for key, question, truth in rows if (question, truth) in wanted
    }


def _grader(fields: str) -> str:
    return str(json.loads(fields)["grader"])
