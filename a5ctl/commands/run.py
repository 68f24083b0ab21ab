"""`a5ctl run`: train a policy and evaluate it, or only evaluate one."""

from typing import Annotated

import typer

from a5ctl.options import HomeOption, JsonOption, RegistryOption
from a5ctl.run_options import (
    COMMON,
    EVAL,
    BatchSize,
    Config,
    Data,
    DataSeed,
    Device,
    Engine,
    Epochs,
    EvalData,
    EvalEvery,
    EvalLimit,
    EvalSplit,
    Filter,
    GpuMemory,
    Gpus,
    Grader,
    GroupName,
    Init,
    KeepBest,
    KeepLast,
    LearningRate,
    MaxLength,
    MaxTokens,
    MinLrRatio,
    Mirrors,
    Model,
    Name,
    Note,
    OnAlarm,
    Placement,
    Prompt,
    Quiet,
    Schedule,
    Seeds,
    Set,
    Size,
    Steps,
    Supervise,
    Tags,
    Temperature,
    Threads,
    Tokens,
    Warmup,
    course,
    labels,
    launch,
    learning,
    material,
    on_gpu,
    shared,
)


def sft(
    solved_run: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="The run that decides, after --filter solved-by."),
    ] = None,
    size: Size = None,
    seed: Seeds = None,
    data_seed: DataSeed = None,
    model: Model = None,
    init: Init = None,
    data: Data = None,
    eval_data: EvalData = None,
    prompt: Prompt = None,
    filter_: Filter = None,
    config: Config = None,
    set_: Set = None,
    device: Device = None,
    lr: LearningRate = None,
    epochs: Epochs = None,
    steps: Steps = None,
    tokens: Tokens = None,
    batch_size: BatchSize = None,
    schedule: Schedule = None,
    warmup: Warmup = None,
    min_lr_ratio: MinLrRatio = None,
    supervise: Supervise = None,
    max_length: MaxLength = None,
    threads: Threads = None,
    gpus: Gpus = None,
    on_alarm: OnAlarm = None,
    keep_last: KeepLast = None,
    keep_best: KeepBest = None,
    eval_every: EvalEvery = None,
    engine: Engine = None,
    placement: Placement = None,
    gpu_memory_utilization: GpuMemory = None,
    grader: Grader = None,
    split: EvalSplit = None,
    eval_limit: EvalLimit = None,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    name: Name = None,
    group: GroupName = None,
    tag: Tags = None,
    note: Note = None,
    mirror: Mirrors = None,
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

        a5ctl run sft --engine vllm --placement shared --gpu-memory-utilization 0.4
    """
    from a5ctl.cells import build_cells, model_source, parse_filter, start_tree

    filter_name, filter_run = parse_filter(filter_, solved_run)
    source = model_source(model, init, home, registry)
    tree = start_tree("sft", config, source, home)
    given = {
        **source.settings,
        **material(data, eval_data, data_seed, prompt),
        "data.filter": filter_name,
        "data.solved_by": filter_run,
        **learning(lr, schedule, warmup, min_lr_ratio),
        "train.epochs": epochs,
        "train.steps": steps,
        "train.tokens": tokens,
        "train.batch_size": batch_size,
        "train.supervise": supervise,
        "train.max_length": max_length,
        **course(threads, on_alarm, keep_last, keep_best, eval_every),
        "train.gpus": gpus,
        **shared(device, engine, grader, split, eval_limit, max_tokens, temperature),
        **on_gpu(placement, gpu_memory_utilization),
        **labels(name, group, tag, note),
    }
    cells = build_cells(tree, given, set_, size, seed)
    launch(cells, home, registry, mirror, quiet=quiet, as_json=json_)


def evaluate(
    model: Model = None,
    run: Annotated[
        str | None,
        typer.Option(
            metavar="RUN[:STEP|last|best]",
            help="Evaluate a checkpoint of this run.",
            rich_help_panel=COMMON,
        ),
    ] = None,
    step: Annotated[
        int | None, typer.Option(help="Which checkpoint of --run.", rich_help_panel=COMMON)
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            metavar="RUN[:STEP]|FILE",
            help="Ask, decode and grade exactly as this evaluation did, or as the file says.",
            rich_help_panel=EVAL,
        ),
    ] = None,
    data: Data = None,
    prompt: Prompt = None,
    seed: Seeds = None,
    config: Config = None,
    set_: Set = None,
    device: Device = None,
    engine: Engine = None,
    gpu_memory_utilization: GpuMemory = None,
    grader: Grader = None,
    split: EvalSplit = None,
    eval_limit: EvalLimit = None,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    name: Name = None,
    group: GroupName = None,
    tag: Tags = None,
    note: Note = None,
    mirror: Mirrors = None,
    quiet: Quiet = False,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Evaluate a model or a run's checkpoint without training.

    Examples:

        a5ctl run eval --model Qwen/Qwen2.5-Math-1.5B --data gsm8k

        a5ctl run eval --run sft-256-k3f9:best --split test

        a5ctl run eval --run sft-256-k3f9 --protocol sft-256-m2x7
    """
    from a5ctl.cells import WeightSource, build_cells, run_source, start_tree, take_away
    from core.errors import UserError

    if run is not None and model is not None:
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
    tree = start_tree("eval", config, source, home)
    given = {
        "data.source": data,
        "prompt.template": prompt,
        **shared(device, engine, grader, split, eval_limit, max_tokens, temperature),
        **on_gpu(None, gpu_memory_utilization),
    }
    if protocol is not None:
        from a5ctl.protocols import find_protocol, follow_into

        if engine is None and "evaluation.engine" in tree.origins:
            given["evaluation.engine"] = tree["evaluation"]["engine"]
        given = follow_into(tree, find_protocol(protocol, home, registry), given, set_, seed)
    elif prompt not in (None, tree.get("prompt", {}).get("template")) and config is None:
        take_away(tree, ("evaluation.grader", "evaluation.stop"))  # they follow from the prompt
    given |= {**source.settings, **labels(name, group, tag, note)}
    cells = build_cells(tree, given, set_, None, seed)
    launch(cells, home, registry, mirror, quiet=quiet, as_json=json_)
