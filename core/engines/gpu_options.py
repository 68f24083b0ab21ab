"""How an engine uses its GPU: its memory, whether it sleeps between two uses, and CUDA graphs."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

# Decoding works on at most 256 sequences; a batch is filled up to the next of these sizes. vLLM's
# own list has 35 of them, each of which is captured at every start.
CAPTURE_SIZES = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 160, 192, 224, 256)
# Prompt tokens that are read in one step. vLLM's own number depends on the GPU; a fixed one makes
# the memory of a step, and the order of batches, the same on all of them.
STEP_TOKENS = 8192


class Graphs(StrEnum):
    """What is prepared at the start so that a decoding step launches fewer kernels.

    Attributes:
        NONE: Nothing: the quickest start.
        DECODE: CUDA graphs of decoding steps, captured in a few seconds without compiling.
        COMPILED: vLLM's compiled model, with graphs of its pieces too; compiling takes a minute
            where vLLM's cache does not hold it.
    """

    NONE = "none"
    DECODE = "decode"
    COMPILED = "compiled"


# Decoding steps ahead from which a slower start pays. A step without graphs takes some ten
# milliseconds more on models of this size, and one without compiling about one.
_GRAPHS_FROM_STEPS = 500
_COMPILED_FROM_STEPS = 60_000


def graphs_for(steps: int) -> Graphs:
    """What pays where so many decoding steps are ahead."""
    if steps < _GRAPHS_FROM_STEPS:
        return Graphs.NONE
    return Graphs.DECODE if steps < _COMPILED_FROM_STEPS else Graphs.COMPILED


@dataclass(frozen=True, slots=True)
class GpuOptions:
    """What an engine on a GPU is told.

    Attributes:
        share: Of the whole GPU's memory, what vLLM takes: weights, cache and the memory of a step,
            whatever others hold. None leaves nine tenths of what is free to it.
        cache_bytes: Size of vLLM's cache; what the share leaves for it when None.
        sleeps: `sleep` gives the memory back.
        graphs: What vLLM prepares at its start.
    """

    share: float | None = None
    cache_bytes: int | None = None
    sleeps: bool = False
    graphs: Graphs = Graphs.DECODE


ON_CPU = GpuOptions(graphs=Graphs.NONE)


def vllm_options(gpu: GpuOptions, share: float) -> dict[str, Any]:
    """Arguments of vLLM's `LLM` for an engine on a GPU.

    Args:
        gpu: What it was told.
        share: Of the GPU's memory; vLLM refuses to start where less is free.
    """
    options: dict[str, Any] = {
        "gpu_memory_utilization": share,
        "enable_sleep_mode": gpu.sleeps,
        "max_num_batched_tokens": STEP_TOKENS,
        "enforce_eager": gpu.graphs is Graphs.NONE,
    }
    if gpu.cache_bytes is not None:
        options["kv_cache_memory_bytes"] = gpu.cache_bytes
    if gpu.graphs is Graphs.DECODE:
        options["compilation_config"] = {
            "mode": 0,
            "cudagraph_mode": "FULL_DECODE_ONLY",
            "cudagraph_capture_sizes": list(CAPTURE_SIZES),
        }
    elif gpu.graphs is Graphs.COMPILED:
        options["compilation_config"] = {"cudagraph_capture_sizes": list(CAPTURE_SIZES)}
    return options
