"""Engines in a process of their own on a GPU: weights that come over CUDA IPC, or around it."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from core.engines.base import Sampling
from core.engines.cuda_ipc import CudaIpcError, OwnMemory
from core.engines.gpu_options import GpuOptions
from core.engines.remote import RemoteEngine, visible_to_engine
from core.engines.select import build_engine, choose_engine
from tests.core.engines.conftest import weights_of

pytestmark = [pytest.mark.gpu, pytest.mark.slow]
GREEDY = Sampling(max_tokens=24, stop=())
KINDS = ["hf", pytest.param("vllm", marks=pytest.mark.vllm)]
Start = Callable[[str | None], RemoteEngine]


@pytest.fixture(params=KINDS)
def start(request: pytest.FixtureRequest, model_dir: Path) -> Iterator[Start]:
    """Starts engines without weights, on the GPU that is named or on the trainer's."""
    started: list[RemoteEngine] = []

    def begin(own: str | None) -> RemoteEngine:
        build = partial(
            build_engine,
            choose_engine(request.param),
            model_dir,
            dtype="bfloat16",
            device="cuda",
            max_model_len=512,
            dummy_weights=True,
            gpu=GpuOptions(cache_bytes=2**28, share=0.05, sleeps=own is None),
        )
        started.append(RemoteEngine(build, visible_to_engine(own)))
        return started[-1]

    yield begin
    for engine in started:
        engine.close()


def on_gpu(folder: Path) -> dict[str, Any]:
    """A policy's weights in float32, on the first GPU."""
    return {name: tensor.cuda() for name, tensor in weights_of(folder).items()}


def check_copies(engine: RemoteEngine, first: Path, second: Path, prompts: list[str]) -> None:
    """Copy two policies in turn: each time the answers are its own."""
    answers = []
    for folder in (first, second, first):
        weights = on_gpu(folder)
        engine.load_weights(weights.items())
        for tensor in weights.values():  # they may change as soon as the copy is done
            tensor.zero_()
        answers.append(engine.generate(prompts, GREEDY))
        engine.sleep()
    assert answers[0] == answers[2]
    assert not any(a == b for a, b in zip(answers[0], answers[1], strict=True))


def test_two_processes_share_one_gpu(
    start: Start, model_dir: Path, other_model_dir: Path, prompts: list[str]
) -> None:
    engine = start(None)
    check_copies(engine, model_dir, other_model_dir, prompts)
    assert engine.weight_path == "within the GPU, from process to process (CUDA IPC)"


def test_weights_go_from_one_gpu_to_another(
    start: Start, model_dir: Path, other_model_dir: Path, prompts: list[str]
) -> None:
    import torch

    from core.engines.devices import visible_entries

    if torch.cuda.device_count() < 2:
        pytest.skip("there is one GPU")
    free, _ = torch.cuda.mem_get_info(1)
    engine = start(visible_entries(torch.cuda.device_count())[1])
    assert torch.cuda.mem_get_info(1)[0] < free
    check_copies(engine, model_dir, other_model_dir, prompts)
    assert engine.weight_path.startswith("from GPU to GPU (CUDA IPC)")


def test_without_ipc_they_come_through_main_memory(
    start: Start,
    model_dir: Path,
    other_model_dir: Path,
    prompts: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise CudaIpcError("it is not wanted here")

    monkeypatch.setattr("core.engines.remote.OwnMemory", refuse)
    engine = start(None)
    check_copies(engine, model_dir, other_model_dir, prompts)
    assert engine.weight_path == "through main memory, because it is not wanted here"


def test_the_trainers_side_of_ipc_never_reads_weights_back(
    start: Start, model_dir: Path, tmp_path: Path
) -> None:
    from torch.profiler import ProfilerActivity, profile

    engine, weights = start(None), on_gpu(model_dir)
    engine.load_weights(weights.items())
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        engine.load_weights(weights.items())
    seen.export_chrome_trace(str(tmp_path / "trace.json"))
    events = json.loads((tmp_path / "trace.json").read_text(encoding="utf-8"))["traceEvents"]
    copies = [event for event in events if event.get("cat") == "gpu_memcpy"]
    assert copies
    assert not [event for event in copies if "DtoH" in event["name"]]


def test_shared_memory_of_a_gpu_is_a_tensor_and_is_given_back() -> None:
    import torch

    torch.cuda.synchronize()
    free, _ = torch.cuda.mem_get_info()
    memory = OwnMemory(torch.device("cuda", 0), 2**27)
    memory.tensor[:1000] = torch.arange(1000, device="cuda").to(torch.uint8)
    assert memory.tensor[:1000].cpu().equal(torch.arange(1000).to(torch.uint8))
    assert memory.tensor.shape == (2**27,)
    assert torch.cuda.mem_get_info()[0] <= free - 2**27
    memory.close()
    assert torch.cuda.mem_get_info()[0] >= free - 2**25
