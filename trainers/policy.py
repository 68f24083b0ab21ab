"""The model being trained: loading, precision, and log-probabilities without full logits."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from core.errors import UserError
from core.models import load_tokenizer
from core.pretrained import load_causal_lm
from trainers.objectives import token_log_probs
from trainers.tokenization import IGNORED

# logits that one chunk may hold; about 64 MiB in float32, small beside any model that needs chunks
_CHUNK_LOGITS = 16 * 1024 * 1024


@dataclass(slots=True)
class Policy:
    """A causal language model with its tokenizer, ready to train.

    Attributes:
        model: A transformers causal LM; parameters are float32, also under bfloat16 autocast.
        tokenizer: Its tokenizer.
        device: Where the parameters are.
        compute_dtype: Precision of the forward pass.
    """

    model: Any
    tokenizer: Any
    device: torch.device
    compute_dtype: torch.dtype

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
    return Policy(model, load_tokenizer(folder), torch.device(device), getattr(torch, dtype))


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
