"""Where an engine works and how much memory it gets: beside training, by turns, or elsewhere.

Nothing here asks a GPU; numbers go in, and a decision with its reason comes out.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from core.engines.base import EngineError
from core.engines.footprint import EngineFootprint, EngineLoad, engine_footprint
from core.engines.gpu_options import GpuOptions
from core.units import GIB, gib

# Of a GPU's memory, what is left alone: what the allocators cannot use, and what estimates miss.
_RESERVE = 0.06
# A GPU of which others use less than this counts as free.
_UNUSED_SHARE = 0.02


class Place(StrEnum):
    """The GPU of an engine: training's, another one, or whichever is found better."""

    AUTO = "auto"
    SHARED = "shared"
    APART = "apart"


@dataclass(frozen=True, slots=True)
class GpuMemory:
    """Bytes of one GPU.

    Attributes:
        name: What people call it, `GPU 1` for example.
        total: All of it.
        free: What nobody uses now.
    """

    name: str
    total: int
    free: int

    @property
    def usable(self) -> int:
        """What may be taken of the free memory."""
        return max(0, self.free - int(_RESERVE * self.total))


@dataclass(frozen=True, slots=True)
class TrainingNeed:
    """What training will take on its GPU beyond what it holds already, in bytes.

    Attributes:
        staying: From one update to the next, while the engine works: moments, the reference.
        peak: Within an update.
    """

    staying: int = 0
    peak: int = 0


NO_TRAINING = TrainingNeed()


@dataclass(frozen=True, slots=True)
class EnginePlacement:
    """The decision.

    Attributes:
        place: `SHARED` or `APART`.
        options: What the engine is told.
        footprint: What it will take of its GPU.
        reason: One sentence for people.
    """

    place: Place
    options: GpuOptions
    footprint: EngineFootprint
    reason: str


def is_free(gpu: GpuMemory, load: EngineLoad) -> bool:
    """Whether an engine may take a GPU that nobody named: unused, and with room for a sequence."""
    unused = gpu.total - gpu.free <= max(_UNUSED_SHARE * gpu.total, GIB)
    return unused and _least(load, own_process=True) <= gpu.usable


def place_apart(load: EngineLoad, gpu: GpuMemory, share: float | None) -> EnginePlacement:
    """An engine on a GPU of its own, where it has no reason to sleep.

    Raises:
        EngineError: not even one response fits.
    """
    cache = _cache(load, gpu, gpu.usable, own_process=True)
    found = engine_footprint(load, cache=cache, own_process=True)
    options, found = _options(load, gpu, found, share)
    text = f"the engine has {gpu.name} for itself and takes about {_described(load, found, gpu)}"
    return EnginePlacement(Place.APART, options, found, text)


def place_shared(
    load: EngineLoad,
    gpu: GpuMemory,
    training: TrainingNeed,
    share: float | None,
    *,
    own_process: bool = False,
    awake: str | None = None,
) -> EnginePlacement:
    """An engine on training's GPU: beside it where both fit, else by turns.

    Args:
        load: What it has to do.
        gpu: The GPU, with the policy's weights loaded.
        training: What training is going to take.
        share: Of the GPU's memory, as asked for; chosen here when None.
        own_process: It does not share the trainer's process.
        awake: Why it cannot sleep; None where it can.

    Raises:
        EngineError: not even one response fits.
    """
    beside = engine_footprint(load, own_process=own_process)
    if share is not None:
        _, beside = _options(load, gpu, beside, share)
    fits = beside.idle + training.peak <= gpu.usable
    fits = fits and beside.awake + training.staying <= gpu.usable
    if fits or awake is not None or training == NO_TRAINING:
        room = gpu.usable if fits else gpu.usable - training.peak
        cache = _cache(load, gpu, room, own_process=own_process, least=True)
        found = engine_footprint(load, cache=cache, own_process=own_process)
    else:
        room = gpu.usable - training.staying
        cache = _cache(load, gpu, room, own_process=own_process)
        found = engine_footprint(load, cache=cache, sleeps=True, own_process=own_process)
    options, found = _options(load, gpu, found, share)
    text = _shared_reason(load, found, gpu, training, awake, fits=fits)
    return EnginePlacement(Place.SHARED, options, found, text)


def _options(
    load: EngineLoad, gpu: GpuMemory, found: EngineFootprint, share: float | None
) -> tuple[GpuOptions, EngineFootprint]:
    """What vLLM is told; where a share was asked for, its cache is what that leaves."""
    if share is None or load.name == "hf":
        # vLLM refuses to start where less than its share is free: the estimate, and no more
        asked = min(found.awake, gpu.free) / gpu.total
        cache = found.cache or None
        options = GpuOptions(int(asked * 10_000) / 10_000, cache, found.sleeps, load.graphs)
        return options, found
    rest = int(share * gpu.total) - found.weights - found.step - found.kept
    if rest < load.least_cache or share * gpu.total > gpu.free:
        least = found.awake - found.cache + load.least_cache
        raise EngineError(
            f"--gpu-memory-utilization {share:g} is {gib(share * gpu.total)} of {gpu.name}; the "
            f"engine needs at least {gib(least)} and {gib(gpu.free)} are free; choose something "
            "between, or leave it out"
        )
    found = replace(found, cache=rest)
    return GpuOptions(share, None, found.sleeps, load.graphs), found


def _cache(
    load: EngineLoad, gpu: GpuMemory, room: int, *, own_process: bool, least: bool = False
) -> int:
    """Cache for all sequences, or for as many as fit into the room.

    Args:
        load: What the engine has to do.
        gpu: The GPU.
        room: Bytes that the engine may take there.
        own_process: It does not share the trainer's process.
        least: Take one sequence's cache where the room is too small but the GPU is not.
    """
    if load.name == "hf":
        return 0
    without = engine_footprint(load, cache=0, own_process=own_process).awake
    fitting = min(load.full_cache, room - without)
    if fitting >= load.least_cache:
        return fitting
    needed = without + load.least_cache
    if least and needed <= gpu.usable:
        return load.least_cache
    raise EngineError(
        f"the engine needs at least {gib(needed)} on {gpu.name} for its weights and one response "
        f"of {load.tokens:,} tokens, and about {gib(max(0, room))} of {gib(gpu.total)} are left "
        "for it; use a smaller model or --max-tokens, a second GPU with --placement apart, or "
        "stop other programs there"
    )


def _least(load: EngineLoad, *, own_process: bool) -> int:
    return engine_footprint(load, cache=load.least_cache, own_process=own_process).awake


def _described(load: EngineLoad, found: EngineFootprint, gpu: GpuMemory) -> str:
    """What it takes, in GiB."""
    parts = [f"weights {_number(found.weights)}"]
    if found.cache:
        fitting = min(load.sequences, max(1, found.cache // load.sequence_bytes))
        of = "" if fitting == load.sequences else f"of {load.sequences} "
        parts.append(f"cache {_number(found.cache)} for {fitting} {of}responses")
    parts.append(f"rest {_number(found.step + found.kept)}")
    return f"{_number(found.awake)} of {gib(gpu.total)} ({', '.join(parts)})"


def _shared_reason(
    load: EngineLoad,
    found: EngineFootprint,
    gpu: GpuMemory,
    training: TrainingNeed,
    awake: str | None,
    *,
    fits: bool,
) -> str:
    what = _described(load, found, gpu)
    if training == NO_TRAINING:
        return f"the engine has the GPU for itself and takes about {what}"
    need = f"training needs {_number(training.peak)} of {_number(gpu.free)} free"
    if found.sleeps:
        kept = f"keeps {_number(found.asleep)}" if found.asleep else "keeps nothing"
        return f"engine and training take turns: it takes about {what}, asleep it {kept}; {need}"
    text = f"the engine stays beside training and takes about {what}; {need}"
    return text if fits else f"{text}, and the engine cannot sleep because {awake}"


def _number(count: float) -> str:
    return gib(count).removesuffix(" GiB")
