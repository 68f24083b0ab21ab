"""The work of `gpu_sft.py`: models of known shapes, examples, and how many FLOPs they need."""

import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from benchmarks.gpu_mfu import needed_flops
from benchmarks.random_weights import random_qwen2
from trainers.random_model import SHAPES as QWEN
from trainers.random_model import ModelShape

_POSITIONS = 4096
SHAPES = {
    "tiny": ModelShape(512, 512, 64, 128, 2, 4, 2, _POSITIONS),
    "0.5b": replace(QWEN["qwen2.5-0.5b"], max_position_embeddings=_POSITIONS),
    "1.5b": replace(QWEN["qwen2.5-1.5b"], max_position_embeddings=_POSITIONS),
}


@dataclass(frozen=True)
class Tokens:
    """One example: what `trainers.packed.row` asks for."""

    problem_id: str
    token_ids: tuple[int, ...]
    supervised: tuple[bool, ...]


@dataclass(frozen=True)
class Job:
    """What one process does."""

    shape: str
    side: str
    device: str
    batch: int
    microbatch: int
    row_tokens: int
    warmup: int
    steps: int


def draw_examples(count: int, vocabulary: int, shrink: int) -> list[Tokens]:
    """Examples with random tokens and lengths like those of GSM8K under a reasoning prompt."""
    draw = random.Random(0)
    made = []
    for number in range(count):
        prompt = draw.randint(60, 260) // shrink
        response = min(512, max(16, int(draw.lognormvariate(4.7, 0.45)))) // shrink
        ids = tuple(draw.randrange(10, vocabulary) for _ in range(prompt + response))
        marks = (False,) * prompt + (True,) * response
        made.append(Tokens(f"e{number}", ids, marks))
    return made


def build_model(shape: str, device: torch.device, dtype: torch.dtype) -> Any:
    """A Qwen2 with random weights, made on the device; its padding and EOS are those of TRL's."""
    model = random_qwen2(SHAPES[shape], device, dtype)
    model.config.pad_token_id, model.config.eos_token_id = 0, 1
    return model


def flops_of(shape: str, examples: Sequence[Tokens]) -> float:
    """Forward and backward work of a pass over the examples, as `gpu_mfu` counts it."""
    lengths = [len(one.token_ids) - 1 for one in examples]
    supervised = sum(sum(one.supervised[1:]) for one in examples)
    return needed_flops(SHAPES[shape], lengths, supervised)


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def product_rate(device: torch.device, size: int) -> float:
    """FLOP/s of a bfloat16 product of two size x size matrices of random numbers."""
    left, right = (torch.randn(size, size, device=device).bfloat16() for _ in range(2))
    taken = []
    for _ in range(8):
        wait(device)
        started = time.perf_counter()
        torch.mm(left, right)
        wait(device)
        taken.append(time.perf_counter() - started)
    return 2.0 * size**3 / statistics.median(taken[3:])
