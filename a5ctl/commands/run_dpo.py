"""`a5ctl run dpo`: learn from pairs of responses which of them to prefer."""

from pathlib import Path
from typing import Annotated

import typer

from a5ctl.options import HomeOption, JsonOption, RegistryOption
from a5ctl.run_options import (
    COMMON,
    TRAIN,
    AttentionName,
    BatchSize,
    CompileSwitch,
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
    GpuMemory,
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
    PrecisionName,
    Prompt,
    Quiet,
    Schedule,
    Seeds,
    Set,
    Steps,
    Tags,
    Temperature,
    Threads,
    Tokens,
    Warmup,
    course,
    kernels,
    labels,
    launch,
    learning,
    material,
    on_gpu,
    shared,
)


def dpo(
    init: Init = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            help="File of pairs, one JSON object a line: prompt, chosen, rejected. a5ctl pairs "
            "writes one.",
            rich_help_panel=COMMON,
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(help="Pairs to use: 256, or several: 128,256,full.", rich_help_panel=COMMON),
    ] = None,
    seed: Seeds = None,
    data_seed: DataSeed = None,
    model: Model = None,
    data: Data = None,
    eval_data: EvalData = None,
    prompt: Prompt = None,
    config: Config = None,
    set_: Set = None,
    device: Device = None,
    beta: Annotated[
        float | None,
        typer.Option(
            help="Strength of the tie to the reference (default 0.1; 1 for the built-in model).",
            rich_help_panel=TRAIN,
        ),
    ] = None,
    loss: Annotated[str | None, typer.Option(help="sigmoid or ipo.", rich_help_panel=TRAIN)] = None,
    label_smoothing: Annotated[
        float | None,
        typer.Option(
            help="Share of pairs taken to be labelled the wrong way round.", rich_help_panel=TRAIN
        ),
    ] = None,
    lr: LearningRate = None,
    epochs: Epochs = None,
    steps: Steps = None,
    tokens: Tokens = None,
    batch_size: BatchSize = None,
    schedule: Schedule = None,
    warmup: Warmup = None,
    min_lr_ratio: MinLrRatio = None,
    max_length: MaxLength = None,
    precision: PrecisionName = None,
    attention: AttentionName = None,
    compile_: CompileSwitch = None,
    threads: Threads = None,
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
    """Learn from pairs of responses which of them to prefer (DPO, IPO), and evaluate.

    The reference is the policy that the run starts from. Its log-probabilities are computed once.

    Examples:

        a5ctl pairs eval-m2x7 --out pairs.jsonl

        a5ctl run dpo --init sft-128-k3f9 --pairs pairs.jsonl

        a5ctl run dpo --init sft-128-k3f9 --pairs pairs.jsonl --beta 0.05 --loss ipo --seed 0,1,2
    """
    from a5ctl.cells import build_cells, model_source, start_tree

    source = model_source(model, init, home, registry)
    tree = start_tree("dpo", config, source, home)
    given = {
        **source.settings,
        **material(data, eval_data, data_seed, prompt),
        "dpo.pairs": None if pairs is None else str(pairs),
        "dpo.beta": beta,
        "dpo.loss": loss,
        "dpo.label_smoothing": label_smoothing,
        **learning(lr, schedule, warmup, min_lr_ratio),
        "train.epochs": epochs,
        "train.steps": steps,
        "train.tokens": tokens,
        "train.batch_size": batch_size,
        "train.max_length": max_length,
        **kernels(attention, compile_),
        **course(precision, threads, on_alarm, keep_last, keep_best, eval_every),
        **shared(device, engine, grader, split, eval_limit, max_tokens, temperature),
        **on_gpu(placement, gpu_memory_utilization),
        **labels(name, group, tag, note),
    }
    cells = build_cells(tree, given, set_, size, seed)
    launch(cells, home, registry, mirror, quiet=quiet, as_json=json_)
