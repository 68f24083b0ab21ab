"""Setting up supervised fine-tuning: examples from the cache, preflight, threads, optimizer."""

from collections.abc import Sequence
from dataclasses import dataclass

from trainers.batching import BatchPlan, plan_batches
from trainers.defaults import required
from trainers.evaluator import Evaluator
from trainers.memory import MemoryPlan
from trainers.memory_setup import guard_against_exhaustion
from trainers.policy import Policy
from trainers.preflight import run_preflight
from trainers.preflight_settled import settle_preflight
from trainers.recipe import learning_rate_of, optimizer_of, preflight_input
from trainers.rehearsal import settle_pace
from trainers.sft import SFT
from trainers.stage import Stage
from trainers.token_cache import cached_examples
from trainers.tokenization import Example, SourceText


@dataclass(frozen=True, slots=True)
class SftRecipe:
    """From a loaded policy to `SFT`.

    Attributes:
        stage: The run.
        policy: What will learn.
    """

    stage: Stage
    policy: Policy

    def examples(self) -> Sequence[Example]:
        """Every training problem in tokens."""
        return encode_all(self.stage, self.policy)

    def preflight(self, examples: Sequence[Example], memory: MemoryPlan) -> None:
        """Check examples, targets and settings.

        Raises:
            UserError: something is fatal.
        """
        given = preflight_input(self, self.stage.prepared.train, examples, memory)
        settle_preflight(self.stage, run_preflight(given))

    def method(
        self, examples: Sequence[Example], memory: MemoryPlan, evaluator: Evaluator | None
    ) -> SFT:
        """Choose threads and budget by a rehearsal, and build the method."""
        settings = self.stage.config.train
        size = required(settings.batch_size, "train.batch_size")
        plan = plan_batches(examples, settings, size, self.stage.config.seed)
        return build_sft(self.stage, self.policy, examples, plan, memory)


def encode_all(stage: Stage, policy: Policy) -> list[Example]:
    """Every training problem of the run in tokens."""
    settings, template = stage.config.train, stage.prepared.template
    texts = [
        SourceText(problem.id, template.prompt(problem), template.target(problem) or "")
        for problem in stage.prepared.train
    ]
    return cached_examples(
        stage.token_cache,
        texts,
        policy.tokenizer,
        supervise=settings.supervise,
        supervise_eos=settings.supervise_eos,
        max_length=settings.max_length,
    )


def build_sft(
    stage: Stage,
    policy: Policy,
    examples: Sequence[Example],
    plan: BatchPlan,
    memory: MemoryPlan,
) -> SFT:
    """Choose threads and budget by a rehearsal, and build the method.

    Args:
        stage: The run; keeps what is chosen.
        policy: What will learn.
        examples: What it learns from; the first batch of them is rehearsed.
        plan: Which of them each step sees.
        memory: Budget of a forward pass.
    """
    guard = guard_against_exhaustion(stage)
    rehearsed = [examples[index] for index in plan.batch(1)]
    budget = settle_pace(stage, policy, rehearsed, memory, guard)
    policy = stage.world.shard(policy)
    return SFT(
        policy=policy,
        optimizer=stage.world.for_shards(optimizer_of(stage, policy)),
        learning_rate=learning_rate_of(stage, plan.total),
        examples=examples,
        plan=plan,
        settings=stage.config.train,
        microbatch_tokens=budget,
        world=stage.world,
        guard=guard,
    )
