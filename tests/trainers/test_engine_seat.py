"""What a run finds out about the GPUs before its engine starts; the GPUs are made up."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from core.config.load import build_config
from core.engines.base import EngineError
from core.engines.placement import GpuMemory, Place, TrainingNeed
from core.errors import UserError
from core.units import GIB
from trainers import engine_seat
from trainers.distributed.checks import check_placement
from trainers.distributed.world import World
from trainers.engine_seat import decoding_steps, seat, spare_gpu, take_seat, visible_to_engine

NEED = TrainingNeed(2 * GIB, 12 * GIB)


def stage_of(folder: Path, *, kind: str = "sft", device: str = "cuda", **evaluation: Any) -> Any:
    told = {"max_tokens": 100, "dtype": "bfloat16", **evaluation}
    tree: dict[str, Any] = {"kind": kind, "evaluation": told}
    if kind == "grpo":
        tree |= {"rollout": {"max_tokens": 200}, "grpo": {"steps": 10, "rollout_batch": 512}}
    config = build_config(tree)
    prepared = SimpleNamespace(
        config=config,
        device=device,
        engine=SimpleNamespace(name="vllm"),
        model_dir=folder,
        evaluation=(None,) * 300,
        train=(None,) * 40,
    )
    return SimpleNamespace(config=config, prepared=prepared, world=World())


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes up GPUs: the free GiB of each of 40."""

    def make(*free: float) -> None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(free))
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (int(free[0] * GIB), 40 * GIB))

        def memory(entry: str, entries: Any) -> GpuMemory:
            return GpuMemory(f"GPU {entry}", 40 * GIB, int(free[int(entry)] * GIB))

        monkeypatch.setattr(engine_seat, "gpu_memory", memory)

    return make


@pytest.mark.parametrize(
    ("placement", "free", "own"),
    [
        ("auto", (30, 39.6), "1"),
        ("auto", (30, 20), None),  # somebody works there
        ("auto", (30,), None),
        ("shared", (30, 39.6), None),
        ("apart", (30, 20), "1"),
    ],
)
def test_a_second_gpu_is_taken_where_it_is_free_or_was_asked_for(
    small_model: Path,
    gpus: Callable[..., None],
    placement: str,
    free: tuple[float, ...],
    own: str | None,
) -> None:
    gpus(*free)
    stage = stage_of(small_model, placement=placement)
    take_seat(stage)
    assert stage.world.engine_device == own
    found = seat(stage, 128, NEED)
    assert found.place is (Place.SHARED if own is None else Place.APART)
    assert ("GPU 1 for itself" in found.reason) is (own is not None)


def test_sharing_counts_what_training_is_going_to_take(
    small_model: Path, gpus: Callable[..., None]
) -> None:
    gpus(36)
    stage = stage_of(small_model, gpu_memory_utilization=0.6)
    assert seat(stage, 128, NEED).options.sleeps
    assert not seat(stage, 128, TrainingNeed()).options.sleeps
    gpus(1)
    with pytest.raises(EngineError, match="needs at least"):
        seat(stage_of(small_model), 128, NEED)


def test_memory_that_the_driver_does_not_tell_is_left_to_the_engine(
    small_model: Path, gpus: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus(30, 30)
    stage = stage_of(small_model, placement="apart")
    take_seat(stage)
    monkeypatch.setattr(engine_seat, "gpu_memory", lambda *_: None)
    found = seat(stage, 128, NEED)
    assert (found.options.share, found.options.cache_bytes) == (None, None)
    assert "the engine takes nine tenths of that" in found.reason


def test_the_first_gpu_behind_those_that_train_is_the_engines(small_model: Path) -> None:
    prepared = stage_of(small_model).prepared
    assert spare_gpu(prepared, ["4", "2", "7"], taken=2) == "7"
    assert spare_gpu(prepared, ["4", "2"], taken=2) is None
    on_cpu = stage_of(small_model, device="cpu").prepared
    assert spare_gpu(on_cpu, [], taken=2) is None


@pytest.mark.parametrize(
    ("device", "count", "words"), [("cpu", 0, "on the CPU"), ("cuda", 1, "torch sees 1")]
)
def test_a_gpu_that_is_not_there_is_refused(
    small_model: Path, gpus: Callable[..., None], device: str, count: int, words: str
) -> None:
    gpus(*(30,) * count)
    stage = stage_of(small_model, placement="apart")
    with pytest.raises(UserError, match=words):
        check_placement(stage.config, device)
    gpus(30, 30)
    check_placement(stage.config, "cuda")
    check_placement(stage_of(small_model).config, "cpu")


def test_the_engines_process_sees_its_own_gpu_first(
    gpus: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus(30, 30)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    assert visible_to_engine("5") == {
        "CUDA_VISIBLE_DEVICES": "5,3",
        "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:False",
    }
    assert "CUDA_VISIBLE_DEVICES" not in visible_to_engine(None)


def test_what_is_ahead_counts_evaluations_and_rollouts(small_model: Path) -> None:
    sft, grpo = (stage_of(small_model, kind=kind).config for kind in ("sft", "grpo"))
    # two evaluations of 300 problems in two waves; then ten batches of 512 in two waves
    assert decoding_steps(sft, 300) == 2 * 2 * 100
    assert decoding_steps(grpo, 300, 512) == 400 + 10 * 2 * 200
    often = stage_of(small_model, every=10).config
    assert decoding_steps(often, 300) > decoding_steps(sft, 300)
