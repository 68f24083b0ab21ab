"""Memory around a run: planned before it, watched while it goes on, and compared after it."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from core.config.schema import ActivationCheckpointing, RunConfig, RunKind
from core.engines.footprint import CONTEXT, DTYPE_BYTES, HF_BATCH, cache_bytes_per_token
from core.engines.placement import TrainingNeed
from core.units import mib
from trainers.activation_checkpointing import set_activation_checkpointing
from trainers.compile_setup import expects_compilation
from trainers.defaults import required
from trainers.distributed.exhaustion import LockstepGuard
from trainers.engine_seat import footprint_beside_training
from trainers.memory import MemoryPlan, TrainedModel, describe_memory, plan_memory
from trainers.memory_batch import DrawnBatches
from trainers.memory_beside import Beside, reference_bytes, rollout_bytes
from trainers.memory_cuda import reads_of
from trainers.memory_estimate import estimate_memory
from trainers.memory_meter import MemoryMeter, available_memory
from trainers.observer import Severity
from trainers.out_of_memory import OutOfMemoryGuard, Relief
from trainers.packed.fused_loss import triton_version
from trainers.packed.projection_choice import Projection
from trainers.policy import Policy
from trainers.stage import Stage
from trainers.tokenization import Example

_NUMBERS_PER_PAGE = 1024


def settle_memory(stage: Stage, policy: Policy, examples: Sequence[Example]) -> MemoryPlan:
    """Decide budget and activation checkpointing, and switch the latter; it is told where on."""
    settings, world = stage.config.train, stage.world
    available = available_memory(policy.device)
    if available is not None and policy.device.type == "cpu":
        available //= world.size
    plan = plan_memory(
        fed_model(stage, policy, examples),
        longest=max(len(example.token_ids) for example in examples),
        wanted_tokens=settings.microbatch_tokens,
        wanted=settings.activation_checkpointing,
        available=available,
        beside=what_is_beside(stage, policy, examples),
    )
    set_activation_checkpointing(policy.model, on=plan.checkpointing)
    if plan.checkpointing:
        text = f"activation checkpointing is on: {describe_memory(plan)}"
        stage.event(Severity.INFO, "activation_checkpointing", text)
    return plan


def trained_model(policy: Policy, processes: int = 1) -> TrainedModel:
    """What the estimate needs to know of a policy that so many processes train."""
    return TrainedModel(
        policy.model.config,
        sum(parameter.numel() for parameter in policy.model.parameters()),
        policy.device.type,
        policy.precision,
        written_out=policy.passes is not None,
        packed=policy.packed,
        processes=processes,
    )


def fed_model(stage: Stage, policy: Policy, examples: Sequence[Example]) -> TrainedModel:
    """The same, with what the run feeds it and how it is expected to compute that.

    Once passes have run, it is how they were computed.
    """
    model, config = trained_model(policy, stage.world.size), stage.config
    if not (model.packed or model.written_out):
        return model
    batch = DrawnBatches(tuple(examples), examples_per_update(config))
    if model.written_out:
        return replace(model, batch=batch)
    choice, compilation = policy.projection, policy.compilation
    expected = policy.device.type == "cuda" and triton_version() is not None
    fused = expected if choice is None else choice.tokens is Projection.FUSED
    tried = compilation is None and expects_compilation(config, policy, examples)
    return replace(
        model,
        reads=reads_of(config.kind),
        fused=fused and not _sorts(config),
        compiled=tried if compilation is None else compilation.on,
        batch=batch,
    )


def _sorts(config: RunConfig) -> bool:
    """Logits are sorted to find a nucleus, which the fused kernel cannot do."""
    return config.kind is RunKind.GRPO and config.rollout.top_p < 1


def examples_per_update(config: RunConfig) -> int:
    """Examples whose gradients one update adds up, padded or not; a pair is two."""
    if config.kind is RunKind.GRPO:
        return config.grpo.train_batch or config.grpo.rollout_batch
    size = required(config.train.batch_size, "train.batch_size")
    return 2 * size if config.kind is RunKind.DPO else size


def what_is_beside(stage: Stage, policy: Policy, examples: Sequence[Example]) -> Beside:
    """Engine, reference and rollouts, where they share the policy's memory.

    DPO has no reference of its own: the policy itself is asked before its first update.

    Args:
        stage: The run.
        policy: What will learn.
        examples: What it learns from, or rows as long as that can get.
    """
    config, kind = stage.config, stage.config.kind
    kept_in_memory = kind.samples and policy.device.type == "cpu"
    tied = kind is RunKind.GRPO and config.grpo.kl > 0
    model = trained_model(policy)
    reference = reference_bytes(model)
    shared = not stage.world.engine_device
    # an engine elsewhere opens the policy's GPU too, to read weights from it
    elsewhere = CONTEXT if policy.device.type == "cuda" else 0
    return Beside(
        engine=engine_bytes(stage, policy, examples) if shared else elsewhere,
        engine_awake=_engine_turn(stage, policy, examples) if shared else 0,
        reference=reference if tied else 0,
        rollouts=rollout_bytes(_responses(stage), _rollout_cap(config)) if kept_in_memory else 0,
    )


def _responses(stage: Stage) -> int:
    """Of one rollout batch."""
    config = stage.config
    if config.kind is RunKind.GRPO:
        return config.grpo.rollout_batch
    questions = min(config.ei.questions, len(stage.prepared.train))
    return questions * config.rollout.per_question


def _rollout_cap(config: RunConfig) -> int:
    return required(config.rollout.max_tokens, "rollout.max_tokens")


def engine_bytes(stage: Stage, policy: Policy, examples: Sequence[Example]) -> int:
    """What the engine will take while training works: its weights and its key-value cache.

    The cache has room for the longest prompts with a response to an evaluation or, where the run
    samples them, with a rollout. On CUDA an engine that can sleep gives both back.
    """
    tokens = _engine_tokens(stage, examples)
    if policy.device.type == "cuda":
        return footprint_beside_training(stage, tokens).asleep
    evaluation, config = stage.config.evaluation, policy.model.config
    weights = DTYPE_BYTES[evaluation.dtype] * trained_model(policy).parameters
    if stage.prepared.engine.name == "vllm":
        from core.engines.vllm_setup import cache_bytes

        return weights + cache_bytes(config, evaluation.dtype, tokens)
    return weights + HF_BATCH * tokens * cache_bytes_per_token(config, evaluation.dtype)


def _engine_turn(stage: Stage, policy: Policy, examples: Sequence[Example]) -> int:
    """What it takes at least in its own turn; its cache is as large as the rest allows."""
    if policy.device.type != "cuda":
        return 0
    found = footprint_beside_training(stage, _engine_tokens(stage, examples))
    return found.awake - found.cache


def _engine_tokens(stage: Stage, examples: Sequence[Example]) -> int:
    """Of the longest prompt with the longest response."""
    cap = required(stage.config.evaluation.max_tokens, "evaluation.max_tokens")
    if stage.config.kind.samples:
        cap = max(cap, _rollout_cap(stage.config))
    return max(example.prompt_length for example in examples) + cap


def training_need(plan: MemoryPlan) -> TrainingNeed:
    """What training is going to take beyond the weights, which are loaded."""
    estimate, reference = plan.estimate, plan.beside.reference
    return TrainingNeed(estimate.moments + reference, estimate.ahead + reference)


def start_meter(policy: Policy) -> MemoryMeter:
    """Begin to measure, right behind the loading of the model."""
    if policy.device.type == "cpu":
        _touch(policy)
    weights = sum(p.numel() * p.element_size() for p in policy.model.parameters())
    return MemoryMeter.start(policy.device, weights)


def compare_memory(
    stage: Stage, plan: MemoryPlan, meter: MemoryMeter, step: int, trained: TrainedModel
) -> None:
    """Record how close the estimate came to the measured peak of training.

    On CUDA both are what torch's allocator hands out: CUDA's own memory is in neither, nor is what
    the allocator holds beside. Where the passes were not computed as expected, the estimate for
    what was done is told too.

    Args:
        stage: The run.
        plan: What was decided before it.
        meter: What measured.
        step: Updates done.
        trained: What `fed_model` says of the policy now.
    """
    peak = meter.note()
    if peak is None:
        stage.recorder.event(
            Severity.INFO, "memory", "the system does not tell the peak of memory", step=step
        )
        return
    # the reference is loaded while training goes on, so it counts towards the peak
    reference, settings = plan.beside.reference, stage.config.train
    estimate = plan.estimate.total + reference
    text = (
        f"training took {mib(peak)} at its peak, {peak / estimate:.2f} of the "
        f"{mib(estimate)} that were estimated"
    )
    data = {"peak_bytes": peak, "estimated_bytes": estimate}
    if trained.packed:
        done = estimate_memory(
            trained,
            settings.microbatch_tokens or plan.microbatch_tokens,
            checkpointing=plan.checkpointing
            or settings.activation_checkpointing is ActivationCheckpointing.ON,
        )
        data["estimated_as_run_bytes"] = done.total + reference
    if meter.device.type == "cuda":
        data["reserved_bytes"] = torch.cuda.max_memory_reserved(meter.device)
        data["estimated_lost_bytes"] = plan.estimate.lost
        text += f"; torch's allocator held {mib(data['reserved_bytes'])} in all"
    stage.recorder.event(Severity.INFO, "memory", text, step=step, data=data)


def guard_against_exhaustion(stage: Stage) -> OutOfMemoryGuard:
    """A guard whose changes become events and stay for a resume."""
    if stage.world.size > 1:
        return LockstepGuard()
    return OutOfMemoryGuard(stage.config.train.activation_checkpointing, _keeper(stage))


def _keeper(stage: Stage) -> Callable[[Relief], None]:
    def keep(relief: Relief) -> None:
        train = stage.config.train.model_copy(
            update={
                "microbatch_tokens": relief.microbatch_tokens,
                "activation_checkpointing": relief.checkpointing,
            }
        )
        stage.keep_choice(stage.config.model_copy(update={"train": train}))
        stage.event(Severity.WARNING, "out_of_memory", relief.message, relief.step)

    return keep


def _touch(policy: Policy) -> None:
    """Read a number of every page: weights that are only mapped count for nothing until then."""
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter.view(-1)[::_NUMBERS_PER_PAGE].sum()
