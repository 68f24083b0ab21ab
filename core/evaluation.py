"""Ask an engine every problem, grade every response, and add up what came out."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.data.choices import options_of
from core.data.problem import Problem
from core.engines.base import Completion, FinishReason, GenerationProgress, InferenceEngine
from core.prompts.template import PromptTemplate
from core.protocol import EvaluationProtocol
from core.responses.failures import FailureClass, FailureFlag
from core.responses.grade import GraderName, GradingItem, Verdict, grade_responses
from core.statistics import LengthSummary, clustered_rate, length_summary

TokenSpans = Callable[[Completion, Sequence[int]], list[int]]
"""Maps character offsets of a completion's text to token positions (see `core.engines.tokens`)."""


@dataclass(frozen=True, slots=True)
class GradedResponse:
    """One response with everything that later questions need.

    Attributes:
        problem_id: Id of the problem it answers.
        sample: Number of the sample for this problem, from 0.
        text: The response as generated, stop string included.
        token_ids: Sampled ids, stop tokens included; for a text that came from a file, the ids of
            the tokenizer that its length is counted with.
        finish: Why it ended.
        think_tokens: Tokens before the first `</think>`; None when it never comes.
        answer_position: Tokens before the last `<answer>`; None when it never comes.
        closed: A `</answer>` follows the last `<answer>`.
        unparseable: Closed, but the answer holds not exactly one number; None for other truths.
        flags: Observations that can hold together.
        verdicts: The verdict of every grader that can judge the problem.
        failures: Their failure classes, None where the grader says right.
    """

    problem_id: str
    sample: int
    text: str
    token_ids: Sequence[int]
    finish: FinishReason
    think_tokens: int | None
    answer_position: int | None
    closed: bool
    unparseable: bool | None
    flags: frozenset[FailureFlag]
    verdicts: Mapping[GraderName, Verdict]
    failures: Mapping[GraderName, FailureClass | None]


@dataclass(frozen=True, slots=True)
class EvaluationSummary:
    """The figures of one evaluation under its headline grader.

    Attributes:
        n: Responses.
        type1: Formatted and right.
        type2: Formatted and wrong.
        type3: Not formatted.
        unclosed: Responses whose last `<answer>` is never closed.
        unparseable: Closed responses with a numeric truth and not exactly one number.
        numeric: Responses with a numeric truth: the denominator of `unparseable`.
        truncated: Responses stopped by the token cap.
        accuracy: `type1 / n`.
        interval: 95% interval of the accuracy: Wilson, clustered by problem where a problem has
            several samples.
        accuracy_by_grader: Share right under each grader that judged every response.
        lengths: Whole responses, in tokens.
        think_lengths: Think part, in tokens, over responses that close it.
        answer_positions: Position of `<answer>`, in tokens, over responses that have one.
    """

    n: int
    type1: int
    type2: int
    type3: int
    unclosed: int
    unparseable: int
    numeric: int
    truncated: int
    accuracy: float
    interval: tuple[float, float]
    accuracy_by_grader: Mapping[GraderName, float]
    lengths: LengthSummary
    think_lengths: LengthSummary
    answer_positions: LengthSummary


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """One evaluation, ready to be recorded.

    Attributes:
        step: Optimizer updates done when the policy was evaluated.
        split: Part of the data that was asked.
        problems: The problems asked, in order.
        seconds: Wall time of the generation.
        generated_tokens: New tokens in all.
    """

    protocol: EvaluationProtocol
    step: int
    split: str
    problems: tuple[Problem, ...]
    responses: tuple[GradedResponse, ...]
    summary: EvaluationSummary
    seconds: float
    generated_tokens: int

    @property
    def tokens_per_second(self) -> float:
        """New tokens per second of generation."""
        return self.generated_tokens / self.seconds if self.seconds > 0 else 0.0


def evaluate(
    engine: InferenceEngine,
    problems: Sequence[Problem],
    protocol: EvaluationProtocol,
    template: PromptTemplate,
    *,
    step: int,
    token_spans: TokenSpans,
    grader_time_limit: float = 2.0,
    on_progress: GenerationProgress | None = None,
) -> EvaluationResult:
    """Generate and grade one response set.

    Args:
        engine: Holds the weights to evaluate.
        problems: What to ask, in order.
        protocol: Decides sampling and the headline grader; stored with the result.
        template: Renders the prompts; its placeholders count as no reasoning.
        step: Optimizer updates behind the weights.
        token_spans: Maps character offsets to token positions for the engine's tokenizer.
        grader_time_limit: Seconds that one symbolic comparison may take.
        on_progress: Called as responses finish.

    Raises:
        EngineError: the engine cannot go on.
    """
    sampling = protocol.generation.sampling
    started = time.perf_counter()
    completions = engine.generate([template.prompt(p) for p in problems], sampling, on_progress)
    seconds = time.perf_counter() - started
    pairs = [
        (problem, sample, completion)
        for problem, group in zip(problems, completions, strict=True)
        for sample, completion in enumerate(group)
    ]
    responses = grade_completions(pairs, template, token_spans, grader_time_limit)
    return EvaluationResult(
        protocol=protocol,
        step=step,
        split=protocol.generation.split,
        problems=tuple(problems),
        responses=tuple(responses),
        summary=summarize(responses, GraderName(protocol.grading.grader)),
        seconds=seconds,
        generated_tokens=sum(len(completion.token_ids) for _, _, completion in pairs),
    )


def summarize(responses: Iterable[GradedResponse], grader: GraderName) -> EvaluationSummary:
    """Add up graded responses under one grader."""
    rows = list(responses)
    n = len(rows)
    right = [row.verdicts[grader].right for row in rows]
    formatted = [row.verdicts[grader].formatted for row in rows]
    type1 = sum(r and f for r, f in zip(right, formatted, strict=True))
    type3 = n - sum(formatted)
    return EvaluationSummary(
        n=n,
        type1=type1,
        type2=n - type1 - type3,
        type3=type3,
        unclosed=sum(not row.closed for row in rows),
        unparseable=sum(row.unparseable is True for row in rows),
        numeric=sum(row.unparseable is not None for row in rows),
        truncated=sum(row.finish is FinishReason.LENGTH for row in rows),
        accuracy=type1 / n if n else 0.0,
        interval=_interval(rows, grader),
        accuracy_by_grader={
            name: sum(row.verdicts[name].right for row in rows) / n if n else 0.0
            for name in GraderName
            if all(name in row.verdicts for row in rows)
        },
        lengths=length_summary([len(row.token_ids) for row in rows]),
        think_lengths=length_summary(
            [row.think_tokens for row in rows if row.think_tokens is not None]
        ),
        answer_positions=length_summary(
            [row.answer_position for row in rows if row.answer_position is not None]
        ),
    )


def _interval(rows: Sequence[GradedResponse], grader: GraderName) -> tuple[float, float]:
    """95% interval of the accuracy; samples of one problem are not independent."""
    by_problem: dict[str, list[bool]] = {}
    for row in rows:
        by_problem.setdefault(row.problem_id, []).append(
            row.verdicts[grader].right and row.verdicts[grader].formatted
        )
    return clustered_rate([(sum(right), len(right)) for right in by_problem.values()]).interval


def grade_completions(
    asked: Sequence[tuple[Problem, int, Completion]],
    template: PromptTemplate,
    token_spans: TokenSpans,
    time_limit: float,
) -> list[GradedResponse]:
    """Grade what an engine gave, under every grader that can judge its problem.

    Args:
        asked: Problem, number of the sample for it, and completion.
        template: Rendered the prompts; its placeholders count as no reasoning.
        token_spans: Maps character offsets to token positions for the engine's tokenizer.
        time_limit: Seconds that one symbolic comparison may take.

    Returns:
        One response for each, in the same order.
    """
    items = [
        GradingItem(
            completion.text,
            problem.truth,
            completion.finish,
            template.placeholders,
            options_of(problem.question, problem.truth),
        )
        for problem, _, completion in asked
    ]
    graded = grade_responses(items, time_limit_s=time_limit)
    rows = []
    for (problem, sample, completion), result in zip(asked, graded, strict=True):
        think, answer = _positions(
            completion, result.parsed.think_end, result.parsed.answer_start, token_spans
        )
        rows.append(
            GradedResponse(
                problem_id=problem.id,
                sample=sample,
                text=completion.text,
                token_ids=completion.token_ids,
                finish=completion.finish,
                think_tokens=think,
                answer_position=answer,
                closed=result.closed,
                unparseable=result.unparseable,
                flags=result.flags,
                verdicts=result.verdicts,
                failures=result.failures,
            )
        )
    return rows


def _positions(
    completion: Completion, think_end: int | None, answer_start: int | None, spans: TokenSpans
) -> tuple[int | None, int | None]:
    offsets = [offset for offset in (think_end, answer_start) if offset is not None]
    positions = iter(spans(completion, offsets)) if offsets else iter(())
    think = next(positions) if think_end is not None else None
    answer = next(positions) if answer_start is not None else None
    return think, answer
