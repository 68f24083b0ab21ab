"""What vLLM is told on a GPU: only what every version that is supported knows."""

import pytest

from core.engines.gpu_options import CAPTURE_SIZES, GpuOptions, Graphs, vllm_options


@pytest.mark.parametrize("graphs", list(Graphs))
def test_graphs_are_small_lists_of_sizes_up_to_the_largest_batch(graphs: Graphs) -> None:
    options = vllm_options(GpuOptions(graphs=graphs), 0.4)
    assert options["enforce_eager"] is (graphs is Graphs.NONE)
    told = options.get("compilation_config", {})
    assert told.get("mode") == (0 if graphs is Graphs.DECODE else None)
    assert CAPTURE_SIZES[-1] == 256
    assert "kv_cache_memory_bytes" not in options
