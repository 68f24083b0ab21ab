"""Expert Iteration: sample, keep what is right, fine-tune on it, and go on from the better policy.

    a5ctl run ei --init sft-128-k3f9 --ei-steps 5 --questions 512 --rollouts 8

Round k asks questions x, samples G responses y ~ p_(k-1)(. | x) to each, and keeps

    D_k = { (x, y) : the grader says that y is right },

each text once and at most `max_per_problem` to a question (`trainers/kept.py`); supervised
fine-tuning on D_k (`trainers/sft.py`), with a learning-rate schedule of its own, gives p_k. The
method is that of Anthony et al. (2017), for language models that of STaR (Zelikman et al. 2022).
"""

import math
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import fmean
from typing import Any

from core.config.methods import ExpertIterationSettings
from core.data.problem import Problem
from core.rollouts import Rollout, RolloutBatch
from trainers.batching import BatchPlan, plan_batches
from trainers.defaults import required
from trainers.ei_rounds import Round, RoundRollouts
from trainers.kept import Kept, keep, round_metrics
from trainers.optimization import LearningRate, Optimizer
from trainers.policy import Policy
from trainers.rollouts import QuestionOrder
from trainers.sft import SFT


@dataclass(slots=True)
class ExpertIteration:
    """The method: given a step number, update the policy once.

    Attributes:
        policy: What learns.
        optimizer: AdamW over its parameters.
        sft: Fine-tunes; its examples, plan and rate are those of the round at work.
        learning_rate: The course over one round.
        questions: What can be asked.
        order: Which of them each round asks.
        settings: Rounds, questions of a round, and what is kept.
        rollouts_of: Samples, and remembers what was sampled.
        eos_id: What ends a training target.
        expected_updates: Of a round, as long as none has begun.
        rounds: Those that have begun.
    """

    policy: Policy
    optimizer: Optimizer
    sft: SFT
    learning_rate: LearningRate
    questions: Sequence[Problem]
    order: QuestionOrder
    settings: ExpertIterationSettings
    rollouts_of: RoundRollouts
    eos_id: int
    expected_updates: int
    rounds: list[Round] = field(default_factory=list)
    _at_work: tuple[Round, RolloutBatch, Kept] | None = field(default=None, init=False)

    @property
    def total_steps(self) -> int:
        """Updates of all rounds; those to come are taken to be like those that have begun."""
        lengths = [now.updates for now in self.rounds]
        usual = math.ceil(fmean(lengths)) if any(lengths) else self.expected_updates
        return sum(lengths) + (self.settings.steps - len(lengths)) * usual

    def ready(self, step: int) -> bool:
        """Begin rounds until one has something to learn at `step`; False behind the last one."""
        while not self.rounds or step > self.rounds[-1].last_step:
            if len(self.rounds) == self.settings.steps:
                self.rollouts_of.close(self.rounds)
                return False
            self._begin(len(self.rounds), step)
        return True

    def _begin(self, number: int, step: int) -> None:
        """Ask a round's questions, and keep what is right."""
        size = min(self.settings.questions, len(self.questions))
        asked = [self.questions[index] for index in self.order.batch(number, size)]
        batch = self.rollouts_of.sample(self.policy, asked, number, step)
        kept = keep(batch, self.settings, self.sft.settings, self.eos_id)
        plan = self._plan(number, kept)
        now = Round(number, step, plan.total if plan is not None else 0)
        self.rollouts_of.report(now, batch, kept)
        self.rounds.append(now)

    def _plan(self, number: int, kept: Kept) -> BatchPlan | None:
        """The order in which a round sees its examples, as any SFT run would see them."""
        if not kept.examples:
            return None
        settings, seed = self.sft.settings, f"round-{self.order.seed}-{number}"
        size = required(settings.batch_size, "train.batch_size")
        return plan_batches(kept.examples, settings, size, random.Random(seed).getrandbits(32))

    def samplings_left(self, step: int) -> int:
        """Rounds that begin behind update `step`: those that have, and those still to come."""
        later = sum(now.first_step > step for now in self.rounds)
        return later + self.settings.steps - len(self.rounds)

    def update(self, step: int) -> dict[str, float]:
        """One update of supervised fine-tuning; a round's first also says what sampling brought."""
        now, batch, kept = self._take_up(step)
        self.sft.learning_rate = replace(self.learning_rate, total=now.updates)
        if step > now.first_step:
            return self.sft.update(step)
        if self.settings.optimizer_reset:
            self.optimizer.restore({})
        return self.sft.update(step) | round_metrics(batch, kept)

    def _take_up(self, step: int) -> tuple[Round, RolloutBatch, Kept]:
        """The round of update `step`, with its examples in the hands of `sft`."""
        now = next(r for r in self.rounds if r.first_step <= step <= r.last_step)
        if self._at_work is None or self._at_work[0] != now:
            batch = self.rollouts_of.recall(now)
            kept = keep(batch, self.settings, self.sft.settings, self.eos_id)
            self.sft.examples, self.sft.before = kept.examples, now.first_step - 1
            self.sft.plan = required(self._plan(now.number, kept), "the plan of a round")
            self._at_work = (now, batch, kept)
        return self._at_work

    def ends_round(self, step: int) -> bool:
        """Whether update `step` is the last one of its round."""
        return any(now.updates and now.last_step == step for now in self.rounds)

    def dump(self) -> dict[str, Any]:
        """The rounds that have begun; their rollouts are on disk."""
        return {"rounds": [asdict(now) for now in self.rounds]}

    def load(self, memory: dict[str, Any] | None, step: int) -> None:
        """Go on behind update `step`, after a restart or a rollback."""
        self.rounds = [Round(**now) for now in (memory or {"rounds": []})["rounds"]]
        self._at_work = None
        self.rollouts_of.forget_after(step)

    def problem_ids(self, step: int) -> list[str]:
        """Problems behind update `step`."""
        self._take_up(step)
        return self.sft.problem_ids(step)

    def rollouts(self, step: int) -> Sequence[Rollout]:
        """Kept responses that update `step` learned from; all of them where a round begins."""
        now, batch, kept = self._take_up(step)
        if step == now.first_step:
            return batch.rollouts
        return [kept.rollouts[index] for index in self.sft.plan.batch(step - self.sft.before)]
