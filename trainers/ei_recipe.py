"""Setting up Expert Iteration: rows to plan memory by, preflight, fine-tuning, and the sampler."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.workspace import ROLLOUTS
from trainers.batching import BatchPlan, plan_batches
from trainers.defaults import required
from trainers.ei_rounds import RoundRollouts
from trainers.evaluator import Evaluator
from trainers.expert_iteration import ExpertIteration
from trainers.memory import MemoryPlan
from trainers.observer import Severity
from trainers.policy import Policy
from trainers.preflight_ei import EI_CHECKS
from trainers.preflight_rollouts import run_rollout_preflight
from trainers.preflight_settled import settle_preflight
from trainers.recipe import preflight_input
from trainers.rollouts import QuestionOrder, RolloutSampler, RolloutStore, longest_rows
from trainers.sft_recipe import build_sft
from trainers.stage import Stage
from trainers.tokenization import Example


@dataclass(frozen=True, slots=True)
class EiRecipe:
    """From a loaded policy to `ExpertIteration`.

    Attributes:
        stage: The run.
        policy: What will learn.
    """

    stage: Stage
    policy: Policy

    def examples(self) -> Sequence[Example]:
        """A batch of rows as long as kept responses can get: the longest prompts, and the cap."""
        config, prepared = self.stage.config, self.stage.prepared
        return longest_rows(
            prepared.train,
            prepared.template,
            self.policy.tokenizer,
            cap=required(config.rollout.max_tokens, "rollout.max_tokens") + 1,  # and EOS
            positions=self.policy.max_positions,
            count=required(config.train.batch_size, "train.batch_size"),
        )

    def preflight(self, examples: Sequence[Example], memory: MemoryPlan) -> None:
        """Check questions, grader and room.

        Raises:
            UserError: something is fatal.
        """
        given = preflight_input(self, self.stage.prepared.train, examples, memory)
        settle_preflight(self.stage, run_rollout_preflight(given, EI_CHECKS))
        self._note_selection()

    def method(
        self, examples: Sequence[Example], memory: MemoryPlan, evaluator: Evaluator | None
    ) -> ExpertIteration:
        """Choose threads and budget by a rehearsal, and build the method."""
        stage = self.stage
        config, questions = stage.config, stage.prepared.train
        rehearsed = BatchPlan(len(examples), len(examples), 1, config.seed)
        sft = build_sft(stage, self.policy, examples, rehearsed, memory)
        asks = required(evaluator, "the evaluator, whose engine samples")
        return ExpertIteration(
            policy=sft.policy,
            optimizer=sft.optimizer,
            sft=sft,
            learning_rate=sft.learning_rate,
            questions=questions,
            order=QuestionOrder(len(questions), config.seed),
            settings=config.ei,
            rollouts_of=RoundRollouts(
                stage,
                RolloutSampler(stage, asks.engine, asks.tokenizer),
                RolloutStore(stage.folder / ROLLOUTS),
            ),
            eos_id=self.policy.tokenizer.eos_token_id,
            expected_updates=self._most_updates(examples[0]),
        )

    def _most_updates(self, row: Example) -> int:
        """Updates of a round in which as much is kept as can be."""
        ei, train = self.stage.config.ei, self.stage.config.train
        samples = self.stage.config.rollout.per_question
        each = min(samples, ei.max_per_problem or samples)
        kept = each * min(ei.questions, len(self.stage.prepared.train))
        size = required(train.batch_size, "train.batch_size")
        return plan_batches([row] * kept, train, size, 0).total

    def _note_selection(self) -> None:
        """Rounds are evaluated, and the best checkpoint is kept: where on test, that is said."""
        evaluation = self.stage.config.evaluation
        if evaluation.split.startswith("test") and evaluation.every is None:
            text = "rounds are evaluated on the test split: one chosen by that is chosen on test"
            self.stage.event(Severity.WARNING, "selected_on_test", text)
