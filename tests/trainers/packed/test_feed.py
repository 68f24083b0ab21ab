"""Rows ahead of their pass: the same rows, and none of examples that nobody wants any more."""

from dataclasses import fields

import pytest
import torch
from torch import Tensor

from tests.trainers.packed.models import example
from trainers.packed import feed as feeds
from trainers.packed.feed import RowFeed
from trainers.packed.row import PackedRow, pack_row

PARTS = [[example(length, seed) for length in (9, 4)] for seed in range(3)]


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> RowFeed:
    """As on CUDA, without its memory: rows come from the thread and stay where they are."""
    monkeypatch.setattr(feeds, "_pinned", pack_row)
    monkeypatch.setattr(PackedRow, "to", lambda row, device: row)
    return RowFeed(torch.device("cuda"))


def same(one: PackedRow, other: PackedRow) -> bool:
    pairs = ((getattr(one, field.name), getattr(other, field.name)) for field in fields(PackedRow))
    return all(torch.equal(a, b) if isinstance(a, Tensor) else a == b for a, b in pairs)


def test_rows_of_the_thread_are_those_packed_on_the_spot(feed: RowFeed) -> None:
    feed.ahead(PARTS)
    begun = dict(feed._coming)
    for part in (PARTS[2], PARTS[0], PARTS[1]):
        assert same(feed.take(list(part)), pack_row(part))
    assert len(begun) == 3
    assert not feed._coming
    assert same(feed.take(PARTS[0]), pack_row(PARTS[0]))


def test_what_is_begun_stays_and_what_is_not_wanted_goes(
    feed: RowFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed: list[object] = []
    monkeypatch.setattr(feeds, "_pinned", lambda part: packed.append(part) or pack_row(part))
    feed.ahead(PARTS[:2])
    feed.ahead(PARTS[1:])
    assert same(feed.take(PARTS[1]), pack_row(PARTS[1]))
    assert same(feed.take(PARTS[2]), pack_row(PARTS[2]))
    assert packed == PARTS  # each once
    assert same(feed.take(PARTS[0]), pack_row(PARTS[0]))
    assert packed == PARTS


def test_a_row_that_cannot_be_packed_fails_where_it_is_taken(feed: RowFeed) -> None:
    alone = [example(1, 0)]
    feed.ahead([alone])
    with pytest.raises(ValueError, match="two tokens or more"):
        feed.take(alone)


def test_on_a_cpu_there_is_no_thread() -> None:
    feed = RowFeed(torch.device("cpu"))
    feed.ahead(PARTS)
    assert feed._packer is None
    assert same(feed.take(PARTS[0]), pack_row(PARTS[0]))
