"""Rows as long as a prompt and its response can get, to plan memory by."""

from collections.abc import Sequence
from typing import Any

from core.data.problem import Problem
from core.models import encode_prompts
from core.prompts.template import PromptTemplate
from trainers.tokenization import Example


def longest_rows(
    problems: Sequence[Problem],
    template: PromptTemplate,
    tokenizer: Any,
    *,
    cap: int,
    positions: int | None,
    count: int,
) -> list[Example]:
    """The longest prompts, each with a response that uses up the cap.

    Args:
        problems: What can be asked.
        template: Renders the prompts.
        tokenizer: The policy's.
        cap: Tokens of a response, at most.
        positions: Tokens that the model reads, at most; None where it does not say.
        count: Rows that stand for all.
    """
    prompts = encode_prompts(tokenizer, [template.prompt(problem) for problem in problems])
    pairs = zip((problem.id for problem in problems), prompts, strict=True)
    longest = sorted(pairs, key=lambda pair: -len(pair[1]))[:count]
    return [_row(name, prompt, cap, positions) for name, prompt in longest]


def _row(problem_id: str, prompt: list[int], cap: int, positions: int | None) -> Example:
    length = cap if positions is None else max(1, min(cap, positions - len(prompt)))
    ids = (*prompt, *(prompt[-1:] * length))
    supervised = (*(False for _ in prompt), *(True for _ in range(length)))
    return Example(problem_id, ids, supervised, len(prompt), len(ids))
