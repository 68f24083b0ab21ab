"""Further grades for responses that are stored already: what there is to grade, and the writing.

A grade belongs to a response, a grader and its version, so new grades stand beside the old ones.
The figures of an evaluation follow the newest version; an event keeps what they were before.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from core.registry.afterwards import change_with_journal
from core.registry.apply import apply_entries
from core.registry.entries import Entry, EventEntry, new_uuid
from core.registry.evaluation_queries import newest_grades
from core.registry.records import RunRecord, StoredGrade
from core.registry.regrade_writes import RegradedRow, regrade_entry, write_regrade
from core.registry.store import Registry
from core.registry.text_reading import text_reader


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
    folder: Path | None,
    evaluation: StoredEvaluation,
    rows: Sequence[RegradedRow],
) -> dict[str, Any]:
    """Write new grades and the figures that follow from them: into the journal and the registry.

    Args:
        registry: Where to.
        run: Whose evaluation it is.
        folder: Where its journal is; None where there is none here.
        evaluation: What was graded again.
        rows: New grades; a grade that is stored already stays as it is.

    Returns:
        Accuracy by grader before and after, and the grader versions behind the headline.

    Raises:
        UserError: a process records the run, or one of the two places cannot be written; nothing
            was changed.
    """
    change: dict[str, Any] = {}

    def work(connection: Connection, key: int) -> list[Entry]:
        entry = regrade_entry(evaluation.uuid, rows)
        done = write_regrade(connection, entry)
        change.update(done.change)
        if not done.new:  # another process has just done the same
            return []
        event = EventEntry(
            uuid=new_uuid(),
            time=time.time(),
            step=evaluation.step,
            severity="info",
            kind="regraded",
            message=f"{len(rows)} responses of the {evaluation.split} split were graded again",
            data={"evaluation": evaluation.uuid, **done.change},
        )
        apply_entries(connection, key, [event])
        return [entry, event]

    change_with_journal(registry, run, folder, work)
    return change
