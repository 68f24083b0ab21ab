"""Responses that came along with another tool's run, graded as evaluations of it."""

import hashlib
import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from core.data.dumps import DumpedResponse
from core.dump_evaluation import DumpSettings, grade_dump
from core.errors import UserError
from core.evaluation import EvaluationResult
from core.interchange.foreign import ForeignEvaluation, ForeignRun
from core.interchange.limits import MOST_RESPONSES
from core.protocol import EvaluationProtocol
from core.registry.entries import EvaluationEntry, clean_tree
from core.registry.evaluation_entries import evaluation_entry
from core.responses.names import GraderName


@dataclass(frozen=True, slots=True)
class KeepOptions:
    """What a person says about the runs that are imported.

    Attributes:
        name: Name of the run; its own when None.
        group: Group; its own when None.
        tags: Added to its own.
        grader: Headline grader of responses; what their format suggests when None.
        settings: How responses are read; name and grader in it do not count.
    """

    name: str | None = None
    group: str | None = None
    tags: tuple[str, ...] = ()
    grader: GraderName | None = None
    settings: DumpSettings = field(default_factory=lambda: DumpSettings(""))


@dataclass(slots=True)
class Totals:
    """What the journal holds, counted while it is written."""

    values: int = 0
    evaluations: int = 0
    responses: int = 0
    data_hash: str | None = None


def evaluation_entries(
    run: ForeignRun, options: KeepOptions, totals: Totals
) -> Iterator[EvaluationEntry]:
    """Journal entries, one step in memory at a time; what is left out is noted on the run."""
    grader = options.grader
    for evaluation in run.evaluations:
        responses = list(islice(evaluation.responses, MOST_RESPONSES + 1))
        if len(responses) > MOST_RESPONSES:
            del responses[MOST_RESPONSES:]
            text = f"{evaluation.place}: responses beyond the first {MOST_RESPONSES:,}"
            run.left_out.append(text)
        if not responses:
            run.left_out.append(f"{evaluation.place}: it holds no responses that can be graded")
            continue
        grader = grader or suggested_grader(responses)
        try:
            result = _graded(run, evaluation, responses, grader, options)
        except UserError as error:
            run.left_out.append(f"{evaluation.place}: {error}")
            continue
        for name, mean in evaluation.tally.means().items():
            run.curves.add(f"source/{name}", result.step, evaluation.time, mean)
        totals.evaluations += 1
        totals.responses += len(result.responses)
        totals.data_hash = totals.data_hash or result.protocol.generation.data_hash
        identity = _evaluation_uuid(run, result)
        yield evaluation_entry(result, identity, 0, evaluation.time)
    _name_unused(run)


def _name_unused(run: ForeignRun) -> None:
    """One sentence about all entries that are no responses, with the reason for the first."""
    tallies = [item.tally for item in run.evaluations if item.tally.unused]
    if tallies:
        number = sum(tally.unused for tally in tallies)
        text = f"{number:,} entries that are no graded responses (the first: {tallies[0].reason})"
        run.left_out.append(text)


def suggested_grader(responses: Sequence[DumpedResponse]) -> GraderName:
    """The grader for the format that most responses try: tags, boxes, or just a last number."""
    tagged = sum("<answer>" in r.text or "</think>" in r.text for r in responses)
    boxed = sum("\\boxed" in response.text for response in responses)
    if 2 * boxed >= len(responses) and boxed > tagged:
        return GraderName.QUESTION_ONLY
    return GraderName.R1_ZERO if tagged else GraderName.LENIENT


def _graded(
    run: ForeignRun,
    evaluation: ForeignEvaluation,
    responses: list[DumpedResponse],
    grader: GraderName,
    options: KeepOptions,
) -> EvaluationResult:
    name = run.data if run.data != "unknown" else evaluation.split
    settings = replace(options.settings, name=name, grader=grader)
    same_step = (replace(response, step=None) for response in responses)
    (result,) = grade_dump(same_step, settings)
    generation = replace(result.protocol.generation, split=evaluation.split)
    protocol = EvaluationProtocol(generation, result.protocol.grading)
    return replace(result, protocol=protocol, step=evaluation.step, split=evaluation.split)


def _evaluation_uuid(run: ForeignRun, result: EvaluationResult) -> str:
    """The same for the same responses of the same step under the same protocol."""
    digest = hashlib.sha256()
    for row in result.responses:
        digest.update(f"{row.problem_id}\0{row.sample}\0{row.finish}\0{row.text}\0".encode())
    protocol = json.dumps(clean_tree(result.protocol.fields()), sort_keys=True)
    content = f"{run.uuid}:{result.step}:{result.split}:{protocol}:{digest.hexdigest()}"
    return uuid.uuid5(uuid.NAMESPACE_OID, content).hex
