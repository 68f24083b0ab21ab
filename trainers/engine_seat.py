"""The seat of a run's engine: which GPU it works on, and how much of it, decided in one place.

`core.engines.placement` decides; here is what it has to know. Nothing is decided on the CPU.
"""

import os
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any

from core.config.schema import RunConfig, RunKind
from core.engines.devices import VISIBLE, is_instance, seen_first, visible_entries
from core.engines.footprint import EngineFootprint, EngineLoad, engine_footprint
from core.engines.gpu_options import GpuOptions, graphs_for
from core.engines.gpus import listed_gpus, memory_by_uuid
from core.engines.placement import (
    NO_TRAINING,
    EnginePlacement,
    GpuMemory,
    Place,
    TrainingNeed,
    is_free,
    place_apart,
    place_shared,
)
from core.engines.segments import (
    allocator_settings,
    expands,
    plain_environment,
    tells_allocator,
)
from core.engines.vllm_setup import MAX_SEQUENCES
from core.models import load_config
from trainers.defaults import required
from trainers.distributed.world import World
from trainers.memory_forecast import count_parameters
from trainers.prepare import Prepared
from trainers.stage import Stage

# evaluations of a run whose number of updates is not known before it begins
_SOME_EVALUATIONS = 8


def take_seat(stage: Stage) -> None:
    """Find out whether the engine gets another GPU than training, before memory is planned."""
    prepared, config = stage.prepared, stage.config
    if stage.world.size > 1 or prepared.device == "cpu" or not config.kind.trains:
        return
    import torch

    entries = visible_entries(torch.cuda.device_count())
    found = spare_gpu(prepared, entries, taken=1)
    if found is not None and Place(config.evaluation.placement) is Place.AUTO:
        load = engine_load(config, prepared, _usual_tokens(config))
        memory = gpu_memory(found, entries)
        if load.name != "vllm" or memory is None or not is_free(memory, load):
            found = None
    stage.world = World(engine_device=found)


def spare_gpu(prepared: Prepared, entries: Sequence[str], *, taken: int) -> str | None:
    """The first GPU that no training process has, unless the engine is to share one.

    Args:
        prepared: The run.
        entries: GPUs that are visible, as `CUDA_VISIBLE_DEVICES` names them.
        taken: How many of them train.
    """
    shared = Place(prepared.config.evaluation.placement) is Place.SHARED
    if shared or prepared.device == "cpu" or len(entries) <= taken:
        return None
    return entries[taken]


def seat(stage: Stage, tokens: int, training: TrainingNeed) -> EnginePlacement:
    """Where the run's engine works, and what it is told; only where there is a GPU.

    Args:
        stage: The run, with the policy loaded if there is one.
        tokens: Of prompt and response together, at most.
        training: What training is going to take.

    Raises:
        EngineError: not even one response fits.
    """
    import torch

    config, own = stage.config, stage.world.engine_device
    load = engine_load(config, stage.prepared, tokens)
    share = config.evaluation.gpu_memory_utilization
    if own is not None:
        memory = gpu_memory(own, visible_entries(torch.cuda.device_count()))
        return _unseen(load, own, share) if memory is None else place_apart(load, memory, share)
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info()
    return place_shared(
        load,
        GpuMemory("the GPU", total, free),
        training,
        share,
        own_process=stage.world.size > 1,
        awake=_why_awake() if load.name == "vllm" else None,
    )


def seat_alone(config: RunConfig, folder: Path, name: str, tokens: int) -> EnginePlacement:
    """An engine that has the GPU for itself in this process.

    Args:
        config: The run's.
        folder: Of the model.
        name: `vllm` or `hf`.
        tokens: Of prompt and response together, at most.

    Raises:
        EngineError: not even one response fits.
    """
    import torch

    load = _load(config, folder, name, tokens, MAX_SEQUENCES, decoding_steps(config, 0))
    free, total = torch.cuda.mem_get_info()
    share = config.evaluation.gpu_memory_utilization
    return place_shared(load, GpuMemory("the GPU", total, free), NO_TRAINING, share)


def engine_load(config: RunConfig, prepared: Prepared, tokens: int) -> EngineLoad:
    """What the engine of a run has to do."""
    asked = len(prepared.evaluation) * config.evaluation.n
    sequences = max(asked, _responses(config, prepared)) if config.kind.samples else asked
    steps = decoding_steps(config, len(prepared.evaluation), _responses(config, prepared))
    name = prepared.engine.name
    return _load(config, prepared.model_dir, name, tokens, max(1, sequences), steps)


def footprint_beside_training(stage: Stage, tokens: int) -> EngineFootprint:
    """What the engine will take of training's GPU if it has to sleep while that works.

    Its `asleep` counts beside training's peak, its `awake` beside what training holds between two
    updates.

    Args:
        stage: The run.
        tokens: Of prompt and response together, at most.
    """
    load = engine_load(stage.config, stage.prepared, tokens)
    return engine_footprint(load, sleeps=_why_awake() is None, own_process=stage.world.size > 1)


def decoding_steps(config: RunConfig, problems: int, responses: int = 0) -> int:
    """Steps of decoding that are ahead in a run, were every response as long as it may be.

    Args:
        config: The run's.
        problems: Of an evaluation.
        responses: Of a rollout batch.
    """
    evaluation = config.evaluation
    waves = ceil(max(1, problems * evaluation.n) / MAX_SEQUENCES)
    steps = _evaluations(config) * waves * required(evaluation.max_tokens, "evaluation.max_tokens")
    if not config.kind.samples:
        return steps
    batches = config.grpo.steps if config.kind is RunKind.GRPO else config.ei.steps
    cap = required(config.rollout.max_tokens, "rollout.max_tokens")
    return steps + (batches or 1) * ceil(max(1, responses) / MAX_SEQUENCES) * cap


def gpu_memory(entry: str, entries: Sequence[str]) -> GpuMemory | None:
    """Memory of a GPU that this process does not work on; None where nobody tells.

    The driver is asked: torch would open a context there, which takes memory for good.

    Args:
        entry: As `CUDA_VISIBLE_DEVICES` names it.
        entries: Those that this process sees.
    """
    if is_instance(entry):
        return None
    uuid = _uuid(entry, entries)
    known = {name.removeprefix("gpu-"): sizes for name, sizes in memory_by_uuid().items()}
    if uuid not in known:
        return None
    total, free = known[uuid]
    return GpuMemory(f"GPU {entry}", total, free)


def _uuid(entry: str, entries: Sequence[str]) -> str | None:
    import torch

    if entry in entries and entries.index(entry) < torch.cuda.device_count():
        properties: Any = torch.cuda.get_device_properties(entries.index(entry))
        return str(properties.uuid).lower()
    found = [gpu.uuid for gpu in listed_gpus() if str(gpu.index) == entry]
    return found[0].lower().removeprefix("gpu-") if found else None


def _load(
    config: RunConfig, folder: Path, name: str, tokens: int, sequences: int, steps: int
) -> EngineLoad:
    shape = load_config(folder).get_text_config()
    return EngineLoad(
        name=name,
        config=shape,
        parameters=count_parameters(folder),
        dtype=config.evaluation.dtype,
        tokens=min(tokens, shape.max_position_embeddings),
        sequences=min(sequences, MAX_SEQUENCES),
        graphs=graphs_for(steps),
    )


def _unseen(load: EngineLoad, own: str, share: float | None) -> EnginePlacement:
    text = (
        f"the engine has GPU {own} for itself; the driver does not tell how much of its memory is "
        f"free, so the engine takes {'nine tenths of that' if share is None else 'its share'}"
    )
    options = GpuOptions(share=share, graphs=load.graphs)
    return EnginePlacement(Place.APART, options, engine_footprint(load, own_process=True), text)


def _why_awake() -> str | None:
    """Why vLLM cannot sleep in this process; None where it can."""
    if expands(allocator_settings()) and not tells_allocator():
        return "this version of torch cannot switch expandable segments off for it"
    return None


def _responses(config: RunConfig, prepared: Prepared) -> int:
    """Of one rollout batch."""
    if config.kind is RunKind.GRPO:
        return config.grpo.rollout_batch
    if config.kind is RunKind.EI:
        return min(config.ei.questions, len(prepared.train)) * config.rollout.per_question
    return 0


def _evaluations(config: RunConfig) -> int:
    every, at_start = config.evaluation.every, int(config.evaluation.at_start)
    if not config.kind.trains:
        return 1
    if config.kind is RunKind.EI:
        return at_start + config.ei.steps
    if every is None:
        return at_start + 1
    updates = config.train.steps
    return at_start + (_SOME_EVALUATIONS if updates is None else ceil(updates / every))


def _usual_tokens(config: RunConfig) -> int:
    """About what a sequence takes, before the prompts have been counted."""
    cap = required(config.evaluation.max_tokens, "evaluation.max_tokens")
    if config.kind.samples:
        cap = max(cap, required(config.rollout.max_tokens, "rollout.max_tokens"))
    return 2 * cap


def visible_to_engine(own: str | None) -> dict[str, str | None]:
    """Variables of the engine's process: its own GPU first, and training's, to read weights from.

    Args:
        own: The GPU that it has for itself; None where it shares the first one.
    """
    variables = plain_environment(os.environ)
    if own is not None:
        import torch

        trainers = visible_entries(torch.cuda.device_count())
        variables[VISIBLE] = seen_first(own, trainers[0] if trainers else None)
    return variables
