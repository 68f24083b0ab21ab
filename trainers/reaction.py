"""What a run does about alarms: go on with a warning, stop, or go back and learn more slowly."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.config.schema import OnAlarm, TrainSettings
from core.registry.recorder import Recorder
from core.rollouts import Rollout
from trainers.alarms import Alarm, Remedy, RolloutRule
from trainers.best import rollback_target
from trainers.checkpoint import TrainerState, checkpoint_step, checkpoints, damage
from trainers.observer import Observer, Severity
from trainers.rollback import Rewinder, Rollback, after_rollbacks, finish_rollback, note_rollback
from trainers.rollouts_facts import excerpts
from trainers.watchdog import Watchdog

_SHOWN = 5
SLOWER = 0.5
"""What a rollback multiplies the learning rate by."""


class TrainingStoppedError(RuntimeError):
    """The watchdog found that going on is pointless; the message says why."""


@dataclass(frozen=True, slots=True)
class Retreat:
    """Go back, which is decided and recorded already.

    Attributes:
        checkpoint: Where to; None is what the run started from.
    """

    checkpoint: Path | None


@dataclass(slots=True)
class Reaction:
    """Carries out `train.on_alarm` for one run.

    Attributes:
        settings: Says what to do, and how often.
        watchdog: Forgets what is undone.
        rewinder: Puts policy and optimizer back.
        folder: Where the checkpoints are.
        recorder: Where alarms and rollbacks are recorded.
        observer: Who watches.
        problem_ids: Problems behind an update.
        rollouts: Responses that an update learned from.
    """

    settings: TrainSettings
    watchdog: Watchdog
    rewinder: Rewinder
    folder: Path
    recorder: Recorder
    observer: Observer
    problem_ids: Callable[[int], Sequence[str]]
    rollouts: Callable[[int], Sequence[Rollout]]

    def to(self, alarms: Sequence[Alarm], state: TrainerState) -> Retreat | None:
        """Record alarms and decide what to do about them.

        Returns:
            What is to be carried out; None to go on.

        Raises:
            TrainingStoppedError: the run ends here.
        """
        acting, reasons = [], []
        for alarm in alarms:
            message = self._announce(alarm)
            if self._must_act(alarm):
                acting.append(alarm)
                reasons.append(f"step {alarm.step}: {message}")
        if not acting:
            return None
        if self.settings.on_alarm is not OnAlarm.ROLLBACK:
            raise TrainingStoppedError(reasons[0])
        if any(alarm.rule.remedy is not Remedy.SLOWER for alarm in acting):
            raise TrainingStoppedError(f"{reasons[0]}; no rollback, because it would not help")
        if state.rollbacks >= self.settings.max_rollbacks:
            raise TrainingStoppedError(f"{reasons[0]}; {state.rollbacks} rollbacks did not help")
        return self._go_back(acting, state)

    def carry_out(self, retreat: Retreat) -> TrainerState:
        """Put everything back, in each process that trains, and return where to go on from."""
        restored = after_rollbacks(self.folder, self.rewinder.back_to(retreat.checkpoint))
        self.watchdog.rewind(restored.step, restored.watch)
        return replace(restored, watch=None)

    def _must_act(self, alarm: Alarm) -> bool:
        if alarm.rule.severity is Severity.ERROR:
            return True
        return self.settings.on_alarm is not OnAlarm.WARN and alarm.rule.remedy is not Remedy.NONE

    def _announce(self, alarm: Alarm) -> str:
        behind, data = self._evidence(alarm)
        message = alarm.message(behind)
        severity = alarm.rule.severity
        self.recorder.event(severity, alarm.rule.name, message, step=alarm.step, data=data)
        self.observer.event(severity, message, alarm.step)
        return message

    def _evidence(self, alarm: Alarm) -> tuple[list[str], dict[str, Any]]:
        """Problems or responses that show an alarm, and what its event holds."""
        if isinstance(alarm.rule, RolloutRule):
            shown = excerpts(alarm.rule.offenders(self.rollouts(alarm.step)), _SHOWN)
            return list(shown), {**alarm.data, "responses": dict(shown)}
        worst = alarm.measured.worst_step
        if worst is None:
            return list(alarm.measured.responses), alarm.data
        batch = list(self.problem_ids(worst))
        return batch, {**alarm.data, "batch": batch, "batch_of": worst}

    def _go_back(self, alarms: Sequence[Alarm], state: TrainerState) -> Retreat:
        target = self._target(min(alarm.measured.since for alarm in alarms))
        step = 0 if target is None else checkpoint_step(target)
        factor, count = state.lr_factor * SLOWER, state.rollbacks + 1
        undone = tuple(s for s in map(checkpoint_step, checkpoints(self.folder)) if s > step)
        # the note decides; whatever a kill leaves undone behind it, the next process finishes
        note_rollback(self.folder, Rollback(step, factor, count, undone, finished=False))
        self._record(alarms, state, step, factor, count)
        finish_rollback(self.folder)
        return Retreat(target)

    def _target(self, since: int) -> Path | None:
        """The checkpoint to go back to; damaged ones are left out."""
        kept = {checkpoint_step(path): path for path in checkpoints(self.folder)}
        scores, faulty = self.watchdog.scores(), self.watchdog.under_alarm()
        while (step := rollback_target(kept, scores, faulty, since)) is not None:
            if damage(kept[step]) is None:
                return kept[step]
            del kept[step]
        return None

    def _record(
        self, alarms: Sequence[Alarm], state: TrainerState, step: int, factor: float, count: int
    ) -> None:
        where = f"the checkpoint of step {step}" if step else "the initial weights"
        text = (
            f"rolled back from step {state.step} to {where} because of "
            f"{' and '.join(alarm.rule.name for alarm in alarms)}; the learning rate is "
            f"{factor:g} times the one asked for from here on "
            f"(rollback {count} of {self.settings.max_rollbacks})"
        )
        data = {
            "from": state.step,
            "to": step,
            "lr_factor": factor,
            "rollback": count,
            "alarms": [alarm.rule.name for alarm in alarms],
        }
        self.recorder.event(Severity.WARNING, "rollback", text, step=state.step, data=data)
        self.recorder.begin_segment(step)  # what came after is no longer shown
        self.observer.event(Severity.WARNING, text, state.step)
