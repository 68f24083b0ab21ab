"""Evaluations as journal entries: figures, problems, responses and verdicts, as recorded."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict

from pydantic import BaseModel

from core.data.problem import Problem
from core.evaluation import EvaluationResult, GradedResponse
from core.protocol import EvaluationProtocol
from core.registry.codec import clean
from core.registry.entries import (
    EvaluationEntry,
    GradeRow,
    ProblemRow,
    ProtocolRow,
    ResponseRow,
    clean_tree,
)
from core.registry.records import StoredGrade
from core.responses.grade import Verdict
from core.responses.names import GRADER_VERSIONS, FailureClass, GraderName


def evaluation_entry(
    result: EvaluationResult, identity: str, segment: int, time: float
) -> EvaluationEntry:
    """An evaluation result as it is recorded."""
    head = evaluation_head(result, identity, segment, time)
    rows = {"problems": problem_rows(result), "responses": response_rows(result)}
    return head.model_copy(update={name: list(found) for name, found in rows.items()})


def evaluation_head(
    result: EvaluationResult, identity: str, segment: int, time: float
) -> EvaluationEntry:
    """The figures of an evaluation, without its problems and responses."""
    summary = result.summary
    lengths = {
        "response": summary.lengths,
        "think": summary.think_lengths,
        "answer_position": summary.answer_positions,
    }
    return EvaluationEntry(
        uuid=identity,
        segment=segment,
        step=result.step,
        split=result.split,
        time=time,
        protocol=_protocol(result.protocol),
        n=summary.n,
        type1=summary.type1,
        type2=summary.type2,
        type3=summary.type3,
        unclosed=summary.unclosed,
        unparseable=summary.unparseable,
        numeric=summary.numeric,
        truncated=summary.truncated,
        accuracy=summary.accuracy,
        interval=summary.interval,
        accuracies={str(name): share for name, share in summary.accuracy_by_grader.items()},
        lengths={name: asdict(lengths[name]) for name in lengths},
        seconds=result.seconds,
        generated_tokens=result.generated_tokens,
        problems=[],
        responses=[],
    )


def evaluation_line(head: EvaluationEntry, result: EvaluationResult) -> Iterator[bytes]:
    """The journal line of an evaluation, row by row: all rows at once would fill the memory."""
    figures = head.model_dump_json(exclude={"problems", "responses"}).encode()
    yield figures[:-1] + b',"problems":['
    yield from _joined(problem_rows(result))
    yield b'],"responses":['
    yield from _joined(response_rows(result))
    yield b"]}\n"


def _joined(rows: Iterable[BaseModel]) -> Iterator[bytes]:
    for number, row in enumerate(rows):
        yield (b"," if number else b"") + row.model_dump_json().encode()


def problem_rows(result: EvaluationResult) -> Iterator[ProblemRow]:
    """The problems of an evaluation as they are recorded, one at a time."""
    return map(problem_row, result.problems)


def response_rows(result: EvaluationResult) -> Iterator[ResponseRow]:
    """The responses of an evaluation as they are recorded, one at a time."""
    return map(response_row, result.responses)


def problem_row(problem: Problem) -> ProblemRow:
    """A problem as it is recorded."""
    return ProblemRow(
        id=clean(problem.id), question=clean(problem.question), truth=clean(problem.truth)
    )


def _protocol(protocol: EvaluationProtocol) -> ProtocolRow:
    return ProtocolRow(
        generation=protocol.generation.fingerprint,
        grading=protocol.grading.fingerprint,
        data_hash=protocol.generation.data_hash,
        fields=clean_tree(protocol.fields()),
    )


def grade_row(name: GraderName, verdict: Verdict, failure: FailureClass | None) -> GradeRow:
    """A verdict as it is recorded, under the current version of its grader."""
    extracted = verdict.extracted
    return GradeRow(
        grader=str(name),
        version=GRADER_VERSIONS[name],
        formatted=verdict.formatted,
        right=verdict.right,
        extracted=None if extracted is None else clean(extracted),
        failure=None if failure is None else str(failure),
    )


def stored_grade(row: GradeRow) -> StoredGrade:
    """A recorded verdict as the registry hands it out."""
    return StoredGrade(row.formatted, row.right, row.extracted, row.failure, row.version)


def response_row(row: GradedResponse) -> ResponseRow:
    """A response as it is recorded."""
    return ResponseRow(
        problem=clean(row.problem_id),
        sample=row.sample,
        text=clean(row.text),
        finish=str(row.finish),
        tokens=len(row.token_ids),
        think_tokens=row.think_tokens,
        answer_position=row.answer_position,
        closed=row.closed,
        unparseable=row.unparseable,
        flags=sorted(str(flag) for flag in row.flags),
        grades=[grade_row(name, v, row.failures[name]) for name, v in row.verdicts.items()],
    )
