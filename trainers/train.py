"""Set up a training run and hand it to the loop: examples, preflight, engine, method."""

from pathlib import Path

from core.config.schema import RunKind
from trainers.activation_checkpointing import set_activation_checkpointing
from trainers.checkpoint import TrainerState, newest_whole, restore
from trainers.compile_setup import settle_compilation
from trainers.engine_seat import take_seat
from trainers.evaluation_facts import EvaluationFacts, facts_of_record
from trainers.evaluator import Evaluator, build_evaluator, evaluate_together
from trainers.loop import Loop, Method
from trainers.memory import MemoryPlan
from trainers.memory_meter import MemoryMeter
from trainers.memory_setup import (
    compare_memory,
    fed_model,
    settle_memory,
    start_meter,
    training_need,
)
from trainers.observer import Severity
from trainers.optimization import Optimizer
from trainers.policy import Policy, load_policy
from trainers.precision import exact_float32_products
from trainers.recipe import Recipe
from trainers.rng import capture_rng, seed_everything
from trainers.rollback import Rewinder, after_rollbacks, finish_rollback
from trainers.stage import Stage


def train(stage: Stage) -> None:
    """Run a training method to its last step, from the newest checkpoint when resuming.

    Raises:
        UserError: preflight found something fatal.
        Interrupted, TrainingStoppedError, EngineError, OSError: see the loop.
    """
    seed_everything(stage.config.seed)
    exact_float32_products()
    take_seat(stage)
    world = stage.world
    checkpoint = world.decide(lambda: _newest_checkpoint(stage)) if stage.resuming else None
    stage.observer.phase("loading the model")
    model = stage.config.model
    policy = load_policy(
        checkpoint or stage.prepared.model_dir,
        device=model.device,
        precision=stage.config.train.precision,
        quick=world.size == 1,
        attention=stage.config.train.attention,
    )
    meter = start_meter(policy)
    recipe = _recipe(stage, policy)
    examples = world.decide(recipe.examples)
    memory = world.decide(lambda: settle_memory(stage, policy, examples))
    set_activation_checkpointing(policy.model, on=memory.checkpointing)
    if world.main:
        recipe.preflight(examples, memory)
    with meter.elsewhere():
        evaluator = _evaluator(stage, meter, memory) if world.main else None
    world.barrier()  # an engine may take long to start
    try:
        settle_compilation(stage, policy, examples, memory.microbatch_tokens)
        method = recipe.method(examples, memory, evaluator)
        _report_precision(stage, method.policy, method.optimizer)
        state, rewinder = _begin(stage, method, checkpoint)
        loop = _loop(stage, method, rewinder, evaluator, meter)
        state = loop.run(state)
        trained = fed_model(stage, policy, examples)
        compare_memory(stage, memory, meter, state.step, trained)
    finally:
        if evaluator is not None:
            evaluator.close()


def _begin(stage: Stage, method: Method, checkpoint: Path | None) -> tuple[TrainerState, Rewinder]:
    """Where the run begins or goes on, and how a rollback gets behind that."""
    state, initial = TrainerState(), stage.prepared.model_dir
    rewinder = Rewinder(method.policy, method.optimizer, initial, capture_rng())
    if checkpoint is not None:
        state = restore(checkpoint, method.optimizer, method.policy.device)
    state = after_rollbacks(stage.checkpoint_folder, state)
    if stage.resuming:
        stage.recorder.begin_segment(state.step)
        stage.event(Severity.INFO, "resumed", _resumed(state), state.step)
    return state, rewinder


def _loop(
    stage: Stage,
    method: Method,
    rewinder: Rewinder,
    evaluator: Evaluator | None,
    meter: MemoryMeter,
) -> Loop:
    world = stage.world
    return Loop(
        method=method,
        evaluate=meter.apart(lambda step: evaluate_together(world, evaluator, step, method.policy)),
        recorder=stage.recorder,
        observer=stage.observer,
        interrupts=stage.interrupts,
        folder=stage.checkpoint_folder,
        train=stage.config.train,
        evaluation=stage.config.evaluation,
        rewinder=rewinder,
        evaluated=world.decide(lambda: _evaluated(stage)),
        world=world,
        stop_after=stage.stop_after,
    )


def _report_precision(stage: Stage, policy: Policy, optimizer: Optimizer) -> None:
    if not stage.resuming:
        text = f"{policy.precision.described}; {optimizer.how}"
        stage.recorder.event(Severity.INFO, "precision", text)


def _evaluator(stage: Stage, meter: MemoryMeter, plan: MemoryPlan) -> Evaluator:
    return build_evaluator(stage, live=True, apart=meter.elsewhere, training=training_need(plan))


def _recipe(stage: Stage, policy: Policy) -> Recipe:
    kind = stage.config.kind
    if kind is RunKind.SFT:
        from trainers.sft_recipe import SftRecipe

        return SftRecipe(stage, policy)
    if kind is RunKind.DPO:
        from trainers.dpo_recipe import DpoRecipe

        return DpoRecipe(stage, policy)
    if kind is RunKind.GRPO:
        from trainers.grpo_recipe import GrpoRecipe

        return GrpoRecipe(stage, policy)
    if kind is RunKind.EI:
        from trainers.ei_recipe import EiRecipe

        return EiRecipe(stage, policy)
    raise ValueError(f"a run of kind {kind} does not train")


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


def _evaluated(stage: Stage) -> list[EvaluationFacts]:
    """What a resumed run has evaluated so far; the segment that begins took back the rest."""
    if not stage.resuming:
        return []
    return [
        facts_of_record(record, stage.registry.responses(record.uuid))
        for record in stage.registry.evaluations([stage.run.uuid])
    ]
