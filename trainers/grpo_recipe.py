"""Setting up GRPO: rows to plan memory by, preflight, threads, where rollouts come from."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from core.config.methods import GrpoSettings, RolloutSettings
from core.models import end_token_ids
from core.workspace import ROLLOUTS
from trainers.defaults import required
from trainers.evaluator import Evaluator
from trainers.grpo import GRPO
from trainers.grpo_gradients import Gradients
from trainers.grpo_source import RolloutSource
from trainers.logit_rules import LogitRules, rules_of
from trainers.memory import MemoryPlan
from trainers.memory_setup import guard_against_exhaustion
from trainers.policy import Policy
from trainers.preflight_grpo import GRPO_CHECKS
from trainers.preflight_rollouts import run_rollout_preflight
from trainers.preflight_settled import settle_preflight
from trainers.recipe import first_policy, learning_rate_of, optimizer_of, preflight_input
from trainers.rehearsal import settle_pace
from trainers.rollouts import QuestionOrder, RolloutSampler, RolloutStore, longest_rows
from trainers.stage import Stage
from trainers.tokenization import Example

# how many of the longest prompts stand for all of them
_PLANNED_ROWS = 16


@dataclass(frozen=True, slots=True)
class GrpoRecipe:
    """From a loaded policy to `GRPO`.

    Attributes:
        stage: The run.
        policy: What will learn.
    """

    stage: Stage
    policy: Policy

    @property
    def _rollout(self) -> RolloutSettings:
        return self.stage.config.rollout

    @property
    def _settings(self) -> GrpoSettings:
        return self.stage.config.grpo

    @property
    def _cap(self) -> int:
        return required(self._rollout.max_tokens, "rollout.max_tokens")

    def examples(self) -> Sequence[Example]:
        """The longest prompts, each with a response that uses up the cap."""
        prepared = self.stage.prepared
        return longest_rows(
            prepared.train,
            prepared.template,
            self.policy.tokenizer,
            cap=self._cap,
            positions=self.policy.max_positions,
            count=_PLANNED_ROWS,
        )

    def preflight(self, examples: Sequence[Example], memory: MemoryPlan) -> None:
        """Check that the run can learn from what it will sample.

        Raises:
            UserError: something is fatal.
        """
        given = preflight_input(self, self.stage.prepared.train, examples, memory)
        settle_preflight(self.stage, run_rollout_preflight(given, GRPO_CHECKS))

    def method(
        self, examples: Sequence[Example], memory: MemoryPlan, evaluator: Evaluator | None
    ) -> GRPO:
        """Choose threads and budget by a rehearsal, and build the method."""
        stage, policy = self.stage, self.policy
        guard = guard_against_exhaustion(stage)
        budget = settle_pace(stage, policy, examples, memory, guard)
        total = self._settings.steps * self._settings.updates_per_rollout
        return GRPO(
            policy=policy,
            optimizer=optimizer_of(stage, policy),
            learning_rate=learning_rate_of(stage, total),
            settings=self._settings,
            max_tokens=self._cap,
            seed=stage.config.seed,
            source=self._source(required(evaluator, "the evaluator")),
            gradients=Gradients(policy, self._rules(), partial(first_policy, stage), budget, guard),
        )

    def _source(self, evaluator: Evaluator) -> RolloutSource:
        stage = self.stage
        count, seed = len(stage.prepared.train), stage.config.seed
        return RolloutSource(
            stage,
            RolloutSampler(stage, evaluator.engine, evaluator.tokenizer),
            RolloutStore(stage.folder / ROLLOUTS),
            stage.prepared.train,
            QuestionOrder(count, seed),
            # another seed than any run of a usual matrix has, so that refills bring other questions
            QuestionOrder(count, ~seed),
        )

    def _rules(self) -> LogitRules:
        end_ids = end_token_ids(self.stage.prepared.model_dir, self.policy.tokenizer)
        return rules_of(self._rollout, end_ids)
