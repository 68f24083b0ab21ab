"""Options of `a5ctl run` that give a setting: each is written once, with the setting it gives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import Parameter
from typing import Annotated, Any

import typer

from a5ctl.completion import default_of, few_values, one_of

COMMON = "What to work on"
TRAIN = "Training"
EVAL = "Evaluation"
RECORD = "Recording"
ROLLOUTS = "Rollouts"
_DEPENDS = frozenset({"grpo.steps", "grpo.rollout_batch", "dpo.beta", "rollout.grader"})
"""Settings whose default depends on the model or the prompt; their help says how."""


@dataclass(frozen=True, slots=True)
class Setting:
    """An option and the setting that it gives.

    Attributes:
        key: The setting, as `--set` names it.
        kind: Type of its value; a bool has a switch for either way.
        help: One line; `{values}` stands for those it can have.
        panel: Under which heading help shows it.
        option: The option; from the last part of the key when not given.
        variable: Environment variable with its default.
        read: Makes the setting's value of what was typed.
    """

    key: str
    kind: Any
    help: str
    panel: str
    option: str | None = None
    variable: str | None = None
    read: Callable[[Any], Any] | None = None

    @property
    def name(self) -> str:
        """The option without dashes in front."""
        return self.option or self.key.rpartition(".")[2].replace("_", "-")

    @property
    def parameter(self) -> Parameter:
        """What a command takes for it; None where it was not given."""
        typed = f"--{self.name}/--no-{self.name}" if self.kind is bool else f"--{self.name}"
        values = few_values(self.key)
        option = typer.Option(
            typed,
            envvar=self.variable,
            callback=left_to_the_defaults if self.variable else None,
            autocompletion=one_of(*values) if values and self.kind is str else None,
            show_default=(None if self.key in _DEPENDS else default_of(self.key)) or False,
            help=self.help.replace("{values}", _listed(values)),
            rich_help_panel=self.panel,
        )
        return Parameter(
            self.name.replace("-", "_"),
            Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[self.kind | None, option],
        )

    def value(self, typed: Any) -> Any:
        """The setting's value; None where nothing was typed."""
        return self.read(typed) if self.read is not None and typed is not None else typed


def _listed(values: Sequence[str]) -> str:
    return " or ".join([part for part in (", ".join(values[:-1]), *values[-1:]) if part])


def left_to_the_defaults(ctx: typer.Context, parameter: typer.CallbackParam, value: Any) -> Any:
    """A variable is a default: it holds beneath config files and is looked up with a5ctl.toml."""
    source = ctx.get_parameter_source(parameter.name or "")
    return None if source is not None and source.name == "ENVIRONMENT" else value


def panel(title: str, *settings: tuple[Any, ...]) -> tuple[Setting, ...]:
    """Settings under one heading: each a key, a type, help, and what else a `Setting` has."""
    return tuple(Setting(key, kind, text, title, *more) for key, kind, text, *more in settings)


def _tags(typed: Sequence[str]) -> list[str] | None:
    return list(typed) or None


_SOURCE, DATA_SEED, _TEMPLATE = panel(
    COMMON,
    (
        "data.source",
        str,
        "builtin, a folder or file of problems (docs/data.md), gsm8k (hub extra).",
        "data",
        "A5CTL_DATA",
    ),
    ("data.seed", int, "Pin the subset to this seed; that of the run when not given.", "data-seed"),
    (
        "prompt.template",
        str,
        "think_answer, question_only, instruction, multiple_choice, or a template file.",
        "prompt",
        "A5CTL_PROMPT",
    ),
)
(DEVICE,) = panel(
    COMMON,
    ("model.device", str, "{values}; auto is cuda where there is one.", None, "A5CTL_DEVICE"),
)
MATERIAL = (DATA_SEED, _SOURCE, _TEMPLATE, DEVICE)
ASKED = (_SOURCE, _TEMPLATE, DEVICE)
"""What an evaluation asks, and where."""
LEARNING_RATE = panel(
    TRAIN,
    (
        "train.lr",
        float,
        "Peak learning rate; when not given the method's own, or one measured for builtin.",
    ),
    ("train.schedule", str, "{values}."),
    ("train.warmup", float, "Share of steps that warm up."),
    ("train.min_lr_ratio", float, "Last rate as a share of --lr."),
)
EPOCHS, STEPS, TOKENS, BATCH_SIZE, SUPERVISE, MAX_LENGTH, GPUS = panel(
    TRAIN,
    (
        "train.epochs",
        float,
        "Budget in passes; their number follows from the examples when there is no budget.",
    ),
    ("train.steps", int, "Budget in updates."),
    ("train.tokens", int, "Budget in training tokens."),
    (
        "train.batch_size",
        int,
        "Examples per update; 32 when not given, or what was measured for builtin.",
    ),
    ("train.supervise", str, "{values}."),
    ("train.max_length", int, "Longest example in tokens."),
    ("train.gpus", int, "GPUs that train together; with --device cpu, processes."),
)
NUMERICS = panel(
    TRAIN,
    ("train.precision", str, "{values} (docs/precision.md)."),
    ("train.attention", str, "{values} (docs/speed.md)."),
    ("train.compile", str, "Compile layers: {values}; auto is on CUDA, where it pays."),
)
COURSE = panel(
    TRAIN,
    (
        "train.threads",
        int,
        "CPU threads; measured when not given.",
        None,
        "A5CTL_THREADS",
    ),
    (
        "train.on_alarm",
        str,
        "warn, stop, or rollback: back to the best checkpoint at half the learning rate.",
        None,
        "A5CTL_ON_ALARM",
    ),
    ("train.keep_last", int, "Newest checkpoints to keep."),
    ("train.keep_best", int, "Best evaluated checkpoints to keep as well."),
)
(PLACEMENT,) = panel(
    EVAL,
    (
        "evaluation.placement",
        str,
        "GPU of the engine: {values}; auto is another one that is free.",
    ),
)
EVALUATION = panel(
    EVAL,
    (
        "evaluation.engine",
        str,
        "{values}; auto is vllm where it is installed.",
        None,
        "A5CTL_ENGINE",
    ),
    (
        "evaluation.gpu_memory_utilization",
        float,
        "Share of the GPU's memory for vLLM; reckoned from what it has to do when not given.",
    ),
    (
        "evaluation.grader",
        str,
        "Headline grader: {values}; what the prompt asks for when not given.",
        None,
        "A5CTL_GRADER",
    ),
    ("evaluation.split", str, "{values}."),
    ("evaluation.limit", int, "Ask only the first N problems.", "eval-limit"),
    (
        "evaluation.max_tokens",
        int,
        "Cap on response tokens; when not given 256 for builtin, else 1,024.",
    ),
    ("evaluation.temperature", float, "0 is greedy."),
)
WHILE_TRAINING = panel(
    EVAL,
    (
        "data.evaluation_source",
        str,
        "Evaluate on other data than the test split of --data.",
        "eval-data",
    ),
    ("evaluation.every", int, "Also evaluate every N updates.", "eval-every"),
)
SAMPLING = panel(
    ROLLOUTS,
    ("rollout.temperature", float, "Of the responses sampled.", "rollout-temperature"),
    (
        "rollout.max_tokens",
        int,
        "Cap on the tokens of those responses; that of evaluations when not given.",
        "rollout-max-tokens",
    ),
    (
        "rollout.grader",
        str,
        "Decides what is right: {values}; strict when not given, if the prompt has tags.",
        "train-grader",
    ),
    (
        "rollout.keep",
        str,
        "What the registry keeps of them: all (token ids and log-probabilities too), text or none.",
        "keep-rollouts",
        "A5CTL_KEEP_ROLLOUTS",
    ),
)
LABELS = panel(
    RECORD,
    ("name", str, "A name for people."),
    ("group", str, "Runs that belong together.", None, "A5CTL_GROUP"),
    ("tags", list[str], "A label; repeatable.", "tag", None, _tags),
    ("note", str, "Free text."),
)
