"""The rollouts of Expert Iteration's rounds: sampled once, remembered, recorded, and traceable.

A round's rollouts are on disk before anything is learned from them, so that a run that is killed
and resumed goes on with the same ones. What was kept of them stands in
`rollouts/round-0001-kept.jsonl` in the run folder, a line each that names the rollout by run, step,
problem and sample: that is how the registry knows it.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.data.problem import Problem
from core.errors import UserError
from core.rollouts import RolloutBatch
from core.whole_files import write_whole
from core.workspace import ROLLOUTS
from trainers.kept import Kept
from trainers.observer import Severity
from trainers.policy import Policy
from trainers.rollouts import RolloutSampler, RolloutStore
from trainers.stage import Stage


@dataclass(frozen=True, slots=True)
class Round:
    """One round of sampling and fine-tuning.

    Attributes:
        number: From 0.
        first_step: Its first update.
        updates: How many it has; 0 where nothing was kept.
    """

    number: int
    first_step: int
    updates: int

    @property
    def last_step(self) -> int:
        """Its last update; the one before its first where it has none."""
        return self.first_step + self.updates - 1


@dataclass(frozen=True, slots=True)
class RoundRollouts:
    """Samples rounds, and tells of them.

    Attributes:
        stage: The run.
        sampler: Asks the live policy.
        store: Keeps every batch until the run is done, as a rollback may lead far back.
    """

    stage: Stage
    sampler: RolloutSampler
    store: RolloutStore

    def sample(
        self, policy: Policy, problems: Sequence[Problem], number: int, first_step: int
    ) -> RolloutBatch:
        """The rollouts of a round that begins; those from before a restart, where there are any.

        Raises:
            UserError, EngineError: see `RolloutSampler.sample`.
            OSError: they cannot be written.
        """
        settings = self.stage.config.rollout
        found = self.store.load(number, first_step)
        if found is None:
            per_question = settings.per_question
            batch = self.sampler.sample(
                policy, problems, number=number, first_step=first_step, per_question=per_question
            )
            self.store.save(batch, {})
        else:
            batch, _ = found
        self.stage.recorder.rollouts(batch, settings.keep)
        return batch

    def recall(self, now: Round) -> RolloutBatch:
        """The rollouts of a round that has begun.

        Raises:
            UserError: they are gone.
        """
        found = self.store.load(now.number, now.first_step)
        if found is None:
            raise UserError(
                f"the rollouts of round {now.number + 1} are gone from {self.stage.folder}, so the "
                "run cannot go on exactly; start it again"
            )
        return found[0]

    def forget_after(self, step: int) -> None:
        """Rounds that would begin behind update `step + 1` never began."""
        self.store.forget_after(step)

    def report(self, now: Round, batch: RolloutBatch, kept: Kept) -> None:
        """Write down what was kept, and say it; a round that is taken up again is recorded once.

        Raises:
            OSError: the file cannot be written.
        """
        path = self.stage.folder / ROLLOUTS / f"round-{now.number + 1:04d}-kept.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, "".join(self._lines(now, kept)))
        self.stage.recorder.artifact("kept_rollouts", path)
        severity = Severity.INFO if now.updates else Severity.WARNING
        text = _summary(now, batch, kept)
        self.stage.recorder.event(
            severity,
            "round",
            text,
            step=now.first_step,
            data={
                "round": now.number + 1,
                "grader": self.stage.config.rollout.grader.value,
                "questions": len(batch.problems),
                "rollouts": len(batch.rollouts),
                "right": kept.right,
                "distinct": kept.distinct,
                "kept": len(kept.rollouts),
                "problems": kept.problems,
                "updates": now.updates,
                "file": path.relative_to(self.stage.folder).as_posix(),
            },
            once=True,
        )
        self.stage.observer.event(severity, text, now.first_step)

    def close(self, rounds: Sequence[Round]) -> None:
        """Every round is done: older batches go; where none found anything, that is said."""
        self.store.prune(rounds[-1].last_step + 1)
        if not any(now.updates for now in rounds):
            grader = self.stage.config.rollout.grader
            text = (
                f"nothing was learned: none of the {len(rounds)} rounds found a response that the "
                f"grader {grader} calls right; start from a model that solves some of the "
                "questions (--init RUN), sample more (--questions, --rollouts), or take another "
                "--train-grader"
            )
            self.stage.event(Severity.WARNING, "nothing_learned", text)

    def _lines(self, now: Round, kept: Kept) -> Iterator[str]:
        for rollout in kept.rollouts:
            response = rollout.response
            row = {
                "run": self.stage.run.id,
                "round": now.number + 1,
                "step": now.first_step,
                "problem": response.problem_id,
                "sample": response.sample,
                "grader": rollout.grader.value,
                "tokens": len(response.token_ids),
                "finish": response.finish.value,
                "response": response.text,
            }
            yield json.dumps(row, ensure_ascii=True) + "\n"


def _summary(now: Round, batch: RolloutBatch, kept: Kept) -> str:
    text = (
        f"round {now.number + 1}: {kept.right:,} of {len(batch.rollouts):,} responses to "
        f"{len(batch.problems):,} questions are right"
    )
    if not kept.rollouts:
        unusable = f", and {kept.unusable:,} of them too long to learn from" * bool(kept.right)
        return f"{text}{unusable}; there is nothing to learn, so the round is skipped"
    over = f"; {kept.unusable:,} are too long to learn from" if kept.unusable else ""
    return (
        f"{text}; {len(kept.rollouts):,} of them, to {kept.problems:,} questions, are learned from "
        f"in {now.updates:,} update{'s' * (now.updates > 1)}{over}"
    )
