"""The loop every method shares: update, record, watch, evaluate, checkpoint, and stop cleanly."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from core.config.schema import EvaluationSettings, OnAlarm, TrainSettings
from core.registry.recorder import Recorder
from core.rollouts import Rollout
from trainers.alarms import WINDOW, Alarm
from trainers.best import best_steps, retreat_steps
from trainers.checkpoint import (
    TrainerState,
    checkpoint_step,
    checkpoints,
    prune,
    save_checkpoint,
    size_and_hash,
)
from trainers.distributed.world import ALONE, World
from trainers.evaluation_facts import EvaluationFacts
from trainers.interrupt import Interrupts, StepsDoneError
from trainers.observer import Observer, Severity, StepReport
from trainers.optimization import LearningRate, Optimizer
from trainers.policy import Policy
from trainers.reaction import Reaction
from trainers.rollback import Rewinder
from trainers.update_probe import UpdateProbe
from trainers.watchdog import Watchdog


class Method(Protocol):
    """What a method brings to the loop."""

    learning_rate: LearningRate

    @property
    def policy(self) -> Policy:
        """What learns."""
        ...

    @property
    def optimizer(self) -> Optimizer:
        """Over its parameters."""
        ...

    @property
    def total_steps(self) -> int:
        """Updates of the whole run; an estimate as long as they depend on rollouts to come."""
        ...

    def ready(self, step: int) -> bool:
        """Make what update `step` needs, rollouts for example; False when there is none left.

        A stop may interrupt this, and a resumed run calls it again for the same step.
        """
        ...

    def samplings_left(self, step: int) -> int:
        """How often `ready` still has to sample for updates behind `step`; 0 where it never does.

        Args:
            step: Updates done; 0 counts every sampling of the run.
        """
        ...

    def update(self, step: int) -> dict[str, float]:
        """One optimizer update; returns its metrics: `loss`, `grad_norm`, `tokens` and more."""
        ...

    def ends_round(self, step: int) -> bool:
        """Whether update `step` is the last of a round whose outcome is worth an evaluation."""
        ...

    def dump(self) -> dict[str, Any] | None:
        """What a resumed run has to be told, JSON-ready; stored with every checkpoint."""
        ...

    def load(self, memory: dict[str, Any] | None, step: int) -> None:
        """Take up what `dump` gave behind update `step`: after a restart and after a rollback.

        Args:
            memory: None at the beginning of a run.
            step: Updates done; whatever came after it never happened.
        """
        ...

    def problem_ids(self, step: int) -> Sequence[str]:
        """Problems behind an update."""
        ...

    def rollouts(self, step: int) -> Sequence[Rollout]:
        """Responses that update `step` learned from; empty where a method samples none."""
        ...


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
        train: Checkpoint cadence, clipping, alarms.
        evaluation: Evaluation cadence.
        rewinder: Puts the policy back where a rollback wants it.
        evaluated: Evaluations that are already recorded (a resumed run), oldest first.
        world: The processes that train together; the main one watches and decides.
        stop_after: End behind this update with a checkpoint, though more would follow.
    """

    method: Method
    evaluate: Callable[[int], EvaluationFacts]
    recorder: Recorder
    observer: Observer
    interrupts: Interrupts
    folder: Path
    train: TrainSettings
    evaluation: EvaluationSettings
    rewinder: Rewinder
    evaluated: Sequence[EvaluationFacts] = ()
    world: World = ALONE
    stop_after: int | None = None
    _watchdog: Watchdog = field(init=False)
    _reaction: Reaction = field(init=False)
    _probe: UpdateProbe = field(init=False)
    _rate: LearningRate = field(init=False)
    _saved_at: int = field(default=0, init=False)
    _evaluated_at: int | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._watchdog = Watchdog(self.train, self.method.total_steps)
        self._reaction = Reaction(
            self.train,
            self._watchdog,
            self.rewinder,
            self.folder,
            self.recorder,
            self.observer,
            self.method.problem_ids,
            self.method.rollouts,
        )
        self._probe = UpdateProbe(self.method.optimizer.adamw)
        if self.world.main:
            self._probe.attach()
        self._rate = self.method.learning_rate

    def run(self, state: TrainerState) -> TrainerState:
        """Train from `state` to the last step.

        Raises:
            Interrupted: somebody asked to stop; the last update is in a checkpoint.
            TrainingStoppedError: an alarm ended the run.
            StepsDoneError: the update to stop behind is done, and was not the last one.
            OSError: the last checkpoint could not be written.
        """
        state = self._begin(state)
        while (prepared := self._prepare(state)) is not None:
            state = prepared
            with self.interrupts.deferred():
                updated, metrics = self._step(state)
                state = self._react(partial(self._watchdog.step, updated.step, metrics), updated)
                stopping = self.world.decide(lambda: self.interrupts.requested)
            going_on = state is updated
            evaluation_due = going_on and self._evaluation_due(state.step)
            # saved before the evaluation, so that a stop during it costs no training
            if going_on and (self._checkpoint_due(state.step) or evaluation_due or stopping):
                self._checkpoint(state)
            self.interrupts.raise_now()
            if stopping:  # another process was asked, and says so
                return state
            if evaluation_due:
                state = self._evaluate(state)
            self._stop_where_asked(state)
        return self._end(state)

    def _stop_where_asked(self, state: TrainerState) -> None:
        if self.stop_after is None or not self.stop_after <= state.step < self.method.total_steps:
            return
        if self._saved_at != state.step:
            self._checkpoint(state)
        raise StepsDoneError(state.step)

    def _end(self, state: TrainerState) -> TrainerState:
        """Save and evaluate what a method left that ran out of work before its last step."""
        if state.step > 0:
            if self.world.decide(lambda: self._saved_at != state.step):
                self._checkpoint(state)
            if self._evaluated_at != state.step:
                return self._evaluate(state)
        return state

    def _begin(self, state: TrainerState) -> TrainerState:
        """Take up what a resumed run has seen, and act on an alarm that was not acted upon."""
        self._adopt(state)
        self._saved_at = state.step
        self._evaluated_at = self.evaluated[-1].step if self.evaluated else None
        self._watchdog.rewind(state.step, state.watch)
        raised = [self._watchdog.evaluation(facts) for facts in self.evaluated]
        if self.world.main:
            self._prune(state.step)
        if not self._evaluation_due(state.step):
            return state
        if not self.evaluated or self.evaluated[-1].step != state.step:
            return self._evaluate(state)
        if self.train.on_alarm is OnAlarm.WARN:
            return state
        return self._react(lambda: raised[-1], state)

    def _prepare(self, state: TrainerState) -> TrainerState | None:
        """Make the next update ready; None where there is none left."""
        started = time.perf_counter()
        if not self.method.ready(state.step + 1):
            return None
        return replace(state, waited=state.waited + time.perf_counter() - started)

    def _step(self, state: TrainerState) -> tuple[TrainerState, dict[str, float]]:
        step = state.step + 1
        self._probe.arm(step)
        started = time.perf_counter()
        metrics = self.method.update(step)
        seconds = state.seconds + time.perf_counter() - started
        tokens = state.tokens + int(metrics["tokens"])
        metrics["tokens_total"] = float(tokens)
        unchanged = self._probe.share()
        if unchanged is not None:
            metrics["unchanged_share"] = unchanged
        self.recorder.metrics(step, metrics)
        done = replace(state, step=step, tokens=tokens, seconds=seconds)
        pace = tokens / (seconds + state.waited)
        left = self._seconds_left(done)
        self.observer.step(StepReport(step, self.method.total_steps, metrics, pace, left))
        return done, metrics

    def _seconds_left(self, state: TrainerState) -> float:
        """What is left takes as long as what is done: updates and samplings each by their mean."""
        updates = self.method.total_steps - state.step
        left = self.method.samplings_left(state.step)
        sampled = max(1, self.method.samplings_left(0) - left)
        return updates * state.seconds / state.step + left * state.waited / sampled

    def _evaluate(self, state: TrainerState) -> TrainerState:
        self._watchdog.total = self.method.total_steps  # it may have been an estimate before
        facts = self.evaluate(state.step)
        self._evaluated_at = state.step
        with self.interrupts.deferred():
            return self._react(lambda: self._watchdog.evaluation(facts), state)

    def _react(self, look: Callable[[], Sequence[Alarm]], state: TrainerState) -> TrainerState:
        """Let the main process look for alarms, and do what it decides about them."""
        retreat = self.world.decide(lambda: self._reaction.to(look(), state))
        if retreat is None:
            return state
        return self._adopt(self._reaction.carry_out(retreat))

    def _adopt(self, state: TrainerState) -> TrainerState:
        """Go on from a state: the method's memory and the learning rate are part of it."""
        self.method.load(state.method, state.step)
        self.method.learning_rate = self._rate.scaled(state.lr_factor)
        return state

    def _checkpoint(self, state: TrainerState) -> None:
        # the registry must hold everything up to this step before a resume can start behind it
        self.recorder.flush()
        try:
            with self.interrupts.deferred():
                policy, optimizer = self.world.gathered(self.method.policy, self.method.optimizer)
                if not self.world.main:
                    return
                whole = replace(state, watch=self._watchdog.dump(), method=self.method.dump())
                path = save_checkpoint(self.folder, policy, optimizer, whole)
        except OSError as error:
            if state.step == self.method.total_steps:
                raise
            text = f"{error}; training goes on, the older checkpoint stays"
            self.recorder.event(Severity.WARNING, "checkpoint_failed", text, step=state.step)
            self.observer.event(Severity.WARNING, text, state.step)
            return
        self._saved_at = state.step
        self.recorder.artifact("checkpoint", path, size_and_hash(path))
        self._prune(state.step)

    def _prune(self, step: int) -> None:
        """Keep the newest, the best, and what a rollback may need.

        Only evaluations from before `step` count, so that a resume behind an evaluation finds
        the checkpoints that the run had there.
        """
        kept = {checkpoint_step(path) for path in checkpoints(self.folder)}
        scores = self._watchdog.scores().items()
        before = {scored: score for scored, score in scores if scored < step and scored in kept}
        protected = best_steps(before, self.train.keep_best)
        if self.train.on_alarm is OnAlarm.ROLLBACK:
            faulty = self._watchdog.under_alarm()
            protected |= retreat_steps(kept, before, faulty, step, WINDOW)
        prune(self.folder, self.train.keep_last, protected)

    def _checkpoint_due(self, step: int) -> bool:
        if self.method.ends_round(step):  # what follows may be rollouts, which nobody samples twice
            return True
        every = self.train.checkpoint_every or max(1, self.method.total_steps // 8)
        return step == self.method.total_steps or step % every == 0

    def _evaluation_due(self, step: int) -> bool:
        if step == 0:
            return self.evaluation.at_start
        every = self.evaluation.every
        if every is None and self.method.ends_round(step):
            return True
        return step == self.method.total_steps or (every is not None and step % every == 0)
