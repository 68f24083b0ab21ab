"""Sleeping: what is asked of vLLM in which order, and that nothing answers with old weights."""

import sys
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import core.engines.vllm as vllm_engine
from core.engines.base import EngineError, Sampling
from core.engines.gpu_options import GpuOptions
from core.engines.vllm import VllmEngine
from core.engines.weights import WeightContract
from tests.core.engines.conftest import start, weights_of

GREEDY = Sampling(max_tokens=8, stop=())


class Recorded:
    """In the place of vLLM's `LLM` on a GPU: notes what is asked, and holds what it is given."""

    def __init__(self, folder: Path) -> None:
        self.calls: list[str] = []
        self.weights: dict[str, Any] = {}
        self.contract = WeightContract(folder)
        self.watched: weakref.ref[Any] | None = None
        self.llm_engine = SimpleNamespace(engine_core=SimpleNamespace(shutdown=self._shutdown))

    def sleep(self, level: int) -> None:
        self.calls.append(f"sleep {level}")

    def wake_up(self, tags: list[str] | None = None) -> None:
        if tags == ["kv_cache"] and self.watched is not None:
            assert self.watched() is None, "what came for the copy takes the cache's place"
        self.calls.append(f"wake {' '.join(tags or ['all'])}")

    def collective_rpc(self, method: str, kwargs: dict[str, Any]) -> None:
        self.calls.append(method)
        self.weights = {name: tensor.clone() for name, tensor in kwargs["weights_iterator"]}

    def reset_prefix_cache(self) -> bool:
        self.calls.append("reset")
        return True

    def generate(self, prompts: list[dict[str, Any]], *_: Any, **__: Any) -> list[Any]:
        self.calls.append("compare")
        ids = prompts[0]["prompt_token_ids"]
        found = self.contract.reference_logprobs(self.weights, ids).tolist()
        entries = [{i: SimpleNamespace(logprob=p)} for i, p in zip(ids[1:], found, strict=True)]
        return [SimpleNamespace(prompt_logprobs=[None, *entries])]

    def _shutdown(self) -> None:
        self.calls.append("shutdown")


@pytest.fixture
def on_gpu(model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[VllmEngine, Recorded]:
    """An engine as it is on a GPU, over a recorded `LLM`."""
    llm = Recorded(model_dir)

    def begin(engine: VllmEngine, **_: Any) -> None:
        engine._llm, engine.max_model_len = llm, 64

    monkeypatch.setattr(VllmEngine, "_start", begin)
    monkeypatch.setattr(vllm_engine, "vllm_version", lambda: "0")
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(SamplingParams=SimpleNamespace))
    gpu = GpuOptions(sleeps=True)
    engine = VllmEngine(
        model_dir, dtype="float32", device="cuda", max_model_len=64, dummy_weights=True, gpu=gpu
    )
    return engine, llm


def test_weights_wake_first_and_the_cache_behind_the_copy(
    on_gpu: tuple[VllmEngine, Recorded], model_dir: Path
) -> None:
    engine, llm = on_gpu
    engine.load_weights(weights_of(model_dir).items())
    awake = ["reload_weights", "reset", "compare"]
    assert llm.calls == awake
    llm.calls.clear()
    for _ in range(2):
        engine.sleep()
        engine.sleep()
        engine.load_weights(weights_of(model_dir).items())
    copied = ["wake weights", "reload_weights", "wake kv_cache", "reset", "compare"]
    assert llm.calls == 2 * ["sleep 2", *copied]


def test_what_came_for_a_copy_alone_is_gone_before_the_cache_wakes(
    on_gpu: tuple[VllmEngine, Recorded], model_dir: Path
) -> None:
    engine, llm = on_gpu
    engine.sleep()
    weights = weights_of(model_dir)
    name = "model.layers.1.mlp.up_proj.weight"
    weights[name] = weights[name].clone()
    llm.watched = weakref.ref(weights[name])
    engine.load_weights((key, weights.pop(key)) for key in list(weights))
    assert "wake kv_cache" in llm.calls


def test_an_engine_that_has_slept_does_not_answer_until_weights_have_come(
    on_gpu: tuple[VllmEngine, Recorded], model_dir: Path
) -> None:
    engine, _ = on_gpu
    engine.load_weights(weights_of(model_dir).items())
    engine.sleep()
    with pytest.raises(EngineError, match="has slept; call load_weights first"):
        engine.generate(["Tom"], GREEDY)


@pytest.mark.slow
def test_a_copy_that_goes_wrong_leaves_an_engine_that_says_so(
    on_gpu: tuple[VllmEngine, Recorded], model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, llm = on_gpu
    engine.sleep()
    monkeypatch.setattr(llm, "wake_up", lambda tags: 1 / 0)
    with pytest.raises(EngineError, match="could not load weights: ZeroDivisionError"):
        engine.load_weights(weights_of(model_dir).items())
    with pytest.raises(EngineError, match="failed before"):
        engine.sleep()
    engine.close()
    assert llm.calls[-1] == "shutdown"


@pytest.mark.slow
def test_what_sleeps_is_woken_up_to_be_freed(on_gpu: tuple[VllmEngine, Recorded]) -> None:
    engine, llm = on_gpu
    engine.sleep()
    engine.close()
    engine.close()
    assert llm.calls == ["sleep 2", "wake all", "shutdown"]


def test_transformers_give_their_memory_back_and_take_it_again(
    model_dir: Path, other_model_dir: Path, prompts: list[str]
) -> None:
    engine = start("hf", model_dir, gpu=GpuOptions(sleeps=True))
    engine.sleep()
    engine.sleep()
    assert sum(weight.numel() for weight in engine._model.parameters()) == 0  # type: ignore[attr-defined]
    with pytest.raises(EngineError, match="has slept"):
        engine.generate(prompts[:1], GREEDY)
    engine.load_weights(weights_of(other_model_dir).items())
    fresh = start("hf", other_model_dir)
    assert engine.generate(prompts[:4], GREEDY) == fresh.generate(prompts[:4], GREEDY)


def test_an_engine_that_was_not_told_to_sleep_stays_awake(
    model_dir: Path, prompts: list[str]
) -> None:
    engine = start("hf", model_dir)
    before = engine.generate(prompts[:1], GREEDY)
    engine.sleep()
    assert engine.generate(prompts[:1], GREEDY) == before
