"""`a5ctl run`: train a policy and evaluate it, or only evaluate one."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from a5ctl.options import HomeOption, JsonOption, RegistryOption

if TYPE_CHECKING:
    from core.config.schema import RunConfig

_COMMON = "What to work on"
_TRAIN = "Training"
_EVAL = "Evaluation"
_RECORD = "Recording"

Model = Annotated[
    str | None,
    typer.Option(
        envvar="A5CTL_MODEL",
        help="builtin, a folder with safetensors, or a hub id.",
        rich_help_panel=_COMMON,
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        envvar="A5CTL_DATA",
        help="builtin, a folder or file of problems (docs/data.md), gsm8k (hub extra).",
        rich_help_panel=_COMMON,
    ),
]
Prompt = Annotated[
    str | None,
    typer.Option(
        help="think_answer, question_only, instruction, multiple_choice, or a template file.",
        rich_help_panel=_COMMON,
    ),
]
Config = Annotated[
    Path | None, typer.Option(help="Start from this TOML file.", rich_help_panel=_COMMON)
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Any setting: --set train.lr=1e-5.", rich_help_panel=_COMMON),
]
Seeds = Annotated[
    str | None, typer.Option(help="One seed or several: 0,1,2.", rich_help_panel=_COMMON)
]
Device = Annotated[str | None, typer.Option(help="auto, cpu or cuda.", rich_help_panel=_COMMON)]
Engine = Annotated[
    str | None,
    typer.Option(envvar="A5CTL_ENGINE", help="auto, vllm or hf.", rich_help_panel=_EVAL),
]
Grader = Annotated[
    str | None,
    typer.Option(
        help="Headline grader: r1_zero, strict, lenient, diagnostic, question_only, "
        "multiple_choice.",
        rich_help_panel=_EVAL,
    ),
]
EvalSplit = Annotated[
    str | None,
    typer.Option("--split", help="test, test-hard, dev, val or train.", rich_help_panel=_EVAL),
]
EvalLimit = Annotated[
    int | None,
    typer.Option("--eval-limit", help="Ask only the first N problems.", rich_help_panel=_EVAL),
]
MaxTokens = Annotated[
    int | None, typer.Option(help="Cap on response tokens.", rich_help_panel=_EVAL)
]
Temperature = Annotated[float | None, typer.Option(help="0 is greedy.", rich_help_panel=_EVAL)]
Name = Annotated[str | None, typer.Option(help="A name for people.", rich_help_panel=_RECORD)]
GroupName = Annotated[
    str | None, typer.Option("--group", help="Runs that belong together.", rich_help_panel=_RECORD)
]
Tags = Annotated[
    list[str] | None, typer.Option("--tag", help="A label; repeatable.", rich_help_panel=_RECORD)
]
Note = Annotated[str | None, typer.Option(help="Free text.", rich_help_panel=_RECORD)]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print only the summary.", rich_help_panel=_RECORD)
]


def sft(
    solved_run: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="The run that decides, after --filter solved-by."),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            help="Training problems: 256, or several: 128,256,full.", rich_help_panel=_COMMON
        ),
    ] = None,
    seed: Seeds = None,
    data_seed: Annotated[
        int | None, typer.Option(help="Pin the subset to this seed.", rich_help_panel=_COMMON)
    ] = None,
    model: Model = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="Continue from a run (RUN or RUN:STEP), or start from a model.",
            rich_help_panel=_COMMON,
        ),
    ] = None,
    data: Data = None,
    eval_data: Annotated[
        str | None, typer.Option(help="Evaluate on other data.", rich_help_panel=_EVAL)
    ] = None,
    prompt: Prompt = None,
    filter_: Annotated[
        str | None,
        typer.Option(
            "--filter",
            help="correct: targets that grade right. solved-by RUN: problems it solved.",
            rich_help_panel=_COMMON,
        ),
    ] = None,
    config: Config = None,
    set_: Set = None,
    device: Device = None,
    lr: Annotated[
        float | None, typer.Option(help="Peak learning rate.", rich_help_panel=_TRAIN)
    ] = None,
    epochs: Annotated[
        float | None, typer.Option(help="Budget in passes.", rich_help_panel=_TRAIN)
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Budget in updates.", rich_help_panel=_TRAIN)
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(help="Budget in training tokens.", rich_help_panel=_TRAIN)
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Examples per update.", rich_help_panel=_TRAIN)
    ] = None,
    schedule: Annotated[
        str | None, typer.Option(help="constant, linear or cosine.", rich_help_panel=_TRAIN)
    ] = None,
    warmup: Annotated[
        float | None, typer.Option(help="Share of steps that warm up.", rich_help_panel=_TRAIN)
    ] = None,
    min_lr_ratio: Annotated[
        float | None, typer.Option(help="Last rate as a share of --lr.", rich_help_panel=_TRAIN)
    ] = None,
    supervise: Annotated[
        str | None, typer.Option(help="response, closing or answer.", rich_help_panel=_TRAIN)
    ] = None,
    max_length: Annotated[
        int | None, typer.Option(help="Longest example in tokens.", rich_help_panel=_TRAIN)
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads; measured if not given.", rich_help_panel=_TRAIN)
    ] = None,
    gpus: Annotated[
        int | None,
        typer.Option(
            help="GPUs that train together; with --device cpu, processes.", rich_help_panel=_TRAIN
        ),
    ] = None,
    on_alarm: Annotated[
        str | None,
        typer.Option(
            help="warn, stop, or rollback: back to the best checkpoint at half the learning rate.",
            rich_help_panel=_TRAIN,
        ),
    ] = None,
    keep_last: Annotated[
        int | None, typer.Option(help="Newest checkpoints to keep.", rich_help_panel=_TRAIN)
    ] = None,
    keep_best: Annotated[
        int | None,
        typer.Option(help="Best evaluated checkpoints to keep as well.", rich_help_panel=_TRAIN),
    ] = None,
    eval_every: Annotated[
        int | None, typer.Option(help="Also evaluate every N updates.", rich_help_panel=_EVAL)
    ] = None,
    engine: Engine = None,
    grader: Grader = None,
    split: EvalSplit = None,
    eval_limit: EvalLimit = None,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    name: Name = None,
    group: GroupName = None,
    tag: Tags = None,
    note: Note = None,
    quiet: Quiet = False,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Fine-tune a model on worked solutions, evaluate it, and record everything.

    Several sizes or seeds make the product of runs under one group.

    Examples:

        a5ctl run sft --size 256

        a5ctl run sft --size 128,256,full --seed 0,1,2

        a5ctl run sft --data path/to/gsm8k --model Qwen/Qwen2.5-Math-1.5B --lr 1e-5
    """
    from a5ctl.cells import build_cells, model_source, parse_filter, start_tree

    filter_name, filter_run = parse_filter(filter_, solved_run)
    source = model_source(model, init, home, registry)
    tree = start_tree("sft", config, source)
    given = {
        **source.settings,
        "data.source": data,
        "data.evaluation_source": eval_data,
        "data.seed": data_seed,
        "data.filter": filter_name,
        "data.solved_by": filter_run,
        "prompt.template": prompt,
        "train.lr": lr,
        "train.epochs": epochs,
        "train.steps": steps,
        "train.tokens": tokens,
        "train.batch_size": batch_size,
        "train.schedule": schedule,
        "train.warmup": warmup,
        "train.min_lr_ratio": min_lr_ratio,
        "train.supervise": supervise,
        "train.max_length": max_length,
        "train.threads": threads,
        "train.gpus": gpus,
        "train.on_alarm": on_alarm,
        "train.keep_last": keep_last,
        "train.keep_best": keep_best,
        "evaluation.every": eval_every,
        **_shared(device, engine, grader, split, eval_limit, max_tokens, temperature),
        **_labels(name, group, tag, note),
    }
    _launch(build_cells(tree, given, set_, size, seed), home, registry, quiet=quiet, as_json=json_)


def evaluate(
    model: Model = None,
    run: Annotated[
        str | None,
        typer.Option(help="Evaluate a checkpoint of this run.", rich_help_panel=_COMMON),
    ] = None,
    step: Annotated[
        int | None, typer.Option(help="Which checkpoint of --run.", rich_help_panel=_COMMON)
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            metavar="RUN[:STEP]|FILE",
            help="Ask, decode and grade exactly as this evaluation did, or as the file says.",
            rich_help_panel=_EVAL,
        ),
    ] = None,
    data: Data = None,
    prompt: Prompt = None,
    seed: Seeds = None,
    config: Config = None,
    set_: Set = None,
    device: Device = None,
    engine: Engine = None,
    grader: Grader = None,
    split: EvalSplit = None,
    eval_limit: EvalLimit = None,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    name: Name = None,
    group: GroupName = None,
    tag: Tags = None,
    note: Note = None,
    quiet: Quiet = False,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Evaluate a model or a run's checkpoint without training.

    Examples:

        a5ctl run eval --model Qwen/Qwen2.5-Math-1.5B --data gsm8k

        a5ctl run eval --run sft-256-k3f9 --step 48

        a5ctl run eval --run sft-256-k3f9 --protocol sft-256-m2x7
    """
    from a5ctl.cells import WeightSource, build_cells, run_source, start_tree, take_away
    from core.errors import UserError

    if run is not None and model is not None and model != os.environ.get("A5CTL_MODEL"):
        raise UserError("--model and --run both name what to evaluate; give only one of them")
    if step is not None and run is None:
        raise UserError("--step chooses a checkpoint of a run; give --run too")
    if protocol is not None and config is not None:
        raise UserError("--config and --protocol both say how to evaluate; give only one of them")
    source = (
        run_source(run, step, home, registry, only_evaluates=True)
        if run
        else WeightSource({"model.source": model})
    )
    tree = start_tree("eval", config, source)
    given = {
        "data.source": data,
        "prompt.template": prompt,
        **_shared(device, engine, grader, split, eval_limit, max_tokens, temperature),
    }
    if protocol is not None:
        from a5ctl.protocols import find_protocol, follow_into

        given = follow_into(tree, find_protocol(protocol, home, registry), given, set_, seed)
    elif prompt not in (None, tree.get("prompt", {}).get("template")) and config is None:
        take_away(tree, ("evaluation.grader", "evaluation.stop"))  # they follow from the prompt
    given |= {**source.settings, **_labels(name, group, tag, note)}
    _launch(build_cells(tree, given, set_, None, seed), home, registry, quiet=quiet, as_json=json_)


def _shared(
    device: str | None,
    engine: str | None,
    grader: str | None,
    split: str | None,
    limit: int | None,
    max_tokens: int | None,
    temperature: float | None,
) -> dict[str, Any]:
    return {
        "model.device": device,
        "evaluation.engine": engine,
        "evaluation.grader": grader,
        "evaluation.split": split,
        "evaluation.limit": limit,
        "evaluation.max_tokens": max_tokens,
        "evaluation.temperature": temperature,
    }


def _labels(
    name: str | None, group: str | None, tags: list[str] | None, note: str | None
) -> dict[str, Any]:
    return {"name": name, "group": group, "tags": tags or None, "note": note}


def _launch(
    configs: "list[RunConfig]",
    home: Path | None,
    registry: str | None,
    *,
    quiet: bool,
    as_json: bool,
) -> None:
    from a5ctl.process import prepare_process

    prepare_process()
    from a5ctl.launch import launch

    launch(configs, home, registry, quiet=quiet, as_json=as_json)
