"""Options that the commands under `a5ctl run` share, and what they have in common behind them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from a5ctl.cells import Cells

COMMON = "What to work on"
TRAIN = "Training"
EVAL = "Evaluation"
RECORD = "Recording"
ROLLOUTS = "Rollouts"


def _left_to_the_defaults(ctx: typer.Context, parameter: typer.CallbackParam, value: Any) -> Any:
    """A variable is a default: it holds beneath config files and is looked up with a5ctl.toml."""
    source = ctx.get_parameter_source(parameter.name or "")
    return None if source is not None and source.name == "ENVIRONMENT" else value


Model = Annotated[
    str | None,
    typer.Option(
        envvar="A5CTL_MODEL",
        callback=_left_to_the_defaults,
        help="builtin, a folder with safetensors, or a hub id.",
        rich_help_panel=COMMON,
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        envvar="A5CTL_DATA",
        callback=_left_to_the_defaults,
        help="builtin, a folder or file of problems (docs/data.md), gsm8k (hub extra).",
        rich_help_panel=COMMON,
    ),
]
Prompt = Annotated[
    str | None,
    typer.Option(
        envvar="A5CTL_PROMPT",
        callback=_left_to_the_defaults,
        help="think_answer, question_only, instruction, multiple_choice, or a template file.",
        rich_help_panel=COMMON,
    ),
]
Config = Annotated[
    Path | None, typer.Option(help="Start from this TOML file.", rich_help_panel=COMMON)
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Any setting: --set train.lr=1e-5.", rich_help_panel=COMMON),
]
Seeds = Annotated[
    str | None, typer.Option(help="One seed or several: 0,1,2.", rich_help_panel=COMMON)
]
Device = Annotated[
    str | None,
    typer.Option(
        envvar="A5CTL_DEVICE",
        callback=_left_to_the_defaults,
        help="auto, cpu or cuda.",
        rich_help_panel=COMMON,
    ),
]
Engine = Annotated[
    str | None,
    typer.Option(
        envvar="A5CTL_ENGINE",
        callback=_left_to_the_defaults,
        help="auto, vllm or hf.",
        rich_help_panel=EVAL,
    ),
]
Placement = Annotated[
    str | None,
    typer.Option(
        help="GPU of the engine: shared with training, apart on another, or auto: another that "
        "is free.",
        rich_help_panel=EVAL,
    ),
]
GpuMemory = Annotated[
    float | None,
    typer.Option(
        help="Share of the GPU's memory for vLLM; reckoned from what it has to do if not given.",
        rich_help_panel=EVAL,
    ),
]
Grader = Annotated[
    str | None,
    typer.Option(
        envvar="A5CTL_GRADER",
        callback=_left_to_the_defaults,
        help="Headline grader: r1_zero, strict, lenient, diagnostic, question_only, "
        "multiple_choice.",
        rich_help_panel=EVAL,
    ),
]
EvalSplit = Annotated[
    str | None,
    typer.Option("--split", help="test, test-hard, dev, val or train.", rich_help_panel=EVAL),
]
EvalLimit = Annotated[
    int | None,
    typer.Option("--eval-limit", help="Ask only the first N problems.", rich_help_panel=EVAL),
]
MaxTokens = Annotated[
    int | None, typer.Option(help="Cap on response tokens.", rich_help_panel=EVAL)
]
Temperature = Annotated[float | None, typer.Option(help="0 is greedy.", rich_help_panel=EVAL)]
Name = Annotated[str | None, typer.Option(help="A name for people.", rich_help_panel=RECORD)]
GroupName = Annotated[
    str | None,
    typer.Option(
        "--group",
        envvar="A5CTL_GROUP",
        callback=_left_to_the_defaults,
        help="Runs that belong together.",
        rich_help_panel=RECORD,
    ),
]
Tags = Annotated[
    list[str] | None, typer.Option("--tag", help="A label; repeatable.", rich_help_panel=RECORD)
]
Note = Annotated[str | None, typer.Option(help="Free text.", rich_help_panel=RECORD)]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        envvar="A5CTL_QUIET",
        help="Print only the summary.",
        rich_help_panel=RECORD,
    ),
]
Mirrors = Annotated[
    list[str] | None,
    typer.Option(
        "--mirror",
        envvar="A5CTL_MIRROR",
        metavar="tensorboard|wandb|mlflow",
        help="Also send the live run there; repeatable.",
        rich_help_panel=RECORD,
    ),
]
Size = Annotated[
    str | None,
    typer.Option(help="Training problems: 256, or several: 128,256,full.", rich_help_panel=COMMON),
]
DataSeed = Annotated[
    int | None, typer.Option(help="Pin the subset to this seed.", rich_help_panel=COMMON)
]
Init = Annotated[
    str | None,
    typer.Option(
        help="Continue from a run (RUN, RUN:STEP or RUN:best), or start from a model.",
        rich_help_panel=COMMON,
    ),
]
EvalData = Annotated[str | None, typer.Option(help="Evaluate on other data.", rich_help_panel=EVAL)]
Filter = Annotated[
    str | None,
    typer.Option(
        "--filter",
        help="correct: targets that grade right. solved-by RUN: problems it solved.",
        rich_help_panel=COMMON,
    ),
]
LearningRate = Annotated[
    float | None, typer.Option(help="Peak learning rate.", rich_help_panel=TRAIN)
]
Epochs = Annotated[float | None, typer.Option(help="Budget in passes.", rich_help_panel=TRAIN)]
Steps = Annotated[int | None, typer.Option(help="Budget in updates.", rich_help_panel=TRAIN)]
Tokens = Annotated[
    int | None, typer.Option(help="Budget in training tokens.", rich_help_panel=TRAIN)
]
BatchSize = Annotated[int | None, typer.Option(help="Examples per update.", rich_help_panel=TRAIN)]
Schedule = Annotated[
    str | None, typer.Option(help="constant, linear or cosine.", rich_help_panel=TRAIN)
]
Warmup = Annotated[
    float | None, typer.Option(help="Share of steps that warm up.", rich_help_panel=TRAIN)
]
MinLrRatio = Annotated[
    float | None, typer.Option(help="Last rate as a share of --lr.", rich_help_panel=TRAIN)
]
Supervise = Annotated[
    str | None, typer.Option(help="response, closing or answer.", rich_help_panel=TRAIN)
]
MaxLength = Annotated[
    int | None, typer.Option(help="Longest example in tokens.", rich_help_panel=TRAIN)
]
PrecisionName = Annotated[
    str | None,
    typer.Option(
        "--precision",
        help="auto, float32, mixed, stochastic or bfloat16 (docs/precision.md).",
        rich_help_panel=TRAIN,
    ),
]
AttentionName = Annotated[
    str | None,
    typer.Option(
        "--attention",
        help="auto, flash, varlen or sdpa (docs/speed.md).",
        rich_help_panel=TRAIN,
    ),
]
CompileSwitch = Annotated[
    str | None,
    typer.Option(
        "--compile",
        help="Compile layers: auto (on CUDA, where it pays), on or off.",
        rich_help_panel=TRAIN,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        envvar="A5CTL_THREADS",
        callback=_left_to_the_defaults,
        help="CPU threads; measured if not given.",
        rich_help_panel=TRAIN,
    ),
]
Gpus = Annotated[
    int | None,
    typer.Option(
        help="GPUs that train together; with --device cpu, processes.", rich_help_panel=TRAIN
    ),
]
OnAlarm = Annotated[
    str | None,
    typer.Option(
        envvar="A5CTL_ON_ALARM",
        callback=_left_to_the_defaults,
        help="warn, stop, or rollback: back to the best checkpoint at half the learning rate.",
        rich_help_panel=TRAIN,
    ),
]
KeepLast = Annotated[
    int | None, typer.Option(help="Newest checkpoints to keep.", rich_help_panel=TRAIN)
]
KeepBest = Annotated[
    int | None,
    typer.Option(help="Best evaluated checkpoints to keep as well.", rich_help_panel=TRAIN),
]
EvalEvery = Annotated[
    int | None, typer.Option(help="Also evaluate every N updates.", rich_help_panel=EVAL)
]
RolloutTemperature = Annotated[
    float | None, typer.Option(help="Of the responses sampled.", rich_help_panel=ROLLOUTS)
]
RolloutMaxTokens = Annotated[
    int | None,
    typer.Option(help="Cap on the tokens of those responses.", rich_help_panel=ROLLOUTS),
]
TrainGrader = Annotated[
    str | None,
    typer.Option(
        help="Decides what is right: strict, r1_zero, lenient, diagnostic, question_only, "
        "multiple_choice.",
        rich_help_panel=ROLLOUTS,
    ),
]
KeepRollouts = Annotated[
    str | None,
    typer.Option(
        envvar="A5CTL_KEEP_ROLLOUTS",
        callback=_left_to_the_defaults,
        help="What the registry keeps of them: all (token ids and log-probabilities too), text "
        "or none.",
        rich_help_panel=ROLLOUTS,
    ),
]


def material(
    data: str | None, evaluation: str | None, seed: int | None, prompt: str | None
) -> dict[str, Any]:
    """Settings of data and prompt that were given."""
    return {
        "data.source": data,
        "data.evaluation_source": evaluation,
        "data.seed": seed,
        "prompt.template": prompt,
    }


def learning(
    lr: float | None, schedule: str | None, warmup: float | None, min_lr_ratio: float | None
) -> dict[str, Any]:
    """Settings of the learning rate that were given."""
    return {
        "train.lr": lr,
        "train.schedule": schedule,
        "train.warmup": warmup,
        "train.min_lr_ratio": min_lr_ratio,
    }


def course(
    precision: str | None,
    threads: int | None,
    on_alarm: str | None,
    keep_last: int | None,
    keep_best: int | None,
    eval_every: int | None,
) -> dict[str, Any]:
    """Settings of how updates are computed, and of what happens beside them, that were given."""
    return {
        "train.precision": precision,
        "train.threads": threads,
        "train.on_alarm": on_alarm,
        "train.keep_last": keep_last,
        "train.keep_best": keep_best,
        "evaluation.every": eval_every,
    }


def kernels(attention: str | None, compile_: str | None) -> dict[str, Any]:
    """Settings of what computes forward and backward passes that were given."""
    return {"train.attention": attention, "train.compile": compile_}


def shared(
    device: str | None,
    engine: str | None,
    grader: str | None,
    split: str | None,
    limit: int | None,
    max_tokens: int | None,
    temperature: float | None,
) -> dict[str, Any]:
    """Settings of machine and evaluation that were given."""
    return {
        "model.device": device,
        "evaluation.engine": engine,
        "evaluation.grader": grader,
        "evaluation.split": split,
        "evaluation.limit": limit,
        "evaluation.max_tokens": max_tokens,
        "evaluation.temperature": temperature,
    }


def on_gpu(placement: str | None, gpu_memory_utilization: float | None) -> dict[str, Any]:
    """Settings of the engine's GPU that were given."""
    return {
        "evaluation.placement": placement,
        "evaluation.gpu_memory_utilization": gpu_memory_utilization,
    }


def labels(
    name: str | None, group: str | None, tags: list[str] | None, note: str | None
) -> dict[str, Any]:
    """Settings that only describe the run."""
    return {"name": name, "group": group, "tags": tags or None, "note": note}


def launch(
    configs: "Cells",
    home: Path | None,
    registry: str | None,
    mirrors: list[str] | None = None,
    *,
    quiet: bool,
    as_json: bool,
) -> None:
    """Prepare this process, and carry the runs out."""
    from a5ctl.process import prepare_process

    prepare_process()
    from a5ctl import launch as runs

    provenance = configs.provenance
    runs.launch(configs, home, registry, mirrors or (), provenance, quiet=quiet, as_json=as_json)
