"""Settings that depend on model, data, prompt or machine, filled in before a run starts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from core.config.methods import GrpoSettings, RolloutSettings
from core.config.schema import RunConfig, RunKind
from core.data.choices import is_choice
from core.data.problem import Problem
from core.errors import UserError
from core.models import BUILTIN_MODEL
from core.prompts.template import PromptTemplate
from core.responses.grade import GraderName
from trainers.precision import training_precision

Value = TypeVar("Value")

_BUILTIN_MAX_TOKENS = 256
_MAX_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class _Recipe:
    """Settings that depend on the method and on the number of examples."""

    lr: float
    epochs: float
    batch_size: int


_SMALL = _Recipe(2e-5, 3, 32)
_LARGE = _Recipe(2e-5, 1, 32)
# one round of Expert Iteration, whatever it keeps
_ROUND = _Recipe(1e-5, 1, 32)
_BUILTIN_ROUND = _Recipe(3e-4, 2, 16)
# largest number of examples -> settings measured on the dev split (docs/builtin-model.md has the
# sweep); one rate for all sizes, so that a curve over sizes is not a curve over rates
_BUILTIN_RECIPES = (
    (128, _Recipe(6e-4, 6, 16)),
    (256, _Recipe(6e-4, 6, 16)),
    (512, _Recipe(6e-4, 4, 16)),
    (1024, _Recipe(6e-4, 3, 16)),
    (2048, _Recipe(6e-4, 2, 16)),
    (10**9, _Recipe(6e-4, 1, 16)),
)
_DPO = _Recipe(1e-6, 1, 32)
# from three fine-tunings on 128 examples; at beta 0.1 they gained nothing (docs/dpo.md)
_BUILTIN_DPO = _Recipe(2e-4, 1, 32)
_BUILTIN_BETA = 1.0

_GRPO_LR = 1e-5
# from three fine-tunings on 128 examples, better than 3e-4 with batches of 256 (docs/grpo.md)
_BUILTIN_GRPO_LR = 5e-4
_BUILTIN_GRPO_BATCH = 128
_BUILTIN_GRPO_ROLLOUTS = 160 * 128
_NOT_GRPO = {
    "epochs": "use grpo.epochs_per_rollout (--epochs-per-rollout) and grpo.steps (--steps)",
    "steps": "use grpo.steps (--steps), which counts rollout batches",
    "tokens": "use grpo.steps (--steps), which counts rollout batches",
    "batch_size": "use grpo.rollout_batch and grpo.train_batch",
}


def resolve_defaults(
    config: RunConfig,
    template: PromptTemplate,
    base_model: str,
    train_count: int,
    *,
    choices: bool = False,
) -> RunConfig:
    """Fill in every setting that was left open, so that the stored config is complete.

    Args:
        config: What the person asked for.
        template: Its prompt template.
        base_model: Source of the model that the run descends from (`builtin` has its own values).
        train_count: Training examples before filtering, or pairs.
        choices: The problems to evaluate on ask for the letter of an option.
    """
    builtin = base_model == BUILTIN_MODEL
    evaluation = config.evaluation.model_copy(
        update={
            "grader": config.evaluation.grader or default_grader(template, choices=choices),
            "stop": config.evaluation.stop
            if config.evaluation.stop is not None
            else _stop(template),
            "max_tokens": config.evaluation.max_tokens
            or (_BUILTIN_MAX_TOKENS if builtin else _MAX_TOKENS),
        }
    )
    config = config.model_copy(update={"evaluation": evaluation})
    if not config.kind.trains:
        return config
    if config.kind.samples:
        config = config.model_copy(update={"rollout": _rollout(config, template)})
    if config.kind is RunKind.GRPO:
        return _grpo(config, builtin)
    train, recipe = config.train, _recipe(config.kind, builtin, train_count)
    no_budget = train.epochs is None and train.steps is None and train.tokens is None
    train = train.model_copy(
        update={
            "lr": train.lr or recipe.lr,
            "batch_size": train.batch_size or recipe.batch_size,
            "epochs": recipe.epochs if no_budget else train.epochs,
        }
    )
    config = config.model_copy(update={"train": train})
    return _tied(config) if builtin and config.kind is RunKind.DPO else config


def resolve_machine(config: RunConfig, device: str, engine: str) -> RunConfig:
    """Fill in what the machine decided, so that a resumed run does not decide again.

    Args:
        config: What the person asked for.
        device: `cpu` or `cuda`.
        engine: `vllm` or `hf`.
    """
    precision = training_precision(config.train.precision, device)
    evaluation = {"engine": engine, "dtype": _precision(config.evaluation.dtype, device)}
    return config.model_copy(
        update={
            "model": config.model.model_copy(update={"device": device}),
            "train": config.train.model_copy(update={"precision": precision}),
            "evaluation": config.evaluation.model_copy(update=evaluation),
        }
    )


def training_grader(
    config: RunConfig, template: PromptTemplate, problems: Sequence[Problem]
) -> GraderName:
    """The grader of the run, as far as it can judge the targets that are trained on.

    Problems to evaluate on may ask for letters where those to train on do not.
    """
    grader = required(config.evaluation.grader, "evaluation.grader")
    if grader is GraderName.MULTIPLE_CHOICE and not all(map(is_choice, problems)):
        return default_grader(template)
    return grader


def required(value: Value | None, setting: str) -> Value:
    """A setting that `resolve_defaults` has filled in.

    Raises:
        ValueError: it is still open, which is a defect and must never train at a made-up value.
    """
    if value is None:
        raise ValueError(f"{setting} was not resolved before it was used")
    return value


def _grpo(config: RunConfig, builtin: bool) -> RunConfig:
    """Batches and their number belong to the method; only the learning rate is left to resolve.

    Raises:
        UserError: a setting of the examples of other methods was given.
    """
    train, grpo = config.train, config.grpo
    for name, remedy in _NOT_GRPO.items():
        if getattr(train, name) is not None:
            raise UserError(f"train.{name} does not belong to a run of kind grpo; {remedy}")
    if builtin:
        grpo = _builtin_batches(grpo)
    lr = train.lr or (_BUILTIN_GRPO_LR if builtin else _GRPO_LR)
    train = train.model_copy(update={"lr": lr})
    return config.model_copy(update={"train": train, "grpo": grpo})


def _tied(config: RunConfig) -> RunConfig:
    """Closer to the reference: this model unlearns right responses together with wrong ones."""
    if "beta" in config.dpo.model_fields_set:
        return config
    dpo = config.dpo.model_copy(update={"beta": _BUILTIN_BETA})
    return config.model_copy(update={"dpo": dpo})


def _builtin_batches(grpo: GrpoSettings) -> GrpoSettings:
    """Batches that this model learns from, and as many as make the rollouts that were measured."""
    given = grpo.model_fields_set
    if not given & {"rollout_batch", "train_batch"}:
        grpo = grpo.model_copy(update={"rollout_batch": _BUILTIN_GRPO_BATCH})
    if "steps" not in given:
        steps = max(1, _BUILTIN_GRPO_ROLLOUTS // grpo.rollout_batch)
        grpo = grpo.model_copy(update={"steps": steps})
    return grpo


def _rollout(config: RunConfig, template: PromptTemplate) -> RolloutSettings:
    """Responses are sampled as they will be evaluated, where nothing else was asked for."""
    rollout, evaluation = config.rollout, config.evaluation
    if "grader" not in rollout.model_fields_set and not template.opens_think:
        # strict reads tags, which this prompt does not ask for
        rollout = rollout.model_copy(update={"grader": default_grader(template)})
    return rollout.model_copy(
        update={
            "max_tokens": rollout.max_tokens or evaluation.max_tokens,
            "stop": evaluation.stop if rollout.stop is None else rollout.stop,
        }
    )


def _precision(wanted: str, device: str) -> str:
    if wanted != "auto":
        return wanted
    return "bfloat16" if device == "cuda" else "float32"


def _recipe(kind: RunKind, builtin: bool, count: int) -> _Recipe:
    if kind is RunKind.DPO:
        return _BUILTIN_DPO if builtin else _DPO
    if kind is RunKind.EI:
        return _BUILTIN_ROUND if builtin else _ROUND
    if not builtin:
        return _SMALL if count <= 256 else _LARGE
    return next(recipe for largest, recipe in _BUILTIN_RECIPES if count <= largest)


def default_grader(template: PromptTemplate, *, choices: bool = False) -> GraderName:
    """The grader that fits what is asked."""
    if choices:
        return GraderName.MULTIPLE_CHOICE
    return GraderName.R1_ZERO if template.opens_think else GraderName.QUESTION_ONLY


def _stop(template: PromptTemplate) -> tuple[str, ...]:
    return ("</answer>",) if template.opens_think else ()
