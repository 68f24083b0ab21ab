"""The loop around a method: what it tells whoever watches about pace and time left."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from core.config.methods import GrpoSettings
from core.config.schema import EvaluationSettings, TrainSettings
from trainers.checkpoint import TrainerState
from trainers.dpo import DPO
from trainers.grpo import GRPO
from trainers.interrupt import Interrupts
from trainers.loop import Loop
from trainers.observer import Observer, StepReport
from trainers.optimization import LearningRate
from trainers.sft import SFT

SAMPLING, UPDATE, TOKENS = 60.0, 2.0, 100


class OverError(Exception):
    """The last update is done."""


class Clock:
    """Time goes on only where somebody spends it."""

    now = 1000.0

    def perf_counter(self) -> float:
        return self.now


@dataclass
class Batches:
    """A method that samples before every third update; updates change nothing."""

    clock: Clock
    total_steps: int = 6
    learning_rate: LearningRate = field(
        default_factory=lambda: LearningRate(1e-3, TrainSettings().schedule, 0.0, 0.1, 6)
    )
    policy: None = None

    def __post_init__(self) -> None:
        parameter = torch.nn.Parameter(torch.zeros(1))
        self.optimizer = SimpleNamespace(adamw=torch.optim.AdamW([parameter]))

    def ready(self, step: int) -> bool:
        self.clock.now += SAMPLING * (step % 3 == 1)
        return True

    def samplings_left(self, step: int) -> int:
        return 2 - -(-step // 3)

    def update(self, step: int) -> dict[str, float]:
        self.clock.now += UPDATE
        return {"loss": 1.0, "grad_norm": 1.0, "lr": 1e-3, "tokens": float(TOKENS)}

    def ends_round(self, step: int) -> bool:
        return False

    def load(self, memory: Any, step: int) -> None:
        pass

    def problem_ids(self, step: int) -> list[str]:
        return []

    rollouts = problem_ids


class Watching(Observer):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.reports: list[StepReport] = []

    def step(self, report: StepReport) -> None:
        self.reports.append(report)


def reports_of(
    folder: Path, monkeypatch: pytest.MonkeyPatch, state: TrainerState
) -> list[StepReport]:
    """What is told about the updates behind a state."""
    clock, watching = Clock(), Watching()
    monkeypatch.setattr("trainers.loop.time", clock)
    # a method without a policy has no weights to keep
    monkeypatch.setattr(Loop, "_checkpoint", lambda loop, state: None)

    def over(step: int) -> Any:
        raise OverError

    silent: Any = SimpleNamespace(metrics=lambda *_: None, event=lambda *_, **__: None)
    loop = Loop(
        method=Batches(clock),  # type: ignore[arg-type]
        evaluate=over,
        recorder=silent,
        observer=watching,
        interrupts=Interrupts(),
        folder=folder,
        train=TrainSettings(),
        evaluation=EvaluationSettings(at_start=False),
        rewinder=silent,
    )
    with pytest.raises(OverError):
        loop.run(state)
    return watching.reports


def test_the_time_left_counts_the_sampling_that_is_still_to_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = reports_of(tmp_path, monkeypatch, TrainerState())
    updates = [n * UPDATE for n in (5, 4, 3, 2, 1, 0)]
    assert [report.seconds_left for report in told[:3]] == [SAMPLING + u for u in updates[:3]]
    assert [report.seconds_left for report in told[3:]] == updates[3:]


def test_the_pace_counts_the_time_of_sampling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = reports_of(tmp_path, monkeypatch, TrainerState())
    assert told[0].tokens_per_second == TOKENS / (SAMPLING + UPDATE)
    assert told[5].tokens_per_second == 6 * TOKENS / (2 * SAMPLING + 6 * UPDATE)


def test_a_resumed_run_knows_how_long_sampling_took_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = TrainerState(step=1, tokens=TOKENS, seconds=UPDATE, waited=SAMPLING)
    first = reports_of(tmp_path, monkeypatch, before)[0]
    assert first.step == 2
    assert first.seconds_left == 4 * UPDATE + SAMPLING
    assert first.tokens_per_second == 2 * TOKENS / (SAMPLING + 2 * UPDATE)


@pytest.mark.parametrize(("step", "left"), [(0, 3), (1, 2), (4, 2), (5, 1), (8, 1), (9, 0)])
def test_grpo_samples_once_for_all_updates_of_a_batch(step: int, left: int) -> None:
    settings = GrpoSettings(steps=3, rollout_batch=8, train_batch=4, epochs_per_rollout=2)
    nothing: Any = None
    grpo = GRPO(nothing, nothing, nothing, settings, 8, 0, nothing, nothing)
    assert grpo.samplings_left(step) == left


@pytest.mark.parametrize("method", [SFT, DPO])
def test_what_others_wrote_is_not_sampled(method: type[SFT | DPO]) -> None:
    assert method.samplings_left(SimpleNamespace(), 0) == 0  # type: ignore[arg-type]
