"""vLLM beside a trainer on one GPU: copies that stay on it, and memory that sleep gives back."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from core.engines.base import EngineError, InferenceEngine, Sampling
from core.engines.gpu_options import GpuOptions, Graphs
from core.engines.remote import RemoteEngine
from core.engines.select import build_engine, choose_engine
from tests.core.engines.conftest import weights_of

pytestmark = [pytest.mark.gpu, pytest.mark.vllm, pytest.mark.slow]
GREEDY = Sampling(max_tokens=24, stop=())
CACHE = 512 * 2**20


def build(folder: Path, gpu: GpuOptions, *, dummy: bool) -> Any:
    return partial(
        build_engine,
        choose_engine("vllm"),
        folder,
        dtype="bfloat16",
        device="cuda",
        max_model_len=512,
        dummy_weights=dummy,
        gpu=gpu,
    )


def fresh_answers(folder: Path, prompts: list[str]) -> Any:
    """What an engine says that read its weights from the folder; in a process of its own."""
    engine = RemoteEngine(build(folder, GpuOptions(cache_bytes=CACHE, share=0.05), dummy=False), {})
    try:
        return engine.generate(prompts, GREEDY)
    finally:
        engine.close()


def on_gpu(folder: Path) -> dict[str, Any]:
    """Weights as a policy on the GPU gives them, a tied head included."""
    weights = {name: tensor.cuda() for name, tensor in weights_of(folder).items()}
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    return weights


@pytest.fixture(scope="module")
def engine(model_dir: Path) -> Iterator[InferenceEngine]:
    gpu = GpuOptions(cache_bytes=CACHE, share=0.05, sleeps=True, graphs=Graphs.DECODE)
    found = build(model_dir, gpu, dummy=True)()
    yield found
    found.close()


def test_each_copy_answers_like_a_fresh_engine_and_unlike_the_one_before(
    engine: InferenceEngine, model_dir: Path, other_model_dir: Path, prompts: list[str]
) -> None:
    expected = {folder: fresh_answers(folder, prompts) for folder in (model_dir, other_model_dir)}
    assert not any(a == b for a, b in zip(*expected.values(), strict=True))
    for folder in (model_dir, other_model_dir, model_dir):
        engine.load_weights(on_gpu(folder).items())
        for _ in range(2):  # the second time finds its prefixes in the cache
            found = engine.generate(prompts, GREEDY)
            assert sum(a == b for a, b in zip(found, expected[folder], strict=True)) >= 62
        engine.sleep()


def test_sleep_gives_weights_and_cache_back_and_waking_up_takes_them(
    engine: InferenceEngine, model_dir: Path, prompts: list[str]
) -> None:
    import torch

    weights = on_gpu(model_dir)
    size = 2 * sum(weights[name].numel() for name in weights if name != "lm_head.weight")
    for _ in range(3):
        engine.load_weights(weights.items())
        before = engine.generate(prompts[:8], GREEDY)
        awake, _ = torch.cuda.mem_get_info()
        engine.sleep()
        asleep, _ = torch.cuda.mem_get_info()
        assert asleep - awake >= 0.95 * (CACHE + size)
        with pytest.raises(EngineError, match="has slept"):
            engine.generate(prompts[:1], GREEDY)
        taken = torch.empty(asleep - awake - 2**26, dtype=torch.uint8, device="cuda")
        del taken  # what the trainer holds on to is given back when the engine wakes up
        engine.load_weights(weights.items())
        assert engine.generate(prompts[:8], GREEDY) == before


def test_no_weight_passes_through_main_memory(
    engine: InferenceEngine, model_dir: Path, tmp_path: Path
) -> None:
    from torch.profiler import ProfilerActivity, profile

    weights = on_gpu(model_dir)
    engine.load_weights(weights.items())
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        engine.load_weights(weights.items())
    trace = tmp_path / "trace.json"
    seen.export_chrome_trace(str(trace))
    events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    copies = [event for event in events if event.get("cat") == "gpu_memcpy"]
    to_host = [e["args"]["bytes"] for e in copies if "DtoH" in e["name"]]
    smallest_matrix = min(2 * t.numel() for t in weights.values() if t.ndim == 2)
    assert copies
    assert all(size < smallest_matrix for size in to_host)


def test_expandable_segments_of_the_trainer_do_not_stop_it(
    model_dir: Path, prompts: list[str]
) -> None:
    """In a process that torch's allocator was told of them when it began."""
    gpu = GpuOptions(cache_bytes=CACHE, share=0.05, sleeps=True, graphs=Graphs.NONE)
    told = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
    engine = RemoteEngine(build(model_dir, gpu, dummy=True), told)
    try:
        for _ in range(2):
            engine.load_weights(on_gpu(model_dir).items())
            assert len(engine.generate(prompts[:4], GREEDY)) == 4
            engine.sleep()
    finally:
        engine.close()


@pytest.mark.parametrize("graphs", [Graphs.NONE, Graphs.COMPILED])
def test_graphs_change_nothing_in_what_is_said(
    model_dir: Path, prompts: list[str], graphs: Graphs
) -> None:
    expected = fresh_answers(model_dir, prompts)
    gpu = GpuOptions(cache_bytes=CACHE, share=0.05, graphs=graphs)
    engine = RemoteEngine(build(model_dir, gpu, dummy=False), {})
    try:
        found = engine.generate(prompts, GREEDY)
    finally:
        engine.close()
    # the same numbers, summed in another order here and there
    assert sum(a == b for a, b in zip(found, expected, strict=True)) >= 48
