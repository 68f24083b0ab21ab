"""The rules by which torch's caching allocator is imitated, on sizes that can be worked out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.memory_allocator import SimulatedAllocator, replay
from benchmarks.memory_follow import Trace

MIB = 2**20


def test_small_blocks_share_a_segment_of_two_mib() -> None:
    allocator = SimulatedAllocator()
    for _ in range(4):
        allocator.take(400_000)
    assert allocator.reserved == 2 * MIB


def test_blocks_below_ten_mib_share_a_segment_of_twenty() -> None:
    allocator = SimulatedAllocator()
    allocator.take(6 * MIB)
    allocator.take(6 * MIB)
    assert allocator.reserved == 20 * MIB


def test_a_large_block_has_its_own_segment_rounded_up() -> None:
    allocator = SimulatedAllocator()
    allocator.take(11 * MIB + 1)
    assert allocator.reserved == 12 * MIB


def test_what_is_given_back_is_used_again() -> None:
    allocator = SimulatedAllocator()
    handle = allocator.take(64 * MIB)
    allocator.give_back(handle)
    parts = [allocator.take(16 * MIB) for _ in range(4)]
    assert allocator.reserved == 64 * MIB
    for part in parts:
        allocator.give_back(part)
    allocator.take(64 * MIB)
    assert allocator.reserved == 64 * MIB


def test_what_is_split_cannot_be_had_whole() -> None:
    allocator = SimulatedAllocator()
    handle = allocator.take(64 * MIB)
    allocator.give_back(handle)
    allocator.take(16 * MIB)
    allocator.take(64 * MIB)
    assert allocator.reserved == 128 * MIB


def test_empty_segments_are_given_back_where_the_device_is_full() -> None:
    allocator = SimulatedAllocator(limit=100 * MIB)
    handle = allocator.take(60 * MIB)
    allocator.give_back(handle)
    allocator.take(80 * MIB)
    assert (allocator.reserved, allocator.retries) == (80 * MIB, 1)
    with pytest.raises(MemoryError, match="do not fit"):
        allocator.take(30 * MIB)


@given(st.lists(st.tuples(st.integers(1, 30 * MIB), st.booleans()), max_size=60))
def test_nothing_is_lost_or_handed_out_twice(asked: list[tuple[int, bool]]) -> None:
    allocator = SimulatedAllocator()
    taken: dict[int, int] = {}
    for size, frees in asked:
        handle = allocator.take(size)
        assert handle not in taken
        taken[handle] = size
        if frees:
            handle = next(iter(taken))
            del taken[handle]
            allocator.give_back(handle)
        assert sum(taken.values()) <= allocator.reserved <= allocator.highest
    for handle in list(taken):
        allocator.give_back(handle)
    allocator.limit = max(allocator.highest, 20 * MIB)
    allocator.take(2 * MIB)


def test_an_empty_trace_takes_nothing() -> None:
    assert replay(Trace()).highest == 0
