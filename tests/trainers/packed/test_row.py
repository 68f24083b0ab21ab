"""Examples joined into rows: nothing lost, nothing padded, borders where they belong."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainers.packed.models import example
from trainers.packed.row import pack_row, split_rows
from trainers.tokenization import IGNORED, Example, collate

LENGTHS = st.lists(st.integers(1, 30), min_size=1, max_size=12)


def made(lengths: list[int]) -> list[Example]:
    return [example(length, seed) for seed, length in enumerate(lengths)]


def test_positions_start_again_with_every_example() -> None:
    row = pack_row(made([4, 3]))
    assert row.position_ids.tolist() == [0, 1, 2, 0, 1]
    assert row.cu_seqlens.tolist() == [0, 3, 5]
    assert row.cu_seqlens.dtype is torch.int32
    assert (row.longest, row.positions) == (3, 5)


@settings(deadline=None, max_examples=40)
@given(LENGTHS.filter(lambda lengths: max(lengths) > 1))
def test_a_row_holds_the_same_inputs_and_targets_as_padding_and_shifting(
    lengths: list[int],
) -> None:
    examples = made(lengths)
    row = pack_row(examples)
    ids, labels = collate(examples, 0)
    real = torch.arange(ids.shape[1]) < torch.tensor(lengths).unsqueeze(1) - 1
    assert torch.equal(row.ids, ids[real])
    assert torch.equal(row.labels, labels[labels != IGNORED])
    flat = labels[real]
    assert torch.equal(row.supervised, (flat != IGNORED).nonzero().squeeze(1))


@settings(deadline=None, max_examples=40)
@given(LENGTHS.filter(lambda lengths: max(lengths) > 1))
def test_counts_say_which_targets_belong_to_which_example(lengths: list[int]) -> None:
    examples = made(lengths)
    row = pack_row(examples)
    for part, one in zip(row.labels.split(row.counts), examples, strict=True):
        targets = zip(one.token_ids[1:], one.supervised[1:], strict=True)
        assert part.tolist() == [token for token, mark in targets if mark]


def test_an_example_of_one_token_takes_no_place() -> None:
    row = pack_row(made([1, 4, 1]))
    assert row.cu_seqlens.tolist() == [0, 3]


def test_a_row_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="two tokens"):
        pack_row(made([1, 1]))


@settings(deadline=None, max_examples=40)
@given(LENGTHS, st.integers(1, 60))
def test_every_example_is_in_one_row_and_rows_keep_the_budget(
    lengths: list[int], budget: int
) -> None:
    examples = made(lengths)
    rows = split_rows(examples, budget)
    placed = sorted(one.problem_id for row in rows for one in row)
    assert placed == sorted(one.problem_id for one in examples if len(one.token_ids) > 1)
    for row in rows:
        assert len(row) == 1 or sum(len(one.token_ids) - 1 for one in row) <= budget


@settings(deadline=None, max_examples=40)
@given(LENGTHS, st.integers(1, 60), st.randoms(use_true_random=False))
def test_the_rows_do_not_depend_on_the_order_given(
    lengths: list[int], budget: int, draw: random.Random
) -> None:
    examples = made(lengths)
    shuffled = list(examples)
    draw.shuffle(shuffled)
    assert split_rows(examples, budget) == split_rows(shuffled, budget)


def test_rows_are_about_equally_full() -> None:
    rows = split_rows(made([11] * 9), 60)
    assert sorted(len(row) for row in rows) == [4, 5]
