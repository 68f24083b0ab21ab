"""Set up a training run and hand it to the loop: examples, preflight, engine, optimizer."""

from collections.abc import Sequence
from pathlib import Path

import torch

from core.errors import UserError
from trainers.activation_checkpointing import set_activation_checkpointing
from trainers.batching import plan_batches, split_microbatches
from trainers.checkpoint import TrainerState, newest_whole, restore
from trainers.defaults import required
from trainers.evaluation_facts import EvaluationFacts, facts_of_record
from trainers.evaluator import build_evaluator, evaluate_together
from trainers.fast.layout import pack
from trainers.loop import Loop
from trainers.memory import MemoryPlan
from trainers.memory_setup import (
    compare_memory,
    guard_against_exhaustion,
    settle_memory,
    start_meter,
)
from trainers.objectives import SftLoss
from trainers.observer import Severity
from trainers.optimization import LearningRate, build_optimizer
from trainers.policy import Policy, load_policy
from trainers.preflight import PreflightInput, run_preflight
from trainers.rng import capture_rng, restore_rng, seed_everything
from trainers.rollback import Rewinder, after_rollbacks, finish_rollback
from trainers.sft import SFT
from trainers.stage import Stage
from trainers.threads import choose_threads
from trainers.token_cache import cached_examples
from trainers.tokenization import Example, SourceText

# what tells thread counts apart on CPU: below 2,000 tokens two threads gain a model of 4M nothing
_REHEARSED_PRODUCTS = 2e10
_REHEARSED_TOKENS = 512


def train(stage: Stage) -> None:
    """Run a training method to its last step, from the newest checkpoint when resuming.

    Raises:
        UserError: preflight found something fatal.
        Interrupted, TrainingStoppedError, EngineError, OSError: see the loop.
    """
    seed_everything(stage.config.seed)
    world = stage.world
    checkpoint = world.decide(lambda: _newest_checkpoint(stage)) if stage.resuming else None
    stage.observer.phase("loading the model")
    model = stage.config.model
    policy = load_policy(
        checkpoint or stage.prepared.model_dir,
        device=model.device,
        dtype=model.dtype,
        quick=world.size == 1,
    )
    meter = start_meter(policy)
    examples = world.decide(lambda: encode_all(stage, policy))
    memory = world.decide(lambda: settle_memory(stage, policy, examples))
    set_activation_checkpointing(policy.model, on=memory.checkpointing)
    if world.main:
        _preflight(stage, policy, examples, memory)
    with meter.elsewhere():
        evaluator = build_evaluator(stage, live=True) if world.main else None
    world.barrier()  # an engine may take long to start
    try:
        method = _sft(stage, policy, examples, memory)
        state = TrainerState()
        initial = stage.prepared.model_dir
        rewinder = Rewinder(method.policy, method.optimizer, initial, capture_rng())
        if checkpoint is not None:
            state = restore(checkpoint, method.optimizer, policy.device)
        state = after_rollbacks(stage.checkpoint_folder, state)
        if stage.resuming:
            stage.recorder.begin_segment(state.step)
            stage.event(Severity.INFO, "resumed", _resumed(state), state.step)
        state = Loop(
            method=method,
            evaluate=meter.apart(
                lambda step: evaluate_together(world, evaluator, step, method.policy)
            ),
            recorder=stage.recorder,
            observer=stage.observer,
            interrupts=stage.interrupts,
            folder=stage.checkpoint_folder,
            train=stage.config.train,
            evaluation=stage.config.evaluation,
            rewinder=rewinder,
            evaluated=world.decide(lambda: _evaluated(stage)),
            world=world,
        ).run(state)
        compare_memory(stage, memory, meter, state.step)
    finally:
        if evaluator is not None:
            evaluator.close()


def encode_all(stage: Stage, policy: Policy) -> list[Example]:
    """Every training problem of the run in tokens."""
    settings, template = stage.config.train, stage.prepared.template
    texts = [
        SourceText(problem.id, template.prompt(problem), template.target(problem) or "")
        for problem in stage.prepared.train
    ]
    return cached_examples(
        stage.token_cache,
        texts,
        policy.tokenizer,
        supervise=settings.supervise,
        supervise_eos=settings.supervise_eos,
        max_length=settings.max_length,
    )


def _resumed(state: TrainerState) -> str:
    text = f"resumed behind step {state.step}"
    if not state.rollbacks:
        return text
    slower = f"{state.lr_factor:g} times the learning rate"
    return f"{text}, at {slower} after {state.rollbacks} rollback(s)"


def _newest_checkpoint(stage: Stage) -> Path | None:
    finish_rollback(stage.checkpoint_folder)
    path, skipped = newest_whole(stage.checkpoint_folder)
    for damaged, problem in skipped.items():
        text = f"checkpoint {damaged.name} is skipped: {problem}"
        stage.event(Severity.WARNING, "checkpoint_damaged", text)
    return path


def _preflight(
    stage: Stage, policy: Policy, examples: Sequence[Example], memory: MemoryPlan
) -> None:
    report = run_preflight(
        PreflightInput(
            config=stage.config,
            problems=stage.prepared.train,
            examples=examples,
            template=stage.prepared.template,
            tokenizer=policy.tokenizer,
            parameters=sum(p.numel() for p in policy.model.parameters()),
            max_context=getattr(policy.model.config, "max_position_embeddings", None),
            vocabulary=policy.model.get_input_embeddings().weight.shape[0],
            evaluated=stage.prepared.evaluation,
            memory=memory,
        )
    )
    if not stage.resuming:
        for finding in report.findings:
            stage.recorder.event(finding.severity, f"preflight.{finding.check}", finding.message)
    stage.observer.preflight(report)
    if report.fatal:
        raise UserError(f"preflight stopped the run: {report.fatal[0].message}")


def _evaluated(stage: Stage) -> list[EvaluationFacts]:
    """What a resumed run has evaluated so far; the segment that begins took back the rest."""
    if not stage.resuming:
        return []
    return [
        facts_of_record(record, stage.registry.responses(record.uuid))
        for record in stage.registry.evaluations([stage.run.uuid])
    ]


def _sft(stage: Stage, policy: Policy, examples: Sequence[Example], memory: MemoryPlan) -> SFT:
    settings = stage.config.train
    plan = plan_batches(
        examples, settings, required(settings.batch_size, "train.batch_size"), stage.config.seed
    )
    guard = guard_against_exhaustion(stage)
    threads, budget = guard.run(
        policy,
        lambda tokens: choose_threads(
            lambda: _rehearse(policy, examples, plan.batch(1), tokens),
            settings.threads or stage.world.threads,
        ),
        step=1,
        budget=memory.microbatch_tokens,
        longest=max(len(examples[index].token_ids) for index in plan.batch(1)),
    )
    policy = stage.world.shard(policy)
    settings = stage.config.train
    if settings.threads is None or settings.microbatch_tokens is None:
        chosen = settings.model_copy(update={"threads": threads, "microbatch_tokens": budget})
        stage.keep_choice(stage.config.model_copy(update={"train": chosen}))
        text = f"{threads} threads, micro-batches of {budget} tokens, {policy.how}"
        stage.recorder.event(Severity.INFO, "choices", text)
    return SFT(
        policy=policy,
        optimizer=stage.world.for_shards(
            build_optimizer(policy.model.named_parameters(), settings)
        ),
        learning_rate=LearningRate(
            required(settings.lr, "train.lr"),
            settings.schedule,
            settings.warmup,
            settings.min_lr_ratio,
            plan.total,
        ),
        examples=examples,
        plan=plan,
        settings=settings,
        microbatch_tokens=budget,
        world=stage.world,
        guard=guard,
    )


def _rehearse(
    policy: Policy, examples: Sequence[Example], indices: Sequence[int], budget: int
) -> None:
    """One pass whose gradients and random numbers are thrown away.

    On CUDA the whole budget shows what fits. On CPU written-out passes only go forward, which is
    a third of the work and scales with threads like the rest.
    """
    states = capture_rng()
    if policy.device.type == "cpu":
        parameters = sum(parameter.numel() for parameter in policy.model.parameters())
        budget = min(budget, max(_REHEARSED_TOKENS, int(_REHEARSED_PRODUCTS / parameters)))
    batch = next(split_microbatches([examples[index] for index in indices], budget))
    if policy.passes is not None:
        policy.passes.log_probs(pack(batch, grain=policy.passes.grain))
    else:
        policy.accumulate(batch, SftLoss(1.0))
    for parameter in policy.model.parameters():
        parameter.grad = None
    if policy.device.type == "cuda":
        torch.cuda.synchronize()
    restore_rng(states)
