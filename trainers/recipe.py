"""How a method is set up inside a run: what `train` needs of each, and what they share."""

from collections.abc import Sequence
from typing import Protocol

from core.data.problem import Problem
from trainers.defaults import required
from trainers.evaluator import Evaluator
from trainers.loop import Method
from trainers.memory import MemoryPlan
from trainers.optimization import LearningRate, Optimizer, build_optimizer
from trainers.policy import Policy, load_policy
from trainers.preflight_report import PreflightInput
from trainers.stage import Stage
from trainers.tokenization import Example


class Recipe(Protocol):
    """The steps from a loaded policy to a method that can update it."""

    @property
    def stage(self) -> Stage:
        """The run."""
        ...

    @property
    def policy(self) -> Policy:
        """What will learn."""
        ...

    def examples(self) -> Sequence[Example]:
        """What an update works on, or rows as long as that can get: memory is planned by them."""
        ...

    def preflight(self, examples: Sequence[Example], memory: MemoryPlan) -> None:
        """Look for what would make the run useless; called in the main process only.

        Raises:
            UserError: something is fatal.
        """
        ...

    def method(
        self, examples: Sequence[Example], memory: MemoryPlan, evaluator: Evaluator | None
    ) -> Method:
        """Build the method.

        Args:
            examples: As `examples` gave them.
            memory: Budget of a forward pass.
            evaluator: Holds the run's engine; None in all but the main process.
        """
        ...


def preflight_input(
    recipe: Recipe,
    problems: Sequence[Problem],
    examples: Sequence[Example],
    memory: MemoryPlan,
) -> PreflightInput:
    """What the checks of a run look at.

    Args:
        recipe: Of the run.
        problems: What it learns from, in the order of `examples` where they are its targets.
        examples: As the recipe gave them.
        memory: What was decided about memory.
    """
    stage, policy = recipe.stage, recipe.policy
    return PreflightInput(
        config=stage.config,
        problems=problems,
        examples=examples,
        template=stage.prepared.template,
        tokenizer=policy.tokenizer,
        max_context=policy.max_positions,
        vocabulary=policy.model.get_input_embeddings().weight.shape[0],
        evaluated=stage.prepared.evaluation,
        memory=memory,
    )


def optimizer_of(stage: Stage, policy: Policy) -> Optimizer:
    """AdamW over the policy's parameters, with the run's settings and seed."""
    return build_optimizer(
        policy.model.named_parameters(),
        stage.config.train,
        precision=policy.precision,
        seed=stage.config.seed,
    )


def learning_rate_of(stage: Stage, total: int) -> LearningRate:
    """The course of the learning rate that the run's settings ask for, over `total` updates."""
    settings = stage.config.train
    return LearningRate(
        required(settings.lr, "train.lr"),
        settings.schedule,
        settings.warmup,
        settings.min_lr_ratio,
        total,
    )


def first_policy(stage: Stage) -> Policy:
    """The policy that the run began with, loaded once more."""
    config = stage.config
    return load_policy(
        stage.prepared.model_dir,
        device=config.model.device,
        precision=config.train.precision,
        attention=config.train.attention,
    )
