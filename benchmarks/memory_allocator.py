"""What torch's caching allocator would reserve on a GPU for a trace of blocks.

The rules are those of CUDACachingAllocator with its defaults: blocks of up to 1 MiB come from
segments of 2 MiB; larger ones from segments of 20 MiB, or from their own where they need 10 MiB or
more, rounded up to 2 MiB; the smallest free block that is large enough is taken, and split where
more than 1 MiB (512 bytes in small segments) would be left; free neighbours are joined. Segments
that hold nothing are given back only where the device is full.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass, field

from benchmarks.memory_follow import BLOCK, Trace
from core.units import MIB

_SMALL, _SMALL_SEGMENT = MIB, 2 * MIB
_OWN_SEGMENT, _LARGE_SEGMENT, _STEP = 10 * MIB, 20 * MIB, 2 * MIB


@dataclass(slots=True)
class _Piece:
    """A part of a segment, between its neighbours."""

    size: int
    small: bool
    place: int
    taken: bool = False
    before: "_Piece | None" = None
    after: "_Piece | None" = None

    @property
    def key(self) -> tuple[int, int]:
        return self.size, self.place


@dataclass(slots=True)
class SimulatedAllocator:
    """Takes and gives back blocks.

    Attributes:
        limit: Bytes that the device has; no limit when None.
        reserved: Bytes of all segments.
        highest: The most that was ever reserved.
        retries: How often empty segments had to be given back to find room.
    """

    limit: int | None = None
    reserved: int = 0
    highest: int = 0
    retries: int = 0
    _free: dict[bool, list[tuple[int, int]]] = field(default_factory=lambda: {True: [], False: []})
    _pieces: dict[int, _Piece] = field(default_factory=dict)
    _places: int = 0

    def take(self, size: int) -> int:
        """Allocate; returns a handle for `give_back`.

        Raises:
            MemoryError: it does not fit under the limit.
        """
        size = -(-size // BLOCK) * BLOCK
        small = size <= _SMALL
        found = self._find(size, small)
        if found is None:
            found = self._segment(size, small)
        left = found.size - size
        if left >= BLOCK if small else left > _SMALL:
            self._split(found, size)
        found.taken = True
        return found.place

    def give_back(self, handle: int) -> None:
        """Free a block and join it with free neighbours."""
        piece = self._pieces[handle]
        piece.taken = False
        for other in (piece.before, piece.after):
            if other is not None and not other.taken:
                self._unlist(other)
                piece = self._join(piece, other)
        insort(self._free[piece.small], piece.key)

    def _find(self, size: int, small: bool) -> _Piece | None:
        free = self._free[small]
        index = bisect_left(free, (size, -1))
        if index == len(free):
            return None
        _, place = free.pop(index)
        return self._pieces[place]

    def _segment(self, size: int, small: bool) -> _Piece:
        if small:
            whole = _SMALL_SEGMENT
        else:
            whole = _LARGE_SEGMENT if size < _OWN_SEGMENT else -(-size // _STEP) * _STEP
        if self.limit is not None and self.reserved + whole > self.limit:
            self.retries += 1
            self._release_empty()
            if self.reserved + whole > self.limit:
                raise MemoryError(f"{size} bytes do not fit: {self.reserved} are reserved")
        self.reserved += whole
        self.highest = max(self.highest, self.reserved)
        return self._piece(whole, small)

    def _piece(self, size: int, small: bool) -> _Piece:
        self._places += 1
        piece = _Piece(size, small, self._places)
        self._pieces[piece.place] = piece
        return piece

    def _split(self, piece: _Piece, size: int) -> None:
        rest = self._piece(piece.size - size, piece.small)
        rest.before, rest.after = piece, piece.after
        if piece.after is not None:
            piece.after.before = rest
        piece.after, piece.size = rest, size
        insort(self._free[rest.small], rest.key)

    def _join(self, piece: _Piece, other: _Piece) -> _Piece:
        first, second = (other, piece) if other is piece.before else (piece, other)
        first.size += second.size
        first.after = second.after
        if second.after is not None:
            second.after.before = first
        del self._pieces[second.place]
        return first

    def _unlist(self, piece: _Piece) -> None:
        free = self._free[piece.small]
        del free[bisect_left(free, piece.key)]

    def _release_empty(self) -> None:
        for small, free in self._free.items():
            kept = []
            for key in free:
                piece = self._pieces[key[1]]
                if piece.before is None and piece.after is None:
                    self.reserved -= piece.size
                    del self._pieces[piece.place]
                else:
                    kept.append(key)
            self._free[small] = kept


def replay(trace: Trace, limit: int | None = None) -> SimulatedAllocator:
    """Run a trace through the allocator.

    Raises:
        MemoryError: it does not fit under the limit.
    """
    allocator = SimulatedAllocator(limit)
    handles: dict[int, int] = {}
    for move in trace.moves:
        if move.size > 0:
            handles[move.block] = allocator.take(move.size)
        else:
            allocator.give_back(handles.pop(move.block))
    return allocator


def least_limit(trace: Trace, peak: int, steps: int = 7) -> int:
    """Bytes that a device must have for a trace, within a 128th of its peak.

    Args:
        trace: What is allocated.
        peak: The most that is alive; less cannot do.
        steps: Halvings of the range between once and twice the peak.
    """
    low, high = peak, 2 * peak
    for _ in range(steps):
        middle = (low + high) // 2
        try:
            replay(trace, middle)
        except MemoryError:
            low = middle
        else:
            high = middle
    return high
