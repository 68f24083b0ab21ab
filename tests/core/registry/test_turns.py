"""Recorders take turns at one file: one at a time, polite in a crowd, and never stuck behind it."""

from pathlib import Path

import pytest

from core.registry import turns
from core.registry.lock import FileLock
from core.registry.turns import Turns


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made; none of them takes time."""
    made: list[float] = []
    monkeypatch.setattr(turns.time, "sleep", made.append)
    return made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock with one hand, to be set."""
    hand = [100.0]
    monkeypatch.setattr(turns.time, "monotonic", lambda: hand[0])
    return hand


def test_one_that_is_alone_neither_pauses_nor_rests(
    tmp_path: Path, pauses: list[float], clock: list[float]
) -> None:
    alone = Turns(tmp_path / "registry.db")
    with alone.taken():
        alone.begun()
        clock[0] += 5.0
    assert (pauses, alone.rest) == ([], 0.0)


def test_one_that_had_to_wait_leaves_a_gap_and_comes_back_later(
    tmp_path: Path, pauses: list[float], clock: list[float]
) -> None:
    crowded = Turns(tmp_path / "registry.db")
    with crowded.taken():
        clock[0] += 1.0
        crowded.begun()
        clock[0] += 0.25
    assert pauses == [0.12], "longer than SQLite waits between two looks"
    assert crowded.rest == 5.0
    with crowded.taken():
        clock[0] += 60.0
        crowded.begun()
    assert crowded.rest == 10.0, "a sign of life is due by then"
    with crowded.taken():
        crowded.begun()
    assert crowded.rest == 0.0


def test_nobody_else_has_the_turn_meanwhile_and_a_failure_gives_it_back(tmp_path: Path) -> None:
    place = tmp_path / "registry.db.turn"
    mine = Turns(tmp_path / "registry.db")

    def fail_in_turn() -> None:
        with mine.taken():
            with pytest.raises(TimeoutError), FileLock(place, timeout=0):
                pytest.fail("two have the turn")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_in_turn()
    with FileLock(place, timeout=0):
        pass


def test_a_turn_that_never_comes_and_a_lock_that_cannot_be_made_stop_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_PATIENCE_S", 0.0)
    reached = []
    with FileLock(tmp_path / "registry.db.turn"), Turns(tmp_path / "registry.db").taken():
        reached.append("behind one that hangs")
    with Turns(tmp_path / "no such folder" / "registry.db").taken():
        reached.append("no place for a lock")
    with Turns(None).taken():
        reached.append("a server")
    assert len(reached) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["registry.db.turn"]
