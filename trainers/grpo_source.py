"""Where GRPO's rollouts come from: asked once, refilled where that is wanted, kept on disk.

A batch is on disk before anything is learned from it. A run that was killed takes it from there:
in the middle of a batch always, and at its beginning where the policy has the very weights that
sampled it. So nothing is generated twice, and nothing is learned from that a policy of updates
that never happened (before a rollback) has said.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from core.config.methods import GrpoSettings
from core.data.problem import Problem
from core.rollouts import Rollout, RolloutBatch
from trainers.checkpoint import checkpoint_step, checkpoints
from trainers.observer import Severity
from trainers.policy import Policy
from trainers.rollouts import QuestionOrder, RolloutSampler, RolloutStore
from trainers.stage import Stage

_WEIGHTS, _REFILLS = "weights", "refills"


@dataclass(frozen=True, slots=True)
class Sampled:
    """A batch with what is kept beside it.

    Attributes:
        batch: The rollouts.
        tensors: By name; grows by what is computed for the batch.
    """

    batch: RolloutBatch
    tensors: dict[str, Tensor] = field(default_factory=dict)

    @property
    def refills(self) -> int:
        """Times that questions were asked beside the first ones."""
        return int(self.tensors[_REFILLS]) if _REFILLS in self.tensors else 0


@dataclass(frozen=True, slots=True)
class RolloutSource:
    """Asks the questions of one run.

    Attributes:
        stage: The run.
        sampler: Asks the engine, and grades.
        store: Keeps batches.
        problems: All questions.
        order: In which they are asked.
        spare_order: In which they are asked to refill a batch.
    """

    stage: Stage
    sampler: RolloutSampler
    store: RolloutStore
    problems: Sequence[Problem]
    order: QuestionOrder
    spare_order: QuestionOrder

    @property
    def settings(self) -> GrpoSettings:
        """Of the method."""
        return self.stage.config.grpo

    @property
    def per_question(self) -> int:
        """Responses to one question."""
        return self.stage.config.rollout.per_question

    def first_asked(self, step: int) -> list[Problem]:
        """The questions of the batch that update `step` learns from, before any refill."""
        number = (step - 1) // self.settings.updates_per_rollout
        size = self.settings.rollout_batch // self.per_question
        return [self.problems[index] for index in self.order.batch(number, size)]

    def take(self, policy: Policy, step: int) -> Sampled:
        """The rollouts that update `step` learns from; recorded when it is the first that does.

        Raises:
            EngineError: the engine cannot start or go on.
            OSError: the batch cannot be kept.
        """
        updates = self.settings.updates_per_rollout
        number = (step - 1) // updates
        first = number * updates + 1
        sampled = self._kept(policy, number, first, step)
        if sampled is None:
            sampled = self._asked(policy, number, first)
            self._make_room(first)
            self.keep(sampled)
        if step == first:
            self.stage.recorder.rollouts(sampled.batch, self.stage.config.rollout.keep)
        return sampled

    def keep(self, sampled: Sampled) -> None:
        """Put a batch on disk with all that belongs to it.

        Raises:
            OSError: it cannot be written.
        """
        self.store.save(sampled.batch, sampled.tensors)

    def _kept(self, policy: Policy, number: int, first: int, step: int) -> Sampled | None:
        found = self.store.load(number, first)
        if found is not None:
            batch, tensors = found
            if step > first or torch.equal(tensors[_WEIGHTS], weights_mark(policy)):
                return Sampled(batch, dict(tensors))
        elif step > first:
            text = (
                f"the rollouts that step {step} goes on with are gone from the run's folder or "
                "damaged; new ones are sampled with the policy as it is"
            )
            self.stage.event(Severity.WARNING, "rollouts_lost", text, step)
        return None

    def _asked(self, policy: Policy, number: int, first: int) -> Sampled:
        self.stage.observer.phase(f"sampling rollouts for step {first}")
        batch = self._ask(policy, self.first_asked(first), number, first, 0)
        rounds = 0
        while self.settings.dynamic_sampling and rounds < self.settings.max_refills:
            idle = [place for place, group in enumerate(batch.groups()) if is_idle(group)]
            spare = self._spare(batch, number * self.settings.max_refills + rounds, len(idle))
            if not spare:
                break
            rounds += 1
            asked = self._ask(policy, spare, number, first, rounds)
            batch = _refilled(batch, idle, asked)
        marks = {_WEIGHTS: weights_mark(policy), _REFILLS: torch.tensor([rounds])}
        return Sampled(batch, marks)

    def _ask(
        self, policy: Policy, problems: Sequence[Problem], number: int, first: int, round_: int
    ) -> RolloutBatch:
        return self.sampler.sample(
            policy,
            problems,
            number=number,
            first_step=first,
            per_question=self.per_question,
            round=round_,
        )

    def _spare(self, batch: RolloutBatch, turn: int, wanted: int) -> list[Problem]:
        """Questions that the batch has not asked; fewer than wanted where there are no more."""
        known = {problem.id for problem in batch.problems}
        # two epochs hold every question, wherever they begin
        order = self.spare_order.take(turn * len(batch.problems), 2 * len(self.problems))
        new = dict.fromkeys(i for i in order if self.problems[i].id not in known)
        return [self.problems[index] for index in new][:wanted]

    def _make_room(self, first: int) -> None:
        """Delete batches that no checkpoint can go on with, or could sample again from itself."""
        updates = self.settings.updates_per_rollout
        steps = [checkpoint_step(path) for path in checkpoints(self.stage.checkpoint_folder)]
        newest = max(steps, default=0)
        needed = [step for step in steps if step % updates] + [newest]
        self.store.prune(min(step // updates * updates + 1 for step in needed))


def is_idle(group: Sequence[Rollout]) -> bool:
    """All right or all wrong by the binary outcome: nothing to tell apart.

    Shaped rewards never decide it: a group that differs in its lengths only is idle too.
    """
    return len({rollout.right for rollout in group}) == 1


def weights_mark(policy: Policy) -> Tensor:
    """One number per weight tensor that an update changes: the sum of its bits, modulo 2^64.

    Sums of whole numbers are the same in any order, so the mark is exact on every device.

    Returns:
        Shape (number of tensors,), int64.
    """
    marks = []
    for _, tensor in policy.named_weights():
        numbers = torch.int64 if tensor.element_size() == 8 else torch.int32
        bits = tensor.contiguous().view(numbers if tensor.element_size() >= 4 else torch.int16)
        marks.append(bits.sum(dtype=torch.int64).cpu())
    return torch.stack(marks)


def _refilled(batch: RolloutBatch, places: Sequence[int], asked: RolloutBatch) -> RolloutBatch:
    """The batch with newly asked groups at some places."""
    problems, groups = list(batch.problems), batch.groups()
    for place, problem, group in zip(places, asked.problems, asked.groups(), strict=False):
        problems[place], groups[place] = problem, group
    return replace(
        batch,
        problems=tuple(problems),
        rollouts=tuple(rollout for group in groups for rollout in group),
        generate_seconds=batch.generate_seconds + asked.generate_seconds,
        grade_seconds=batch.grade_seconds + asked.grade_seconds,
        sync_seconds=batch.sync_seconds + asked.sync_seconds,
    )
