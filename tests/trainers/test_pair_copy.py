"""The pairs of a run in its own folder: what was chosen, in order, or nothing at all."""

from pathlib import Path

import pytest

from core.data.pairs import PreferencePair, pairs_hash
from core.errors import UserError
from trainers.pair_copy import PAIRS_FILE, changed_since, keep_pairs, kept_pairs

PAIRS = [PreferencePair(f"p{i}", f"{i} + 1?", f" {i + 1}", f" {i}") for i in (2, 0, 1)]
HASH = pairs_hash(PAIRS)


def test_what_was_kept_is_found_again(tmp_path: Path) -> None:
    assert kept_pairs(tmp_path, HASH) is None
    keep_pairs(tmp_path, PAIRS)
    assert kept_pairs(tmp_path, HASH) == PAIRS


def test_an_intact_copy_is_left_alone(tmp_path: Path) -> None:
    keep_pairs(tmp_path, PAIRS)
    before = (tmp_path / PAIRS_FILE).stat().st_ino
    keep_pairs(tmp_path, PAIRS)
    assert (tmp_path / PAIRS_FILE).stat().st_ino == before


@pytest.mark.parametrize("damage", ["", "not JSON", '{"prompt": "a", "chosen": "b"}'])
def test_a_damaged_copy_counts_for_nothing_and_is_written_again(
    tmp_path: Path, damage: str
) -> None:
    keep_pairs(tmp_path, PAIRS)
    (tmp_path / PAIRS_FILE).write_text(damage)
    assert kept_pairs(tmp_path, HASH) is None
    keep_pairs(tmp_path, PAIRS)
    assert kept_pairs(tmp_path, HASH) == PAIRS


def test_pairs_of_another_run_are_not_taken(tmp_path: Path) -> None:
    keep_pairs(tmp_path, PAIRS)
    assert kept_pairs(tmp_path, pairs_hash(PAIRS[::-1])) is None


def test_it_is_said_what_became_of_the_original() -> None:
    def gone() -> list[PreferencePair]:
        raise UserError("pair file pairs.jsonl cannot be read: No such file or directory")

    original = Path("pairs.jsonl")
    assert changed_since(original, lambda: PAIRS, HASH) is None
    changed = changed_since(original, lambda: PAIRS[:2], HASH)
    assert changed is not None
    assert "pairs.jsonl has changed since the run started; the run goes on with" in changed
    assert "can no longer be read" in str(changed_since(original, gone, HASH))
