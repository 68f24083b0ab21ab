"""The loop every method shares: update, record, watch, evaluate, checkpoint, and stop cleanly."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from core.config.schema import EvaluationSettings, TrainSettings
from core.registry.recorder import Recorder
from trainers.checkpoint import TrainerState, prune, save_checkpoint, size_and_hash
from trainers.distributed.world import ALONE, World
from trainers.interrupt import Interrupts
from trainers.observer import Observer, Severity, StepReport
from trainers.optimization import Optimizer
from trainers.policy import Policy
from trainers.watchdog import Watchdog


class Method(Protocol):
    """What a method brings to the loop."""

    policy: Policy
    optimizer: Optimizer

    @property
    def total_steps(self) -> int:
        """Updates of the whole run."""
        ...

    def update(self, step: int) -> dict[str, float]:
        """One optimizer update; returns its metrics: `loss`, `grad_norm`, `tokens` and more."""
        ...


class TrainingStoppedError(RuntimeError):
    """The watchdog found that going on is pointless; the message says why."""


@dataclass(slots=True)
class Loop:
    """One training run from some step to its last.

    Attributes:
        method: Updates the policy.
        evaluate: Evaluates the live policy at a step and records the result.
        recorder: Where metrics and events go.
        observer: Who watches.
        interrupts: Turns Ctrl-C and SIGTERM into a stop at the next step boundary.
        folder: Where checkpoints go.
        train: Checkpoint cadence, clipping.
        evaluation: Evaluation cadence.
        evaluated: Steps whose evaluation is already recorded (a resumed run).
        world: The processes that train together.
    """

    method: Method
    evaluate: Callable[[int], object]
    recorder: Recorder
    observer: Observer
    interrupts: Interrupts
    folder: Path
    train: TrainSettings
    evaluation: EvaluationSettings
    evaluated: frozenset[int] = frozenset()
    world: World = ALONE

    def run(self, state: TrainerState) -> TrainerState:
        """Train from `state` to the last step.

        Raises:
            Interrupted: somebody asked to stop; the last update is in a checkpoint.
            TrainingStoppedError: loss or gradient are not finite.
            OSError: the last checkpoint could not be written.
        """
        watchdog = Watchdog(self.train.clip_norm)
        if self._evaluation_due(state.step) and state.step not in self.evaluated:
            self.evaluate(state.step)
        while state.step < self.method.total_steps:
            with self.interrupts.deferred():
                state = self._step(state, watchdog)
                stopping = self.world.decide(lambda: self.interrupts.requested)
            evaluation_due = self._evaluation_due(state.step)
            # saved before the evaluation, so that a stop during it costs no training
            if self._checkpoint_due(state.step) or evaluation_due or stopping:
                self._checkpoint(state)
            self.interrupts.raise_now()
            if stopping:  # another process was asked, and says so
                return state
            if evaluation_due:
                self.evaluate(state.step)
        return state

    def _step(self, state: TrainerState, watchdog: Watchdog) -> TrainerState:
        step = state.step + 1
        started = time.perf_counter()
        metrics = self.method.update(step)
        seconds = state.seconds + time.perf_counter() - started
        tokens = state.tokens + int(metrics["tokens"])
        metrics["tokens_total"] = float(tokens)
        self.recorder.metrics(step, metrics)
        left = (self.method.total_steps - step) * seconds / step
        self.observer.step(StepReport(step, self.method.total_steps, metrics, left))
        self._watch(watchdog, metrics, step)
        return replace(state, step=step, tokens=tokens, seconds=seconds)

    def _watch(self, watchdog: Watchdog, metrics: Mapping[str, float], step: int) -> None:
        for alarm in watchdog.observe(metrics):
            self.recorder.event(alarm.severity, alarm.rule, alarm.message, step=step)
            self.observer.event(alarm.severity, alarm.message, step)
            if alarm.severity is Severity.ERROR:
                raise TrainingStoppedError(f"step {step}: {alarm.message}")

    def _checkpoint(self, state: TrainerState) -> None:
        # the registry must hold everything up to this step before a resume can start behind it
        self.recorder.flush()
        try:
            with self.interrupts.deferred():
                policy, optimizer = self.world.gathered(self.method.policy, self.method.optimizer)
                if not self.world.main:
                    return
                path = save_checkpoint(self.folder, policy, optimizer, state)
        except OSError as error:
            if state.step == self.method.total_steps:
                raise
            text = f"{error}; training goes on, the older checkpoint stays"
            self.recorder.event(Severity.WARNING, "checkpoint_failed", text, step=state.step)
            self.observer.event(Severity.WARNING, text, state.step)
            return
        self.recorder.artifact("checkpoint", path, size_and_hash(path))
        prune(self.folder, self.train.keep_last)

    def _checkpoint_due(self, step: int) -> bool:
        every = self.train.checkpoint_every or max(1, self.method.total_steps // 8)
        return step == self.method.total_steps or step % every == 0

    def _evaluation_due(self, step: int) -> bool:
        if step == 0:
            return self.evaluation.at_start
        every = self.evaluation.every
        return step == self.method.total_steps or (every is not None and step % every == 0)
