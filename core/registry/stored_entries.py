"""What a database holds about a run as the journal lines that would have led to it."""

import json
from collections.abc import Iterator, Mapping, Sequence

from core.registry.database import Database
from core.registry.entries import (
    EvaluationEntry,
    EventEntry,
    GradeRow,
    ProblemRow,
    ProtocolRow,
    ResponseRow,
)
from core.registry.evaluation_queries import responses
from core.registry.later_entries import ProbeEntry, RegradeEntry
from core.registry.probe_queries import probes_of
from core.registry.probe_rows import probe_entry
from core.registry.records import StoredResponse
from core.registry.regrade_writes import Observations, RegradedRow, regrade_entry

_Grades = Mapping[tuple[str, int], Sequence[GradeRow]]
_NAMES = (
    *("uuid", "segment", "step", "split", "time", "n", "type1", "type2", "type3", "unclosed"),
    *("unparseable", "numeric", "truncated", "accuracy", "seconds", "generated_tokens"),
)


def stored_evaluation_entries(database: Database, run_uuid: str) -> Iterator[EvaluationEntry]:
    """Every evaluation of a run with all grades of its responses, one in memory at a time."""
    copied = ", ".join(f"e.{name}" for name in _NAMES)
    sql = f"""SELECT {copied}, e.interval_low, e.interval_high, e.accuracies, e.lengths,
            p.generation, p.grading, p.fields
        FROM evaluation e JOIN run r ON r.key = e.run JOIN protocol p ON p.key = e.protocol
        WHERE r.uuid = :uuid ORDER BY e.key"""
    for row in database.read(sql, {"uuid": run_uuid}):
        low, high, accuracies, lengths, generation, grading, text = row[len(_NAMES) :]
        fields = json.loads(text)
        answers = responses(database, row[0])
        grades = _grades(database, row[0])
        yield EvaluationEntry(
            **dict(zip(_NAMES, row, strict=False)),
            interval=(low, high),
            accuracies=json.loads(accuracies),
            lengths=json.loads(lengths),
            protocol=ProtocolRow(
                generation=generation,
                grading=grading,
                data_hash=fields["data_hash"],
                fields=fields,
            ),
            problems=_problems(answers),
            responses=[_response(answer, grades) for answer in answers],
        )


def stored_event_entries(database: Database, run_uuid: str) -> list[EventEntry]:
    """Every event of a run, in the order stored."""
    sql = """SELECT v.uuid, v.time, v.step, v.severity, v.kind, v.message, v.data
        FROM event v JOIN run r ON r.key = v.run WHERE r.uuid = :uuid ORDER BY v.key"""
    return [
        EventEntry(
            uuid=uuid,
            time=time,
            step=step,
            severity=severity,
            kind=kind,
            message=message,
            data=None if data is None else json.loads(data),
        )
        for uuid, time, step, severity, kind, message, data in (
            database.read(sql, {"uuid": run_uuid})
        )
    ]


def lacking_regrades(old: Database, new: Database, run_uuid: str) -> list[RegradeEntry]:
    """Grades of evaluations that both know, and that only the one holds."""
    there = _grade_counts(new, run_uuid)
    return [
        _lacking_grades(old, new, uuid)
        for uuid, count in _grade_counts(old, run_uuid).items()
        if count > there.get(uuid, count)
    ]


def lacking_probes(old: Database, new: Database, run_uuid: str) -> list[ProbeEntry]:
    """Probes of evaluations that both know, and that only the one holds."""
    there = set(_probe_names(new, run_uuid))
    known = set(_grade_counts(new, run_uuid))
    lacking = {
        uuid
        for uuid, kind, cap in _probe_names(old, run_uuid)
        if uuid in known and (uuid, kind, cap) not in there
    }
    return [
        probe_entry(uuid, probe)
        for uuid in sorted(lacking)
        for probe in probes_of(old, uuid, texts=True)
        if (uuid, probe.kind.value, probe.cap) not in there
    ]


def _grade_counts(database: Database, run_uuid: str) -> dict[str, int]:
    sql = """SELECT e.uuid, COUNT(*) FROM evaluation e JOIN run r ON r.key = e.run
        JOIN response x ON x.evaluation = e.key JOIN grade g ON g.response = x.key
        WHERE r.uuid = :uuid GROUP BY e.uuid"""
    return dict(database.read(sql, {"uuid": run_uuid}))


def _probe_names(database: Database, run_uuid: str) -> list[tuple[str, str, int]]:
    sql = """SELECT e.uuid, b.kind, b.cap FROM probe b JOIN evaluation e ON e.key = b.evaluation
        JOIN run r ON r.key = e.run WHERE r.uuid = :uuid"""
    return [(uuid, kind, cap) for uuid, kind, cap in database.read(sql, {"uuid": run_uuid})]


def _lacking_grades(old: Database, new: Database, evaluation_uuid: str) -> RegradeEntry:
    there = _grades(new, evaluation_uuid)
    grades = _grades(old, evaluation_uuid)
    rows = []
    for answer in responses(old, evaluation_uuid):
        name = (answer.problem_id, answer.sample)
        known = {(grade.grader, grade.version) for grade in there.get(name, ())}
        lacking = [g for g in grades.get(name, ()) if (g.grader, g.version) not in known]
        seen = Observations(answer.closed, answer.unparseable, tuple(sorted(answer.flags)))
        rows.append(RegradedRow(problem=name[0], sample=name[1], grades=lacking, seen=seen))
    return regrade_entry(evaluation_uuid, rows)


def _grades(database: Database, evaluation_uuid: str) -> _Grades:
    """Every version of every grade, by problem and sample."""
    sql = """SELECT p.id, x.sample, g.grader, g.version, g.formatted, g."right", g.extracted,
            g.failure
        FROM evaluation e JOIN response x ON x.evaluation = e.key
        JOIN problem p ON p.key = x.problem JOIN grade g ON g.response = x.key
        WHERE e.uuid = :uuid ORDER BY x.key, g.grader, g.version"""
    found: dict[tuple[str, int], list[GradeRow]] = {}
    for problem, sample, grader, version, formatted, right, extracted, failure in database.read(
        sql, {"uuid": evaluation_uuid}
    ):
        grade = GradeRow(
            grader=grader,
            version=version,
            formatted=bool(formatted),
            right=bool(right),
            extracted=extracted,
            failure=failure,
        )
        found.setdefault((problem, sample), []).append(grade)
    return found


def _problems(answers: Sequence[StoredResponse]) -> list[ProblemRow]:
    found = {a.problem_id: (a.question, a.truth) for a in answers}
    return [ProblemRow(id=name, question=q, truth=t) for name, (q, t) in found.items()]


def _response(answer: StoredResponse, grades: _Grades) -> ResponseRow:
    return ResponseRow(
        problem=answer.problem_id,
        sample=answer.sample,
        text=answer.text,
        finish=answer.finish,
        tokens=answer.tokens,
        think_tokens=answer.think_tokens,
        answer_position=answer.answer_position,
        closed=answer.closed,
        unparseable=answer.unparseable,
        flags=sorted(answer.flags),
        grades=list(grades.get((answer.problem_id, answer.sample), ())),
    )
