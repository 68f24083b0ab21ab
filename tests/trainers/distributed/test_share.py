"""Dealing examples out: everything once, evenly, the same everywhere, and in the same rounds."""

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainers.batching import split_microbatches
from trainers.distributed.share import deal, share_of
from trainers.distributed.world import World
from trainers.tokenization import Example

LENGTHS = st.lists(st.integers(2, 60), min_size=1, max_size=24)
SIZES = st.integers(1, 5)


class Place(World):
    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size


def examples(lengths: Sequence[int]) -> list[Example]:
    return [
        Example(f"p{number}", tuple(range(length)), (False,) + (True,) * (length - 1), 1, length)
        for number, length in enumerate(lengths)
    ]


def split(batch: Sequence[Example]) -> Iterator[Sequence[Example]]:
    return split_microbatches(batch, 100)


def tokens(hand: Sequence[Example]) -> int:
    return sum(len(example.token_ids) for example in hand)


@given(LENGTHS, SIZES)
def test_every_example_is_dealt_once(lengths: list[int], size: int) -> None:
    batch = examples(lengths)
    dealt = [example.problem_id for hand in deal(batch, size) for example in hand]
    assert sorted(dealt) == sorted(example.problem_id for example in batch)


@given(LENGTHS, SIZES)
def test_no_process_has_more_than_its_part_and_one_example(lengths: list[int], size: int) -> None:
    hands = deal(examples(lengths), size)
    assert max(map(tokens, hands)) <= sum(lengths) / size + max(lengths)


@given(LENGTHS, SIZES)
def test_with_enough_examples_everybody_gets_one(lengths: list[int], size: int) -> None:
    hands = deal(examples(lengths), size)
    assert sum(map(bool, hands)) == min(size, len(lengths))


def test_equal_examples_are_dealt_evenly() -> None:
    assert [len(hand) for hand in deal(examples([7] * 12), 4)] == [3, 3, 3, 3]


@pytest.mark.slow
@given(LENGTHS, SIZES, st.randoms())
def test_the_order_of_the_batch_does_not_matter(lengths: list[int], size: int, random) -> None:
    batch = examples(lengths)
    expected = deal(batch, size)
    random.shuffle(batch)
    assert deal(batch, size) == expected


@pytest.mark.slow
@given(LENGTHS, SIZES)
def test_all_processes_make_the_same_number_of_passes(lengths: list[int], size: int) -> None:
    batch = examples(lengths)
    shares = [share_of(Place(rank, size), batch, split) for rank in range(size)]
    assert len({len(share.microbatches) + len(share.idle) for share in shares}) == 1
    assert min(len(share.idle) for share in shares) == 0
    done = [e.problem_id for share in shares for part in share.microbatches for e in part]
    assert sorted(done) == sorted(example.problem_id for example in batch)


def test_one_process_does_what_it_always_did() -> None:
    batch = examples([3, 50, 20, 9, 41])
    share = share_of(Place(0, 1), batch, split)
    assert share.microbatches == tuple(split(batch))
    assert share.idle == ()
