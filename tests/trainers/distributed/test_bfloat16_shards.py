"""Updates of bfloat16 weights that processes share: each draws the bits of its own part."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import distributed, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from core.config.schema import TrainSettings
from trainers.bfloat16_adamw import _start
from trainers.optimization import build_optimizer
from trainers.precision import STOCHASTIC
from trainers.stochastic_rounding import random_bits

SETTINGS = TrainSettings(lr=1e-3, clip_norm=0.5)


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[DeviceMesh]:
    """This process alone, as if there were more."""
    store = distributed.FileStore(str(tmp_path / "store"), 1)
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    distributed.destroy_process_group()


def updated(weight: torch.Tensor, gradient: torch.Tensor) -> tuple[float, torch.Tensor]:
    parameter = nn.Parameter(weight)
    optimizer = build_optimizer([("weight", parameter)], SETTINGS, precision=STOCHASTIC)
    parameter.grad = gradient
    norm = optimizer.update(1e-3, 1)
    return norm, parameter.detach()


def test_a_shared_parameter_is_updated_as_a_whole_one(mesh: DeviceMesh) -> None:
    generator = torch.Generator().manual_seed(0)
    weight, gradient = (
        torch.randn(12, 7, generator=generator).mul_(size).bfloat16() for size in (0.02, 1.0)
    )
    shared = [distribute_tensor(t.clone(), mesh, [Shard(0)]) for t in (weight, gradient)]
    norm, wanted = updated(weight.clone(), gradient)
    found_norm, found = updated(*shared)
    assert found_norm == pytest.approx(norm, rel=1e-6)
    assert torch.equal(found.full_tensor(), wanted)


@pytest.mark.parametrize(("rows", "processes"), [(12, 4), (10, 4), (3, 4), (1, 2), (7, 1)])
def test_parts_begin_where_fsdp_cuts_them(rows: int, processes: int) -> None:
    width = 5
    parts = torch.arange(rows * width).reshape(rows, width).chunk(processes)
    for rank in range(processes):
        mesh = SimpleNamespace(size=lambda: processes, get_local_rank=lambda rank=rank: rank)
        shared = SimpleNamespace(device_mesh=mesh, shape=torch.Size((rows, width)))
        first = int(parts[rank][0, 0]) if rank < len(parts) else rows * width
        assert _start(shared) == first
    keys = (1, 2)
    drawn = [random_bits(keys, int(part[0, 0]), part.numel()) for part in parts]
    assert torch.equal(torch.cat(drawn), random_bits(keys, 0, rows * width))
