"""Whole runs on a GPU: where the engine works is one line, and copies are on record."""

import pytest

from core.registry.store import open_registry
from tests.a5ctl.conftest import House

pytestmark = [pytest.mark.gpu, pytest.mark.slow]
ENGINES = ["hf", pytest.param("vllm", marks=pytest.mark.vllm)]


def told(house: House, run: str) -> dict[str, list[str]]:
    registry = open_registry(f"sqlite:///{house.home / 'registry.db'}")
    found: dict[str, list[str]] = {}
    for event in registry.events(registry.find_run(run).uuid):
        found.setdefault(event.kind, []).append(event.message)
    return found


@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_says_where_its_engine_works_and_how_weights_get_there(
    house: House, engine: str
) -> None:
    run = house.sft("--device", "cuda", "--engine", engine, "--placement", "shared")
    events = told(house, run)
    (placement,) = events["engine_placement"]
    assert "training needs" in placement
    assert events["weight_copy"][0].startswith("weights are copied within the GPU: ")


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_on_a_second_gpu_gets_its_weights_from_the_first(
    house: House, engine: str
) -> None:
    import torch

    if torch.cuda.device_count() < 2:
        pytest.skip("there is one GPU")
    run = house.sft("--device", "cuda", "--engine", engine, "--placement", "apart")
    events = told(house, run)
    assert "for itself and takes about " in events["engine_placement"][0]
    assert "from GPU to GPU (CUDA IPC)" in events["weight_copy"][0]
