"""The model being trained: loading, precision, and log-probabilities without full logits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from core.errors import UserError
from core.models import load_tokenizer
from core.pretrained import load_causal_lm
from trainers.fast.head import TokenLoss
from trainers.fast.layout import pack
from trainers.fast.passes import WrittenOut, written_out
from trainers.objectives import token_log_probs
from trainers.tokenization import IGNORED, Example, collate, padding_id

# logits that one chunk may hold; about 64 MiB in float32, small beside any model that needs chunks
_CHUNK_LOGITS = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Accumulated:
    """What one micro-batch gave.

    Attributes:
        loss: Its share in the loss of the step.
        log_probs: Of its targets, shape (S,), nats, without gradients; examples in their order.
        positions: Token positions that were computed.
        padding: How many of them hold no token.
    """

    loss: float
    log_probs: Tensor
    positions: int
    padding: int


@dataclass(slots=True)
class Policy:
    """A causal language model with its tokenizer, ready to train.

    Attributes:
        model: A transformers causal LM; parameters are float32, also under bfloat16 autocast.
        tokenizer: Its tokenizer.
        device: Where the parameters are.
        compute_dtype: Precision of the forward pass.
        passes: Written-out forward and backward passes; None where the model or the device needs
            transformers' own.
        passes_reason: Which passes these are, and why, for the record.
    """

    model: Any
    tokenizer: Any
    device: torch.device
    compute_dtype: torch.dtype
    passes: WrittenOut | None = None
    passes_reason: str = "transformers' own passes"

    def accumulate(self, examples: Sequence[Example], loss: TokenLoss) -> Accumulated:
        """Add the gradient of a loss over the examples' targets to every parameter's `.grad`.

        Args:
            examples: One micro-batch.
            loss: A sum over targets: of their log-probabilities (n,) and their places (n,) among
                the targets of the micro-batch.
        """
        if self.passes is None:
            return self._accumulate_padded(examples, loss)
        row = pack(examples)
        self.passes.recompute = bool(getattr(self.model, "is_gradient_checkpointing", False))
        value, log_probs = self.passes.accumulate(row, loss)
        return Accumulated(float(value), log_probs, row.tokens, 0)

    def _accumulate_padded(self, examples: Sequence[Example], loss: TokenLoss) -> Accumulated:
        ids, labels = collate(examples, padding_id(self.tokenizer))
        log_probs = self.supervised_log_probs(ids.to(self.device), labels.to(self.device))
        value = loss(log_probs, torch.arange(len(log_probs), device=self.device))
        value.backward()
        tokens = sum(len(example.token_ids) - 1 for example in examples)
        padding = ids.numel() - tokens
        return Accumulated(float(value.detach()), log_probs.detach(), ids.numel(), padding)

    def supervised_log_probs(self, input_ids: Tensor, labels: Tensor) -> Tensor:
        """Log-probability of each supervised label, in nats.

        Hidden states are projected to the vocabulary only where the label is not -100, and in
        chunks whose logits are recomputed in the backward pass, so full logits never exist. Rows
        are padded on the right: under a causal mask no real token sees the padding, so no
        attention mask is needed.

        Args:
            input_ids: Shape (B, T), int64.
            labels: Shape (B, T), int64; -100 where nothing is supervised.

        Returns:
            Shape (S,): the S supervised positions in row-major order; float32, or float64 for
            a float64 model.
        """
        with self._autocast():
            hidden = self.model.model(input_ids=input_ids, use_cache=False).last_hidden_state
            keep = labels != IGNORED
            return self._project(hidden[keep], labels[keep])

    def named_weights(self) -> Iterator[tuple[str, Tensor]]:
        """All weights under their `state_dict` names, detached, without copies."""
        for name, tensor in self.model.state_dict().items():
            yield name, tensor.detach()

    def _project(self, hidden: Tensor, labels: Tensor) -> Tensor:
        head = self.model.lm_head
        rows = max(1, _CHUNK_LOGITS // head.weight.shape[0])
        if hidden.shape[0] <= rows:
            return _head_log_probs(hidden, head.weight, labels)
        return torch.cat(
            [
                checkpoint(_head_log_probs, part, head.weight, target, use_reentrant=False)
                for part, target in zip(hidden.split(rows), labels.split(rows), strict=True)
            ]
        )

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self.device.type,
            dtype=torch.bfloat16,
            enabled=self.compute_dtype is torch.bfloat16,
        )


def load_policy(folder: Path, *, device: str, dtype: str) -> Policy:
    """Load a model folder for training.

    Args:
        folder: Holds config.json, safetensors and a tokenizer.
        device: `cpu` or `cuda`.
        dtype: Precision of the forward pass, `float32` or `bfloat16`; parameters stay float32.

    Raises:
        UserError: transformers cannot build a causal language model from the folder.
    """
    model = load_causal_lm(folder, "float32")
    model.to(device)
    model.train()
    compute_dtype = getattr(torch, dtype)
    if device == "cpu":
        passes, reason = written_out(model, compute_dtype)
    else:
        passes, reason = None, f"transformers' own passes, because the device is {device}"
    return Policy(
        model, load_tokenizer(folder), torch.device(device), compute_dtype, passes, reason
    )


def choose_device(wanted: str) -> str:
    """Resolve `auto` to CUDA when there is one.

    Raises:
        UserError: CUDA was asked for and there is none.
    """
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise UserError(
            "device cuda was asked for, but torch sees no GPU; use --device cpu or auto"
        )
    if wanted == "auto":
        return "cuda" if available else "cpu"
    return wanted


def _head_log_probs(hidden: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    logits = torch.nn.functional.linear(hidden, weight)
    wide = logits if logits.dtype is torch.float64 else logits.float()
    return token_log_probs(wide, labels)
