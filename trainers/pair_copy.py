"""A run's own copy of the pairs that it learns from: a resume needs no file from outside."""

from collections.abc import Callable, Sequence
from pathlib import Path

from core.data.pairs import PreferencePair, pair_line, pairs_hash, read_pairs
from core.errors import UserError
from core.whole_files import write_whole

PAIRS_FILE = "pairs.jsonl"


def keep_pairs(folder: Path, pairs: Sequence[PreferencePair]) -> None:
    """Have the pairs of a run in its folder, chosen and in order; an intact copy stays.

    Raises:
        OSError: they cannot be written.
    """
    if kept_pairs(folder, pairs_hash(pairs)) is None:
        write_whole(folder / PAIRS_FILE, "".join(map(pair_line, pairs)))


def kept_pairs(folder: Path, wanted: str | None) -> list[PreferencePair] | None:
    """The pairs that a run has kept; None where it has none with this hash."""
    try:
        pairs = read_pairs(folder / PAIRS_FILE)
    except UserError:
        return None
    return pairs if pairs_hash(pairs) == wanted else None


def changed_since(
    original: Path | None, read: Callable[[], Sequence[PreferencePair]], wanted: str | None
) -> str | None:
    """What has become of the file that a run's pairs came from; None where it is as it was.

    Args:
        original: The file.
        read: Reads from it what a new run would learn from.
        wanted: Hash of what the run learns from.
    """
    try:
        if pairs_hash(read()) == wanted:
            return None
        problem = "has changed since the run started"
    except UserError:
        problem = "can no longer be read"
    return f"pair file {original} {problem}; the run goes on with its own copy, {PAIRS_FILE}"
