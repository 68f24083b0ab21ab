"""The rollouts of a round: sampled once, on disk before anything learns from them, and named."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.config.methods import ExpertIterationSettings, KeepRollouts, RolloutSettings
from core.config.schema import TrainSettings
from core.errors import UserError
from core.rollouts import RolloutBatch
from tests.rollouts import batch, right
from trainers.ei_rounds import Round, RoundRollouts
from trainers.kept import keep
from trainers.observer import Severity
from trainers.rollouts import RolloutStore

SAMPLED = batch([[right(42), f"so{right(42)}", right(41)]] * 2, number=2, first_step=5)


@dataclass
class Sampler:
    """Gives one batch, and counts how often it was asked."""

    asked: int = 0

    def sample(self, policy: None, problems: Any, **named: Any) -> RolloutBatch:
        self.asked += 1
        assert (named["number"], named["first_step"], named["per_question"]) == (2, 5, 3)
        return SAMPLED


@dataclass
class Notes:
    """Recorder and observer in one, who only listen."""

    events: list[tuple[str, str, str, int | None]] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    batches: list[tuple[RolloutBatch, KeepRollouts]] = field(default_factory=list)
    artifacts: list[tuple[str, Path]] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    once: list[bool] = field(default_factory=list)

    def rollouts(self, found: RolloutBatch, kept: KeepRollouts) -> None:
        self.batches.append((found, kept))

    def artifact(self, kind: str, path: Path) -> None:
        self.artifacts.append((kind, path))

    def event(
        self,
        severity: str,
        *rest: Any,
        data: Any = None,
        step: int | None = None,
        once: bool = False,
    ) -> None:
        self.once.append(once)
        if len(rest) == 2 and isinstance(rest[1], str):
            self.events.append((severity, rest[0], rest[1], step))
            self.data = data or self.data
        else:
            self.shown.append(rest[0])


def rounds_in(folder: Path, sampler: Sampler, notes: Notes) -> RoundRollouts:
    settings = RolloutSettings(per_question=3, keep=KeepRollouts.ALL)

    def event(severity: Severity, kind: str, message: str, step: int | None = None) -> None:
        notes.event(severity, kind, message, step=step)

    stage: Any = SimpleNamespace(
        folder=folder,
        config=SimpleNamespace(rollout=settings),
        recorder=notes,
        observer=notes,
        run=SimpleNamespace(id="ei-8-test"),
        event=event,
    )
    store = RolloutStore(folder / "rollouts")
    return RoundRollouts(stage, sampler, store)  # type: ignore[arg-type]


def test_a_batch_is_sampled_once_and_recorded_whenever_a_round_begins(tmp_path: Path) -> None:
    sampler, notes = Sampler(), Notes()
    for _ in range(2):
        again = rounds_in(tmp_path, sampler, notes)
        assert again.sample(None, SAMPLED.problems, 2, 5) == SAMPLED  # type: ignore[arg-type]
    assert sampler.asked == 1
    assert notes.batches == [(SAMPLED, KeepRollouts.ALL)] * 2
    assert again.recall(Round(2, 5, 4)) == SAMPLED


def test_a_round_whose_rollouts_are_gone_cannot_go_on(tmp_path: Path) -> None:
    rounds = rounds_in(tmp_path, Sampler(), Notes())
    with pytest.raises(UserError, match="the rollouts of round 3 are gone"):
        rounds.recall(Round(2, 5, 4))
    rounds.store.save(SAMPLED, {})
    rounds.forget_after(4)
    assert rounds.recall(Round(2, 5, 4)) == SAMPLED, "the policy behind step 4 sampled them"
    rounds.forget_after(3)
    with pytest.raises(UserError):
        rounds.recall(Round(2, 5, 4))


def test_what_was_kept_is_written_down_with_its_rollouts_names(tmp_path: Path) -> None:
    notes = Notes()
    kept = keep(SAMPLED, ExpertIterationSettings(), TrainSettings(), 0)
    rounds_in(tmp_path, Sampler(), notes).report(Round(2, 5, 4), SAMPLED, kept)
    ((kind, path),) = notes.artifacts
    assert (kind, path.relative_to(tmp_path).as_posix()) == (
        "kept_rollouts",
        "rollouts/round-0003-kept.jsonl",
    )
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [(row["problem"], row["sample"]) for row in rows] == [
        *(("q-0", 0), ("q-0", 1)),
        *(("q-1", 0), ("q-1", 1)),
    ]
    assert {(row["run"], row["round"], row["step"]) for row in rows} == {("ei-8-test", 3, 5)}
    assert rows[1]["response"] == f"so{right(42)}"
    ((severity, name, text, step),) = notes.events
    assert (severity, name, step) == (Severity.INFO, "round", 5)
    assert text == (
        "round 3: 4 of 6 responses to 2 questions are right; 4 of them, to 2 questions, are "
        "learned from in 4 updates"
    )
    assert (notes.data["right"], notes.data["kept"], notes.data["problems"]) == (4, 4, 2)
    assert notes.shown == [text]
    assert notes.once[0], "a resumed run may begin the round again"


def test_a_round_that_kept_nothing_leaves_an_empty_file_and_says_why(tmp_path: Path) -> None:
    notes = Notes()
    short = TrainSettings(max_length=8)
    kept = keep(SAMPLED, ExpertIterationSettings(), short, 0)
    rounds_in(tmp_path, Sampler(), notes).report(Round(2, 5, 0), SAMPLED, kept)
    assert notes.artifacts[0][1].read_text("utf-8") == ""
    assert notes.events[0][0] is Severity.WARNING
    assert "4 of 6 responses to 2 questions are right, and 4 of them too long" in notes.shown[0]
    assert "the round is skipped" in notes.shown[0]


def test_only_a_run_that_never_learned_says_so_at_its_end(tmp_path: Path) -> None:
    notes = Notes()
    rounds = rounds_in(tmp_path, Sampler(), notes)
    rounds.close([Round(0, 1, 3), Round(1, 4, 0)])
    assert notes.events == []
    rounds.close([Round(0, 1, 0), Round(1, 1, 0)])
    ((_, kind, text, _),) = notes.events
    assert kind == "nothing_learned"
    assert "none of the 2 rounds found a response that the grader strict calls right" in text
