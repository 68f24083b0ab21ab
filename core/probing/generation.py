"""Asking an engine again: with larger caps, or from where a response left off."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.data.choices import options_of
from core.engines.base import (
    Completion,
    FinishReason,
    GenerationProgress,
    InferenceEngine,
    Sampling,
    TokenPrompt,
)
from core.engines.streaming import TextStream
from core.models import encode_prompt
from core.probing.closing import close_answer, open_answer
from core.registry.codec import clean
from core.registry.evaluation_entries import grade_row
from core.registry.probe_records import ProbedResponse
from core.registry.records import StoredGrade
from core.responses.grade import GradedText, GradingItem, Placeholders, grade_responses


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """One stored response to ask again.

    Attributes:
        place: Index of its problem in the evaluation, which its random numbers depend on.
        prompt_ids: Its prompt in tokens.
        text: The stored response.
    """

    problem_id: str
    sample: int
    question: str
    truth: str
    place: int
    prompt_ids: tuple[int, ...]
    text: str
    finish: FinishReason


@dataclass(frozen=True, slots=True)
class Asker:
    """What asking and grading needs.

    Attributes:
        engine: Holds the weights that wrote the responses.
        tokenizer: Its tokenizer.
        placeholders: Of the prompt.
        time_limit: Seconds per symbolic comparison.
    """

    engine: InferenceEngine
    tokenizer: Any
    placeholders: Placeholders
    time_limit: float


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A new text before it is graded."""

    text: str
    finish: FinishReason
    tokens: int
    appended: str = ""
    same_prefix: bool | None = None


def regenerate(
    asker: Asker,
    targets: Sequence[ProbeTarget],
    caps: Sequence[int],
    sampling: Sampling,
    on_progress: GenerationProgress | None = None,
) -> dict[int, tuple[ProbedResponse, ...]]:
    """Make responses again under larger caps.

    Each is made once, under the largest cap: what a smaller one would have left is its beginning,
    because a cap changes neither the choice of a token nor the random numbers behind it.

    Args:
        asker: The engine and what goes with it.
        targets: What to make again.
        caps: New caps in tokens.
        sampling: The decoding settings of the evaluation, for one completion; its cap is not used.
        on_progress: Called as responses finish.
    """
    prompts = [TokenPrompt(t.prompt_ids, t.place, t.sample) for t in targets]
    settings = _with_cap(sampling, max(caps))
    groups = asker.engine.generate(prompts, settings, on_progress)
    pairs = [(target, group[0]) for target, group in zip(targets, groups, strict=True)]
    return {
        cap: _graded(asker, targets, [_under_cap(asker, t, c, cap) for t, c in pairs])
        for cap in caps
    }


def finish_answers(
    asker: Asker,
    targets: Sequence[ProbeTarget],
    sampling: Sampling,
    on_progress: GenerationProgress | None = None,
) -> tuple[ProbedResponse, ...]:
    """Help responses to close their answers (`core.probing.closing` says how).

    Args:
        asker: The engine and what goes with it.
        targets: What to continue; none of them has a closed answer.
        sampling: How the model goes on, cap and stop string included.
        on_progress: Called as responses finish.
    """
    openings = [open_answer(target.text, target.finish) for target in targets]
    waiting = [(t, o) for t, o in zip(targets, openings, strict=True) if not o.ended]
    prompts = [
        TokenPrompt(continued_ids(asker.tokenizer, t), t.place, t.sample) for t, _ in waiting
    ]
    groups = asker.engine.generate(prompts, sampling, on_progress) if prompts else []
    done = iter(groups)
    attempts = [
        _ended(target) if opening.ended else _continued(target, opening.appended, next(done)[0])
        for target, opening in zip(targets, openings, strict=True)
    ]
    return _graded(asker, targets, attempts)


def continued_ids(tokenizer: Any, target: ProbeTarget) -> tuple[int, ...]:
    """Prompt, response and what is appended, as the model reads them when it goes on."""
    appended = open_answer(target.text, target.finish).appended
    return target.prompt_ids + tuple(encode_prompt(tokenizer, target.text + appended))


def _with_cap(sampling: Sampling, cap: int) -> Sampling:
    return Sampling(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        max_tokens=cap,
        min_tokens=sampling.min_tokens,
        stop=sampling.stop,
        seed=sampling.seed,
    )


def _under_cap(asker: Asker, target: ProbeTarget, completion: Completion, cap: int) -> _Attempt:
    """What a cap would have left of a completion made under a larger one."""
    ids, text, finish = completion.token_ids, completion.text, completion.finish
    if len(ids) > cap:
        stream = TextStream(asker.tokenizer, target.prompt_ids)
        ids, finish = ids[:cap], FinishReason.LENGTH
        text = "".join(stream.step(token) for token in ids)
    same = clean(text).startswith(target.text)
    return _Attempt(text, finish, len(ids), same_prefix=same)


def _ended(target: ProbeTarget) -> _Attempt:
    return _Attempt(close_answer(target.text, target.finish), target.finish, 0)


def _continued(target: ProbeTarget, appended: str, completion: Completion) -> _Attempt:
    text = target.text + appended + completion.text
    whole = close_answer(text, completion.finish)
    return _Attempt(whole, completion.finish, len(completion.token_ids), appended)


def _graded(
    asker: Asker, targets: Sequence[ProbeTarget], attempts: Sequence[_Attempt]
) -> tuple[ProbedResponse, ...]:
    items = [
        GradingItem(
            attempt.text,
            target.truth,
            attempt.finish,
            asker.placeholders,
            options_of(target.question, target.truth),
        )
        for target, attempt in zip(targets, attempts, strict=True)
    ]
    graded = grade_responses(items, time_limit_s=asker.time_limit)
    return tuple(
        ProbedResponse(
            problem_id=target.problem_id,
            sample=target.sample,
            finish=str(attempt.finish),
            tokens=attempt.tokens,
            closed=result.closed,
            same_prefix=attempt.same_prefix,
            appended=attempt.appended,
            grades=_grades(result),
            text=attempt.text,
        )
        for target, attempt, result in zip(targets, attempts, graded, strict=True)
    )


def _grades(graded: GradedText) -> Mapping[str, StoredGrade]:
    rows = [grade_row(name, v, graded.failures[name]) for name, v in graded.verdicts.items()]
    return {
        row.grader: StoredGrade(row.formatted, row.right, row.extracted, row.failure, row.version)
        for row in rows
    }
