"""How much memory a run will take to train, said before a model is loaded."""

import struct
from collections.abc import Iterator
from json import loads
from math import prod
from pathlib import Path

from core.models import load_config
from trainers.memory import MemoryPlan, plan_memory
from trainers.memory_cuda import reads_of
from trainers.memory_estimate import TrainedModel
from trainers.precision import precision_named
from trainers.prepare import Prepared

_WRITTEN_OUT = "qwen2"  # the architecture that trainers/fast knows, on CPU
_HEADER_LENGTH = 8


def forecast_memory(prepared: Prepared) -> MemoryPlan | None:
    """Estimate training's peak from the architecture alone; None where nothing is trained.

    The longest example is taken to fill `train.max_length`, so that it is an upper end.
    """
    config = prepared.config
    if not config.kind.trains:
        return None
    alone = config.train.gpus == 1
    model = TrainedModel(
        load_config(prepared.model_dir),
        count_parameters(prepared.model_dir),
        prepared.device,
        precision_named(config.train.precision),
        written_out=prepared.device == "cpu" and _model_type(prepared) == _WRITTEN_OUT,
        packed=prepared.device == "cuda" and alone,
        processes=config.train.gpus,
        reads=reads_of(config.kind),
    )
    return plan_memory(
        model,
        longest=config.train.max_length,
        wanted_tokens=config.train.microbatch_tokens,
        wanted=config.train.activation_checkpointing,
        available=None,
    )


def _model_type(prepared: Prepared) -> str:
    text = (prepared.model_dir / "config.json").read_text(encoding="utf-8")
    return str(loads(text).get("model_type"))


def count_parameters(folder: Path) -> int:
    """Numbers in the weights, read from the heads of their files."""
    return sum(prod(shape) for file in folder.glob("*.safetensors") for shape in _shapes(file))


def _shapes(path: Path) -> Iterator[list[int]]:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(_HEADER_LENGTH))
        header = loads(file.read(length))
    for name, tensor in header.items():
        if name != "__metadata__":
            yield tensor["shape"]
