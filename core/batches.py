"""Cuts a stream into lists, so that only one of them is held in memory."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Consecutive lists of `size` items; the last one may be shorter, and none is empty."""
    source = iter(items)
    while batch := list(islice(source, size)):
        yield batch
