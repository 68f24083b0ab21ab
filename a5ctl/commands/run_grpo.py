"""`a5ctl run grpo`: learn from how a policy's responses to one question compare."""

from typing import Annotated

import typer

from a5ctl.options import HomeOption, JsonOption, RegistryOption
from a5ctl.run_options import (
    ROLLOUTS,
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
    RolloutMaxTokens,
    RolloutTemperature,
    Schedule,
    Seeds,
    Set,
    Size,
    Tags,
    Temperature,
    Threads,
    TrainGrader,
    Warmup,
    course,
    labels,
    launch,
    learning,
    material,
    on_gpu,
    shared,
)

METHOD = "GRPO"

Batches = Annotated[
    int | None,
    typer.Option("--steps", help="Rollout batches of the whole run.", rich_help_panel=METHOD),
]
GroupSize = Annotated[
    int | None,
    typer.Option(help="Responses to one question.", rich_help_panel=ROLLOUTS),
]
RolloutBatch = Annotated[
    int | None, typer.Option(help="Responses sampled at a time.", rich_help_panel=ROLLOUTS)
]
DynamicSampling = Annotated[
    bool | None,
    typer.Option(
        "--dynamic-sampling/--no-dynamic-sampling",
        help="Ask other questions in place of groups all right or all wrong.",
        rich_help_panel=ROLLOUTS,
    ),
]
TrainBatch = Annotated[
    int | None,
    typer.Option(
        help="Responses per update; the rollout batch if not given, which is on-policy.",
        rich_help_panel=METHOD,
    ),
]
EpochsPerRollout = Annotated[
    int | None, typer.Option(help="Passes over a rollout batch.", rich_help_panel=METHOD)
]
Loss = Annotated[
    str | None,
    typer.Option(
        help="grpo_clip, grpo_no_clip, reinforce_with_baseline or no_baseline.",
        rich_help_panel=METHOD,
    ),
]
ClipLow = Annotated[float | None, typer.Option(help="Lower clip range.", rich_help_panel=METHOD)]
ClipHigh = Annotated[float | None, typer.Option(help="Upper clip range.", rich_help_panel=METHOD)]
StdNormalization = Annotated[
    bool | None,
    typer.Option(
        "--std-normalization/--no-std-normalization",
        help="Divide advantages by the deviation of their group.",
        rich_help_panel=METHOD,
    ),
]
LengthNormalization = Annotated[
    str | None,
    typer.Option(
        help="sequence_mean, constant (Dr. GRPO) or token_mean (DAPO).", rich_help_panel=METHOD
    ),
]
Kl = Annotated[
    float | None,
    typer.Option(help="Weight of the KL divergence from the start.", rich_help_panel=METHOD),
]
SkipZeroAdvantage = Annotated[
    bool | None,
    typer.Option(
        "--skip-zero-advantage/--no-skip-zero-advantage",
        help="Leave out responses whose gradient is 0: the same update in less time.",
        rich_help_panel=METHOD,
    ),
]
TisCap = Annotated[
    float | None,
    typer.Option(
        help="Weigh tokens by p(trainer) / p(engine), at most this.", rich_help_panel=METHOD
    ),
]
OverlongBuffer = Annotated[
    int | None,
    typer.Option(
        help="Tokens before the cap over which the reward falls by 1.", rich_help_panel=METHOD
    ),
]
MaskTruncated = Annotated[
    bool | None,
    typer.Option(
        "--mask-truncated/--no-mask-truncated",
        help="Learn nothing from responses that the cap has cut.",
        rich_help_panel=METHOD,
    ),
]
Reward = Annotated[
    str | None,
    typer.Option(
        help="Weights of answer, format, length and closed: answer=1,format=0.1.",
        rich_help_panel=METHOD,
    ),
]


def grpo(
    group_size: GroupSize = None,
    rollout_batch: RolloutBatch = None,
    rollout_temperature: RolloutTemperature = None,
    rollout_max_tokens: RolloutMaxTokens = None,
    train_grader: TrainGrader = None,
    keep_rollouts: KeepRollouts = None,
    dynamic_sampling: DynamicSampling = None,
    steps: Batches = None,
    train_batch: TrainBatch = None,
    epochs_per_rollout: EpochsPerRollout = None,
    loss: Loss = None,
    clip_low: ClipLow = None,
    clip_high: ClipHigh = None,
    std_normalization: StdNormalization = None,
    length_normalization: LengthNormalization = None,
    kl: Kl = None,
    skip_zero_advantage: SkipZeroAdvantage = None,
    tis_cap: TisCap = None,
    overlong_buffer: OverlongBuffer = None,
    mask_truncated: MaskTruncated = None,
    reward: Reward = None,
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
    schedule: Schedule = None,
    warmup: Warmup = None,
    min_lr_ratio: MinLrRatio = None,
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
    """Let a model answer each question several times, and learn what made the better answers.

    Several sizes or seeds make the product of runs under one group.

    Examples:

        a5ctl run grpo --init sft-128-k3f9

        a5ctl run grpo --init sft-128-k3f9 --no-std-normalization --length-normalization constant

        a5ctl run grpo --init sft-128-k3f9 --train-batch 64 --epochs-per-rollout 2 --seed 0,1,2

        a5ctl run grpo --init sft-128-k3f9 --placement apart
    """
    from a5ctl.cells import build_cells, model_source, start_tree

    source = model_source(model, init, home, registry)
    tree = start_tree("grpo", config, source, home)
    given = {
        **source.settings,
        "rollout.per_question": group_size,
        "rollout.temperature": rollout_temperature,
        "rollout.max_tokens": rollout_max_tokens,
        "rollout.grader": train_grader,
        "rollout.keep": keep_rollouts,
        "grpo.rollout_batch": rollout_batch,
        "grpo.dynamic_sampling": dynamic_sampling,
        "grpo.steps": steps,
        "grpo.train_batch": train_batch,
        "grpo.epochs_per_rollout": epochs_per_rollout,
        "grpo.loss": loss,
        "grpo.clip_low": clip_low,
        "grpo.clip_high": clip_high,
        "grpo.std_normalization": std_normalization,
        "grpo.length_normalization": length_normalization,
        "grpo.kl": kl,
        "grpo.skip_zero_advantage": skip_zero_advantage,
        "grpo.tis_cap": tis_cap,
        "grpo.overlong_buffer": overlong_buffer,
        "grpo.mask_truncated": mask_truncated,
        "grpo.reward": None if reward is None else parse_reward(reward),
        **material(data, eval_data, data_seed, prompt),
        **learning(lr, schedule, warmup, min_lr_ratio),
        **course(threads, on_alarm, keep_last, keep_best, eval_every),
        **shared(device, engine, grader, split, eval_limit, max_tokens, temperature),
        **on_gpu(placement, gpu_memory_utilization),
        **labels(name, group, tag, note),
    }
    cells = build_cells(tree, given, set_, size, seed)
    launch(cells, home, registry, mirror, quiet=quiet, as_json=json_)


def parse_reward(text: str) -> dict[str, float]:
    """`answer=1,format=0.1` as weights by part.

    Raises:
        UserError: a part is unknown, comes twice, or has no finite weight.
    """
    import math

    from core.config.methods import RewardPart
    from core.errors import UserError

    known = ", ".join(RewardPart)
    weights: dict[str, float] = {}
    for item in text.split(","):
        name, _, value = (piece.strip() for piece in item.partition("="))
        if name not in set(RewardPart) or name in weights:
            problem = "comes twice" if name in weights else "is no part of a reward"
            raise UserError(
                f"--reward {text!r}: {name!r} {problem}; give some of {known} once each, such as "
                "answer=1,format=0.1"
            )
        try:
            weights[name] = float(value)
        except ValueError:
            weights[name] = math.nan
        if not math.isfinite(weights[name]):
            raise UserError(
                f"--reward {text!r}: {value!r} is no weight for {name}; give a number, such as "
                f"{name}=0.1"
            )
    return weights
