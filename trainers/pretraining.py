"""Pretrains the built-in base model from nothing: `a5ctl model pretrain --out DIR`.

One document per row, rows of like length together, so that nothing but text is computed; bf16
arithmetic over fp32 weights; Muon for the matrices (https://kellerjordan.github.io/posts/muon/) and
Adam for the rest. Killed anywhere, it goes on from the last saved state with the same numbers.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import load_file, save_file

from core.data.synthetic import BUILTIN_SEED, pretraining_documents
from core.errors import UserError
from core.models import load_tokenizer
from trainers.muon import new_slots, update
from trainers.qwen2_forward import forward
from trainers.random_model import (
    SHAPES,
    ModelShape,
    random_weights,
    refuse_full_folder,
    save_model,
)
from trainers.tokenizer_training import train_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TOKENIZER_DOCUMENTS = 6000
HELD_OUT_START = 50_000_000
_HELD_OUT_DOCUMENTS = 512
_POOL = 2048
_STATE = "pretraining_state"

Weights = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class PretrainingConfig:
    """Settings of one pretraining.

    Attributes:
        tokens: Tokens to train on (padding not counted).
        seed: Seed of the text, of its order and of the weights.
        step_tokens: Tokens of one optimizer step, at most, padding included.
        micro_tokens: Tokens of one forward pass, padding included.
        matrix_lr: Peak learning rate of Muon.
        other_lr: Peak learning rate of Adam (embedding, norms, biases).
        warmup_tokens: Tokens over which the rate rises.
        decay: Share of the run, at its end, in which the rate falls to zero.
        save_every: Steps between saved states.
    """

    tokens: int = 24_000_000
    seed: int = BUILTIN_SEED
    step_tokens: int = 6144
    micro_tokens: int = 2048
    matrix_lr: float = 0.02
    other_lr: float = 3e-3
    warmup_tokens: int = 210_000
    decay: float = 0.45
    save_every: int = 100


@dataclass(frozen=True, slots=True)
class PretrainingProgress:
    """Where a run stands after one step; `loss` is in nats per token."""

    step: int
    tokens: int
    loss: float
    tokens_per_second: float


@dataclass(slots=True)
class _Cursor:
    """What has been read: documents come in pools, pools in micro-batches."""

    pool: int = 0
    batch: int = 0
    step: int = 0
    tokens: int = 0


def pretrain(
    out_dir: Path,
    config: PretrainingConfig,
    *,
    shape: ModelShape | None = None,
    resume: bool = False,
    on_step: Callable[[PretrainingProgress], None] | None = None,
) -> float:
    """Train and write a model folder; returns the loss on unseen documents in nats per token.

    Raises:
        UserError: the folder is in use, or there is nothing in it to resume.
    """
    shape = shape or SHAPES["tiny"]
    cursor = _Cursor()
    if resume:
        tokenizer = _load_tokenizer(out_dir)
        weights, slots = _load_state(out_dir, config, cursor)
    else:
        refuse_full_folder(out_dir)
        tokenizer = _new_tokenizer(out_dir, config, shape)
        weights = random_weights(shape, config.seed)
        slots = new_slots(weights)
    batches = _micro_batches(tokenizer, config, cursor)
    while cursor.tokens < config.tokens:
        started = time.perf_counter()
        rate = _rate(cursor.tokens, config)
        gradients, loss, count = _accumulate(weights, shape, batches, config)
        lrs = (rate * config.matrix_lr, rate * config.other_lr)
        update(weights, gradients, slots, cursor.step, *lrs)
        cursor.step, cursor.tokens = cursor.step + 1, cursor.tokens + count
        if on_step:
            seconds = time.perf_counter() - started
            on_step(PretrainingProgress(cursor.step, cursor.tokens, loss, count / seconds))
        if cursor.step % config.save_every == 0:
            _save_state(out_dir, config, cursor, weights, slots)
    save_model(shape, weights, out_dir, torch.bfloat16, len(tokenizer))
    for leftover in out_dir.glob(f"{_STATE}.*"):
        leftover.unlink()
    return held_out_loss(weights, shape, tokenizer, config)


def held_out_loss(
    weights: Weights,
    shape: ModelShape,
    tokenizer: "PreTrainedTokenizerBase",
    config: PretrainingConfig,
) -> float:
    """Mean loss in nats per token on documents far beyond any that a run reads."""
    texts = pretraining_documents(config.seed, start=HELD_OUT_START, count=_HELD_OUT_DOCUMENTS)
    total, count = 0.0, 0
    with torch.no_grad():
        for ids, labels in _batches_of(list(texts), tokenizer, config.micro_tokens):
            total += _loss_sum(weights, shape, ids, labels).item()
            count += int((labels != -100).sum())
    return total / count


def _accumulate(
    weights: Weights,
    shape: ModelShape,
    batches: Iterator[tuple[torch.Tensor, torch.Tensor]],
    config: PretrainingConfig,
) -> tuple[Weights, float, int]:
    """Gradients of the mean loss over one step's tokens, that loss, and the number of tokens."""
    low = {name: tensor.bfloat16().requires_grad_() for name, tensor in weights.items()}
    sums = {name: torch.zeros_like(tensor) for name, tensor in weights.items()}
    total, count = 0.0, 0
    for _ in range(max(1, config.step_tokens // config.micro_tokens)):
        ids, labels = next(batches)
        loss = _loss_sum(low, shape, ids, labels)
        gradients = torch.autograd.grad(loss, list(low.values()))
        for name, gradient in zip(low, gradients, strict=True):
            sums[name].add_(gradient)
        total, count = total + loss.item(), count + int((labels != -100).sum())
    return {name: gradient.div_(count) for name, gradient in sums.items()}, total / count, count


def _loss_sum(
    weights: Weights, shape: ModelShape, ids: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    logits = forward(weights, shape, ids).flatten(0, 1).float()
    return F.cross_entropy(logits, labels.flatten(), ignore_index=-100, reduction="sum")


def _rate(tokens: int, config: PretrainingConfig) -> float:
    """Share of the peak rate after that many tokens: up, flat, down to zero."""
    risen = (tokens + config.warmup_tokens / 30) / config.warmup_tokens
    return max(0.0, min(1.0, risen, (1 - tokens / config.tokens) / config.decay))


def _micro_batches(
    tokenizer: "PreTrainedTokenizerBase", config: PretrainingConfig, cursor: _Cursor
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    while True:
        start = cursor.pool * _POOL
        texts = list(pretraining_documents(config.seed, start=start, count=_POOL))
        batches = list(_batches_of(texts, tokenizer, config.micro_tokens))
        Random(f"order:{config.seed}:{cursor.pool}").shuffle(batches)
        while cursor.batch < len(batches):
            cursor.batch += 1
            yield batches[cursor.batch - 1]
        cursor.pool, cursor.batch = cursor.pool + 1, 0


def _batches_of(
    texts: list[str], tokenizer: "PreTrainedTokenizerBase", micro_tokens: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """(input ids, labels) of documents sorted by length, at most `micro_tokens` per batch."""
    end = tokenizer.eos_token_id
    rows = sorted(([*ids, end] for ids in tokenizer(texts)["input_ids"]), key=len)
    group: list[list[int]] = []
    for row in rows:
        if group and (len(group) + 1) * (len(row) - 1) > micro_tokens:
            yield _padded(group, tokenizer.pad_token_id)
            group = []
        group.append(row)
    yield _padded(group, tokenizer.pad_token_id)


def _padded(group: list[list[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, group))
    full = torch.tensor([row + [pad] * (width - len(row)) for row in group])
    labels = full[:, 1:].clone()
    return full[:, :-1], labels.masked_fill_(labels == pad, -100)


def _new_tokenizer(
    out_dir: Path, config: PretrainingConfig, shape: ModelShape
) -> "PreTrainedTokenizerBase":
    texts = pretraining_documents(config.seed, count=TOKENIZER_DOCUMENTS)
    return train_tokenizer(texts, shape.tokenizer_size, out_dir)


def _load_tokenizer(out_dir: Path) -> "PreTrainedTokenizerBase":
    if not (out_dir / f"{_STATE}.safetensors").is_file():
        raise UserError(f"{out_dir} holds no saved pretraining state; start without --resume")
    return load_tokenizer(out_dir)


def _save_state(
    out_dir: Path, config: PretrainingConfig, cursor: _Cursor, weights: Weights, slots: Weights
) -> None:
    tensors = {f"w:{name}": t for name, t in weights.items()} | slots
    described = {"config": asdict(config), "cursor": asdict(cursor)}
    save_file(tensors, out_dir / f"{_STATE}.tmp", metadata={"state": json.dumps(described)})
    (out_dir / f"{_STATE}.tmp").replace(out_dir / f"{_STATE}.safetensors")


def _load_state(
    out_dir: Path, config: PretrainingConfig, cursor: _Cursor
) -> tuple[Weights, Weights]:
    from safetensors import safe_open

    path = out_dir / f"{_STATE}.safetensors"
    with safe_open(path, framework="pt") as file:
        described = json.loads(file.metadata()["state"])
    if described["config"] != asdict(config):
        raise UserError(f"{out_dir} was started with {described['config']}; resume with the same")
    for key, value in described["cursor"].items():
        setattr(cursor, key, value)
    tensors = load_file(path)
    weights = {name[2:]: tensor for name, tensor in tensors.items() if name.startswith("w:")}
    return weights, {name: t for name, t in tensors.items() if not name.startswith("w:")}
