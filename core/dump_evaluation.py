"""Responses from a file become evaluations, as if they had just been generated here."""

import hashlib
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from core.batches import batched
from core.data.choices import options_of
from core.data.dumps import DumpedResponse, restore_stop
from core.data.problem import Problem
from core.engines.base import Sampling
from core.errors import UserError
from core.evaluation import EvaluationResult, GradedResponse, summarize
from core.models import BUILTIN_MODEL, BUILTIN_PATH
from core.prompts.template import PromptTemplate
from core.protocol import DumpProtocol, EvaluationProtocol, GradingProtocol
from core.provenance import data_hash
from core.responses.grade import (
    DEFAULT_TIME_LIMIT_S,
    GRADER_VERSIONS,
    GradedText,
    GraderName,
    GradingItem,
    Placeholders,
    grade_responses,
)

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

SPLIT = "file"
"""Name of the split that responses from a file belong to."""
_BATCH = 500


@dataclass(frozen=True, slots=True)
class DumpSettings:
    """How a file is read and graded.

    Attributes:
        name: What the data is called.
        template: The prompt that the tool used; None where the file brings whole prompts.
        tokenizer: Name of the tokenizer that counts lengths: `builtin`, or a path.
        restore_stop: Close answers that the tool cut the stop string from.
    """

    name: str
    grader: GraderName = GraderName.R1_ZERO
    template: PromptTemplate | None = None
    tokenizer: str = BUILTIN_MODEL
    restore_stop: bool = False
    time_limit: float = DEFAULT_TIME_LIMIT_S


@dataclass(slots=True)
class _Step:
    """Responses of one step; `asked` counts the samples of each problem."""

    rows: list[GradedResponse] = field(default_factory=list)
    asked: dict[str, int] = field(default_factory=dict)


def grade_dump(
    responses: Iterable[DumpedResponse],
    settings: DumpSettings,
    on_progress: Callable[[int], None] = lambda done: None,
) -> list[EvaluationResult]:
    """Grade responses as they come, and add them up by step.

    The same question with the same truth is one problem, and its responses are samples of it.

    Args:
        responses: From `core.data.dumps`; read once, in batches.
        settings: How to grade.
        on_progress: Called with the number of responses graded so far.

    Returns:
        One evaluation per step, in order; responses that name no step count as step 0.

    Raises:
        UserError: there is no response, the grader is for other problems, or the tokenizer cannot
            be read.
    """
    tokenizer = load_counter(settings.tokenizer)
    problems: dict[tuple[str, str], Problem] = {}
    names: set[str] = set()
    steps: dict[int, _Step] = {}
    done = 0
    for batch in _batches(responses, settings):
        asked = [_problem(response, problems, names) for response in batch]
        items = [_item(response, settings) for response in batch]
        graded = grade_responses(items, time_limit_s=settings.time_limit)
        encoded = tokenizer.encode_batch([r.text for r in batch], add_special_tokens=False)
        for response, problem, found, tokens in zip(batch, asked, graded, encoded, strict=True):
            if settings.grader not in found.verdicts:
                raise UserError(
                    f"{response.place}: grader {settings.grader} reads letters of options; this "
                    "question shows no lines A. to D., or its truth is no such letter"
                )
            step = steps.setdefault(response.step or 0, _Step())
            sample = step.asked.get(problem.id, 0)
            step.asked[problem.id] = sample + 1
            step.rows.append(_graded(response, problem, sample, found, tokens))
        done += len(batch)
        on_progress(done)
    if not steps:
        raise UserError(f"{settings.name} holds no responses; it needs one JSON object per line")
    return _results(steps, list(problems.values()), settings)


def load_counter(spec: str) -> "Tokenizer":
    """The tokenizer that counts: `builtin`, a tokenizer.json, or a folder that holds one.

    Raises:
        UserError: it is not there, or cannot be read.
    """
    from tokenizers import Tokenizer

    path = BUILTIN_PATH if spec == BUILTIN_MODEL else Path(spec).expanduser()
    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.is_file():
        raise UserError(
            f"tokenizer {spec!r} is neither '{BUILTIN_MODEL}', nor a tokenizer.json, nor a folder "
            "that holds one"
        )
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing narrower
        raise UserError(f"tokenizer {spec!r} cannot be read: {error}") from error


def _batches(
    responses: Iterable[DumpedResponse], settings: DumpSettings
) -> Iterator[list[DumpedResponse]]:
    for batch in batched(responses, _BATCH):
        if settings.restore_stop:
            mended = [(response, *restore_stop(response)) for response in batch]
            batch = [replace(response, text=text, finish=end) for response, text, end in mended]
        yield batch


def _problem(
    response: DumpedResponse, problems: dict[tuple[str, str], Problem], names: set[str]
) -> Problem:
    """The problem behind a response; one without an id of its own is named after its content."""
    content = (response.question, response.truth)
    if content not in problems:
        digest = hashlib.sha256("\0".join(content).encode()).hexdigest()
        made = (f"q{digest[:length]}" for length in range(12, len(digest)))
        offered = chain([response.problem_id], made)
        name = next(name for name in offered if name is not None and name not in names)
        names.add(name)
        problems[content] = Problem(name, *content)
    return problems[content]


def _item(response: DumpedResponse, settings: DumpSettings) -> GradingItem:
    return GradingItem(
        response.text,
        response.truth,
        response.finish,
        _placeholders(response, settings),
        options_of(response.question, response.truth),
    )


def _placeholders(response: DumpedResponse, settings: DumpSettings) -> Placeholders:
    template = settings.template or PromptTemplate("", response.question)
    return template.placeholders


def _graded(
    response: DumpedResponse,
    problem: Problem,
    sample: int,
    found: GradedText,
    tokens: "Encoding",
) -> GradedResponse:
    ends = [end for _, end in tokens.offsets]
    think, answer = found.parsed.think_end, found.parsed.answer_start
    return GradedResponse(
        problem_id=problem.id,
        sample=sample,
        text=response.text,
        token_ids=array("I", tokens.ids),
        finish=response.finish,
        think_tokens=None if think is None else bisect_right(ends, think),
        answer_position=None if answer is None else bisect_right(ends, answer),
        closed=found.closed,
        unparseable=found.unparseable,
        flags=found.flags,
        verdicts=found.verdicts,
        failures=found.failures,
    )


def _results(
    steps: dict[int, _Step], problems: list[Problem], settings: DumpSettings
) -> list[EvaluationResult]:
    protocol = _protocol(steps, problems, settings)
    by_name = {problem.id: problem for problem in problems}
    return [
        EvaluationResult(
            protocol=protocol,
            step=step,
            split=SPLIT,
            problems=tuple(by_name[name] for name in steps[step].asked),
            responses=tuple(steps[step].rows),
            summary=summarize(steps[step].rows, settings.grader),
            seconds=0.0,
            generated_tokens=sum(len(row.token_ids) for row in steps[step].rows),
        )
        for step in sorted(steps)
    ]


def _protocol(
    steps: dict[int, _Step], problems: list[Problem], settings: DumpSettings
) -> EvaluationProtocol:
    template = settings.template
    generation = DumpProtocol(
        prompt_name="from the file" if template is None else template.name,
        prompt_text="" if template is None else template.text,
        data_name=settings.name,
        split=SPLIT,
        # in any order: two tools that answer the same problems shuffle them in their own ways
        data_hash=data_hash(sorted(problems, key=lambda problem: problem.id)),
        sampling=Sampling(n=max(max(step.asked.values()) for step in steps.values())),
        engine="another tool",
        engine_version="",
        dtype="",
        tokenizer=settings.tokenizer,
    )
    version = GRADER_VERSIONS[settings.grader]
    return EvaluationProtocol(generation, GradingProtocol(settings.grader.value, version))
