"""`a5ctl run ei`: Expert Iteration, fine-tuning a policy on its own right responses."""

from typing import Annotated

import typer

from a5ctl.options import HomeOption, JsonOption, RegistryOption
from a5ctl.run_options import (
    AttentionName,
    BatchSize,
    CompileSwitch,
    Config,
    Data,
    DataSeed,
    Device,
    Engine,
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
    KeepRollouts,
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
    RolloutMaxTokens,
    RolloutTemperature,
    Schedule,
    Seeds,
    Set,
    Size,
    Supervise,
    Tags,
    Temperature,
    Threads,
    TrainGrader,
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

METHOD = "Expert Iteration"

Rounds = Annotated[
    int | None,
    typer.Option("--ei-steps", help="Rounds of sampling and tuning.", rich_help_panel=METHOD),
]
Questions = Annotated[
    int | None, typer.Option(help="Questions of a round.", rich_help_panel=METHOD)
]
Rollouts = Annotated[
    int | None, typer.Option(help="Responses to each question.", rich_help_panel=METHOD)
]
RoundEpochs = Annotated[
    float | None,
    typer.Option(help="Passes over what a round has kept.", rich_help_panel=METHOD),
]
MaxPerProblem = Annotated[
    int | None,
    typer.Option(help="Right responses to a problem that are kept.", rich_help_panel=METHOD),
]
Deduplicate = Annotated[
    bool | None,
    typer.Option(
        "--dedup/--no-dedup", help="Keep each text of a problem once.", rich_help_panel=METHOD
    ),
]
OptimizerReset = Annotated[
    bool | None,
    typer.Option(
        "--optimizer-reset/--no-optimizer-reset",
        help="Forget the optimizer's moments between rounds.",
        rich_help_panel=METHOD,
    ),
]


def ei(
    ei_steps: Rounds = None,
    questions: Questions = None,
    rollouts: Rollouts = None,
    epochs: RoundEpochs = None,
    max_per_problem: MaxPerProblem = None,
    dedup: Deduplicate = None,
    train_grader: TrainGrader = None,
    rollout_temperature: RolloutTemperature = None,
    rollout_max_tokens: RolloutMaxTokens = None,
    optimizer_reset: OptimizerReset = None,
    keep_rollouts: KeepRollouts = None,
    size: Size = None,
    seed: Seeds = None,
    data_seed: DataSeed = None,
    model: Model = None,
    init: Init = None,
    data: Data = None,
    eval_data: EvalData = None,
    prompt: Prompt = None,
    config: Config = None,
    set_: Set = None,
    device: Device = None,
    lr: LearningRate = None,
    batch_size: BatchSize = None,
    schedule: Schedule = None,
    warmup: Warmup = None,
    min_lr_ratio: MinLrRatio = None,
    supervise: Supervise = None,
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
    """Let a model answer, keep what is right, fine-tune on it, and do so again.

    Each round has a learning-rate schedule of its own and ends with an evaluation. What was kept
    stands in the run folder: rollouts/round-0001-kept.jsonl and so on.

    Examples:

        a5ctl run ei --init sft-128-k3f9

        a5ctl run ei --init sft-128-k3f9 --ei-steps 5 --questions 512 --rollouts 8 --seed 0,1,2

        a5ctl run ei --data path/to/gsm8k --model Qwen/Qwen2.5-Math-1.5B --rollout-temperature 0.8
    """
    from a5ctl.cells import build_cells, model_source, start_tree

    source = model_source(model, init, home, registry)
    tree = start_tree("ei", config, source, home)
    given = {
        **source.settings,
        "ei.steps": ei_steps,
        "ei.questions": questions,
        "ei.max_per_problem": max_per_problem,
        "ei.deduplicate": dedup,
        "ei.optimizer_reset": optimizer_reset,
        "rollout.per_question": rollouts,
        "rollout.grader": train_grader,
        "rollout.temperature": rollout_temperature,
        "rollout.max_tokens": rollout_max_tokens,
        "rollout.keep": keep_rollouts,
        **material(data, eval_data, data_seed, prompt),
        **learning(lr, schedule, warmup, min_lr_ratio),
        "train.epochs": epochs,
        "train.batch_size": batch_size,
        "train.supervise": supervise,
        "train.max_length": max_length,
        **kernels(attention, compile_),
        **course(precision, threads, on_alarm, keep_last, keep_best, eval_every),
        **shared(device, engine, grader, split, eval_limit, max_tokens, temperature),
        **on_gpu(placement, gpu_memory_utilization),
        **labels(name, group, tag, note),
    }
    cells = build_cells(tree, given, set_, size, seed)
    launch(cells, home, registry, mirror, quiet=quiet, as_json=json_)
