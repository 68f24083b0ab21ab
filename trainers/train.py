"""Set up a training run and hand it to the loop: examples, preflight, engine, optimizer."""

from collections.abc import Sequence
from pathlib import Path

import torch

from core.errors import UserError
from trainers.batching import plan_batches, split_microbatches
from trainers.checkpoint import TrainerState, newest_whole, restore
from trainers.defaults import required
from trainers.evaluator import build_evaluator, evaluate_together
from trainers.loop import Loop
from trainers.memory import microbatch_token_budget
from trainers.observer import Severity
from trainers.optimization import LearningRate, build_optimizer
from trainers.policy import Policy, load_policy
from trainers.preflight import PreflightInput, run_preflight
from trainers.rng import capture_rng, restore_rng, seed_everything
from trainers.sft import SFT
from trainers.stage import Stage
from trainers.threads import choose_threads
from trainers.tokenization import Example, collate, encode_example, padding_id


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
        checkpoint or stage.prepared.model_dir, device=model.device, dtype=model.dtype
    )
    examples = encode_all(stage, policy)
    if world.main:
        _preflight(stage, policy, examples)
    evaluator = build_evaluator(stage, live=True) if world.main else None
    try:
        method = _sft(stage, policy, examples)
        state = TrainerState()
        if checkpoint is not None:
            state = restore(checkpoint, method.optimizer, policy.device)
        if stage.resuming:
            stage.recorder.begin_segment(state.step)
            stage.event(Severity.INFO, "resumed", f"resumed behind step {state.step}", state.step)
        Loop(
            method=method,
            evaluate=lambda step: evaluate_together(world, evaluator, step, method.policy),
            recorder=stage.recorder,
            observer=stage.observer,
            interrupts=stage.interrupts,
            folder=stage.checkpoint_folder,
            train=stage.config.train,
            evaluation=stage.config.evaluation,
            evaluated=world.decide(lambda: _evaluated_steps(stage)),
            world=world,
        ).run(state)
    finally:
        if evaluator is not None:
            evaluator.close()


def encode_all(stage: Stage, policy: Policy) -> list[Example]:
    """Tokenize every training problem of the run."""
    settings, template = stage.config.train, stage.prepared.template
    return [
        encode_example(
            problem.id,
            template.prompt(problem),
            template.target(problem) or "",
            policy.tokenizer,
            supervise=settings.supervise,
            supervise_eos=settings.supervise_eos,
            max_length=settings.max_length,
        )
        for problem in stage.prepared.train
    ]


def _newest_checkpoint(stage: Stage) -> Path | None:
    path, skipped = newest_whole(stage.checkpoint_folder)
    for damaged, problem in skipped.items():
        text = f"checkpoint {damaged.name} is skipped: {problem}"
        stage.event(Severity.WARNING, "checkpoint_damaged", text)
    return path


def _preflight(stage: Stage, policy: Policy, examples: Sequence[Example]) -> None:
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
        )
    )
    if not stage.resuming:
        for finding in report.findings:
            stage.recorder.event(finding.severity, f"preflight.{finding.check}", finding.message)
    stage.observer.preflight(report)
    if report.fatal:
        raise UserError(f"preflight stopped the run: {report.fatal[0].message}")


def _evaluated_steps(stage: Stage) -> frozenset[int]:
    if not stage.resuming:
        return frozenset()
    return frozenset(e.step for e in stage.registry.evaluations([stage.run.uuid]))


def _sft(stage: Stage, policy: Policy, examples: Sequence[Example]) -> SFT:
    settings = stage.config.train
    plan = plan_batches(
        examples, settings, required(settings.batch_size, "train.batch_size"), stage.config.seed
    )
    longest = max(len(example.token_ids) for example in examples)
    budget = settings.microbatch_tokens or microbatch_token_budget(
        policy.model.config, policy.device.type, longest
    )
    threads = choose_threads(
        lambda: _rehearse(policy, examples, plan.batch(1), budget),
        settings.threads or stage.world.threads,
    )
    if settings.threads is None or settings.microbatch_tokens is None:
        chosen = settings.model_copy(update={"threads": threads, "microbatch_tokens": budget})
        stage.keep_choice(stage.config.model_copy(update={"train": chosen}))
        stage.recorder.event(
            Severity.INFO, "choices", f"{threads} threads, micro-batches of {budget} tokens"
        )
    policy = stage.world.shard(policy)
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
    )


def _rehearse(
    policy: Policy, examples: Sequence[Example], indices: Sequence[int], budget: int
) -> None:
    """One forward and backward pass whose gradients and random numbers are thrown away."""
    states = capture_rng()
    batch = next(split_microbatches([examples[index] for index in indices], budget))
    ids, labels = collate(batch, padding_id(policy.tokenizer))
    policy.supervised_log_probs(ids.to(policy.device), labels.to(policy.device)).sum().backward()
    for parameter in policy.model.parameters():
        parameter.grad = None
    if policy.device.type == "cuda":
        torch.cuda.synchronize()
    restore_rng(states)
