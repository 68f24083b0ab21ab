"""What examples begin with alike is stored once, and every example can be found again."""

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainers.fast.layout import PackedRow, pack
from trainers.fast.microbatches import split_by_prompt
from trainers.tokenization import Example


def answered(name: str, prompt: list[int], response: list[int]) -> Example:
    ids = (*prompt, *response)
    marks = (False,) * len(prompt) + (True,) * len(response)
    return Example(name, ids, marks, len(prompt), len(ids))


TEMPLATE = list(range(100, 110))
TOM, LEA = [*TEMPLATE, *range(20, 32)], [*TEMPLATE, *range(40, 55)]


def inputs_of(row: PackedRow, owner: int) -> tuple[list[int], list[int]]:
    places = [place for span in row.spans[owner] for place in span]
    return row.ids[places].tolist(), row.positions[places].tolist()


def test_template_and_prompts_are_stored_once() -> None:
    examples = [
        answered("tom", TOM, [1, 2, 3]),
        answered("tom", TOM, [1, 4]),
        answered("lea", LEA, [5, 6, 7, 8]),
        answered("lea", LEA, [9]),
    ]
    row = pack(examples)
    assert row.prefix == len(TEMPLATE)
    # a prompt's last token predicts the first target, so every response has its own
    own = (1 + 2) + (1 + 1) + (1 + 3) + 1
    assert row.tokens == len(TEMPLATE) + (12 - 1) + (15 - 1) + own
    assert row.tokens == len(row.ids) == len(row.positions)
    assert row.shared == len(TEMPLATE) + 11 + 14
    assert [block.lengths for block in row.blocks] == [(10,), (11, 14), (3, 2), (4, 1)]


def test_one_prompt_for_all_is_the_shared_beginning() -> None:
    row = pack([answered("tom", TOM, [1, 2, 3]), answered("tom", TOM, [4, 2])])
    assert row.prefix == len(TOM) - 1
    assert [block.lengths for block in row.blocks] == [(21,), (3, 2)]


def test_prompts_that_come_once_lie_side_by_side() -> None:
    row = pack([answered("tom", TOM, [1, 2]), answered("lea", LEA, [3])])
    assert [block.lengths for block in row.blocks] == [(10,), (13, 15)]


def test_nothing_is_shared_where_that_is_not_wanted() -> None:
    row = pack([answered("tom", TOM, [1, 2]), answered("tom", TOM, [3])], share_prefix=False)
    assert [(block.lengths, block.context) for block in row.blocks] == [((23, 22), ())]


@st.composite
def batches(draw: st.DrawFn) -> list[Example]:
    token = st.integers(0, 3)  # few tokens, so that examples begin alike by chance too
    prompts = draw(st.lists(st.lists(token, min_size=1, max_size=30), min_size=1, max_size=4))
    pairs = st.tuples(st.integers(0, len(prompts) - 1), st.lists(token, min_size=1, max_size=20))
    chosen = draw(st.lists(pairs, min_size=1, max_size=12))
    return [answered(f"p{number}", prompts[number], response) for number, response in chosen]


@pytest.mark.slow
@given(batches())
def test_every_example_finds_its_tokens_positions_and_targets(examples: list[Example]) -> None:
    row = pack(examples)
    for owner, example in enumerate(examples):
        ids, positions = inputs_of(row, owner)
        assert tuple(ids) == example.token_ids[:-1]
        assert positions == list(range(len(ids)))
        mine = row.owners == owner
        own = row.spans[owner][-1]
        predicted = [own.index(place) for place in row.supervised[mine].tolist()]
        start = len(ids) - len(own)
        assert [start + place + 1 for place in predicted] == list(
            range(example.prompt_length, len(example.token_ids))
        )
        assert tuple(row.labels[mine].tolist()) == example.token_ids[example.prompt_length :]
    assert row.supervised.tolist() == sorted(row.supervised.tolist())
    assert row.owners.tolist() == sorted(row.owners.tolist())
    assert sorted(p for block in row.blocks for p in range(block.start, block.end)) == list(
        range(row.tokens)
    )


@pytest.mark.slow
@given(batches(), st.integers(1, 200))
def test_every_example_is_in_one_micro_batch_within_the_budget(
    examples: list[Example], budget: int
) -> None:
    parts = list(split_by_prompt(examples, budget))
    assert sorted(id(e) for part in parts for e in part) == sorted(id(e) for e in examples)
    for part in parts:
        assert pack(part).tokens <= budget or len(part) == 1


@pytest.mark.slow
@given(batches())
def test_responses_to_a_prompt_stay_together_while_they_fit(examples: list[Example]) -> None:
    parts = list(split_by_prompt(examples, 700))
    assert len(parts) == 1
    prompts = [example.token_ids[: example.prompt_length] for example in parts[0]]
    assert len(list(groupby(prompts))) == len(set(prompts))


@pytest.mark.parametrize("budget", [60, 90, 400])
def test_rows_are_about_equally_long(budget: int) -> None:
    examples = [
        answered(f"p{n}", [*TEMPLATE, n, *range(9)], list(range(10 + n % 4)))
        for n in range(8)
        for _ in range(3)
    ]
    tokens = [pack(part).tokens for part in split_by_prompt(examples, budget)]
    assert max(tokens) <= budget
    assert min(tokens) >= 0.5 * max(tokens)
