"""The work of `gpu_sft.py`: models of known shapes, examples, and how many FLOPs they need."""

import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.gpu_mfu import needed_flops
from core.models import prepare_imports

# hidden, MLP, layers, heads, key heads, vocabulary; from the config.json files of Qwen2.5
SHAPES = {
    "tiny": (64, 128, 2, 4, 2, 512),
    "0.5b": (896, 4864, 24, 14, 2, 151_936),
    "1.5b": (1536, 8960, 28, 12, 2, 151_936),
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
    """A Qwen2 with random weights, made on the device."""
    prepare_imports()
    from transformers import Qwen2Config, Qwen2ForCausalLM

    hidden, inner, layers, heads, key_heads, vocabulary = SHAPES[shape]
    config = Qwen2Config(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_heads,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
    )
    torch.manual_seed(0)
    with device:
        model = Qwen2ForCausalLM(config)
    return model.to(dtype).train()


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
