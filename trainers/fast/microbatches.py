"""Micro-batches for packed rows in which examples with the same prompt stay together."""

from collections.abc import Iterator, Sequence

from trainers.fast.layout import prompt_of
from trainers.tokenization import Example


def split_by_prompt(
    examples: Sequence[Example], token_budget: int
) -> Iterator[tuple[Example, ...]]:
    """Share examples out over about equally long rows, those with the same prompt in one row.

    As few rows as the budget asks for. Rows count as many tokens as they store: a prompt once,
    whatever the number of its responses. The most tokens are placed first, each prompt with its
    responses into the emptiest row; a prompt whose responses exceed the budget is taken apart, and
    an example that exceeds it by itself gets a row of its own.

    Args:
        examples: Those of one optimizer step.
        token_budget: Positions per row.
    """
    groups = [part for group in _by_prompt(examples) for part in _parts(group, token_budget)]
    groups.sort(key=lambda group: (-_stored(group), group[0].problem_id))
    count = -(-sum(map(_stored, groups)) // token_budget)
    rows: list[list[Example]] = [[] for _ in range(count)]
    used = [0] * count
    for group in groups:
        size = _stored(group)
        emptiest = min(range(len(rows)), key=used.__getitem__)
        if rows[emptiest] and used[emptiest] + size > token_budget:
            emptiest = len(rows)
            rows.append([])
            used.append(0)
        rows[emptiest] += group
        used[emptiest] += size
    return (tuple(row) for row in rows if row)


def _by_prompt(examples: Sequence[Example]) -> list[list[Example]]:
    groups: dict[tuple[int, ...], list[Example]] = {}
    for example in examples:
        groups.setdefault(prompt_of(example), []).append(example)
    return list(groups.values())


def _parts(group: Sequence[Example], token_budget: int) -> Iterator[list[Example]]:
    """A group, in as many pieces as the budget makes of it."""
    prompt = group[0].prompt_length
    used = prompt - 1
    part: list[Example] = []
    for example in group:
        own = len(example.token_ids) - prompt
        if part and used + own > token_budget:
            yield part
            part, used = [], prompt - 1
        part.append(example)
        used += own
    yield part


def _stored(group: Sequence[Example]) -> int:
    """Positions of examples that share a prompt; each has the prompt's last token for itself."""
    prompt = group[0].prompt_length
    return prompt - 1 + sum(len(example.token_ids) - prompt for example in group)
