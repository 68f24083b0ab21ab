"""Whether a model can be trained on packed rows here, and with which kernel: known, then shown.

An architecture may mix tokens in ways that its configuration does not tell. So after the
questions that can be asked, the model itself is run: changing one example must leave every bit of
the other's log-probabilities as it was, and each example must score as it does alone.
"""

from dataclasses import dataclass
from typing import Any

import torch

from core.config.schema import Attention
from core.errors import first_line
from trainers.evaluation_mode import evaluating
from trainers.packed import attention
from trainers.packed.choice import (
    AttentionNeed,
    Installed,
    Trial,
    choose_kernel,
    find_installed,
    refuse_variable_length,
    try_kernel,
)
from trainers.packed.forward import supervised_log_probs_packed
from trainers.packed.kernels import Kernel
from trainers.packed.row import pack_row
from trainers.packed.trials import TrialTokens, trial_autocast, trial_tokens

# mean difference in nats between an example alone and within a row, by precision: above what
# rounding does (logits of 16 lie 0.125 apart in bfloat16, tf32 products lose 3 digits), below
# what a wrong position or scale does; that examples do not meet is asked bit for bit instead
_CLOSE = {torch.float64: 1e-4, torch.float32: 0.02}
_CLOSE_HALF = 0.25


@dataclass(frozen=True, slots=True)
class Packing:
    """The verdict.

    Attributes:
        kernel: What computes attention; None where rows must be padded.
        reason: Why, in one sentence for a person.
    """

    kernel: Kernel | None
    reason: str


def prepare_packed(
    model: Any,
    compute_dtype: torch.dtype,
    *,
    wanted: Attention = Attention.AUTO,
    installed: Installed | None = None,
    trial: Trial = try_kernel,
) -> Packing:
    """Switch a model to packed attention if it can do it, and leave it as it was if not.

    Padded calls of a prepared model give what they gave before.

    Args:
        model: A transformers causal LM on its device.
        compute_dtype: Of matrix products; autocast is entered for bfloat16 over wider weights.
        wanted: One kind of attention alone; `sdpa` works everywhere.
        installed: What could compute attention; looked up when None.
        trial: Tries a kernel out.

    Raises:
        UserError: the kind that is wanted does not work here.
    """
    refusal = structural_refusal(model)
    if refusal is not None:
        refuse_variable_length(wanted, refusal)
        return Packing(None, f"rows are padded: {refusal}")
    device = next(model.parameters()).device
    need = attention_need(model, device, compute_dtype)
    choice = choose_kernel(need, installed or find_installed(device), trial, wanted)
    attention.register()
    before = model.config._attn_implementation
    model.set_attn_implementation(choice.kernel.value)
    problem = _shown_problem(model, compute_dtype)
    if problem is not None:
        model.set_attn_implementation(before)
        refuse_variable_length(wanted, problem)
        return Packing(None, f"rows are padded: {problem}")
    return Packing(choice.kernel, choice.reason)


def structural_refusal(model: Any) -> str | None:
    """What in the architecture forbids packed rows, None if nothing known does."""
    config, name = model.config, type(model).__name__
    if not getattr(model, "_supports_attention_backend", False):
        return f"{name} does not let transformers exchange its attention"
    if getattr(config, "is_encoder_decoder", False):
        return f"{name} is an encoder-decoder"
    others = sorted(set(getattr(config, "layer_types", None) or ()) - {"full_attention"})
    if others:
        return f"{name} has layers of type {', '.join(others)}, and only full attention is known"
    if not getattr(config, "layer_types", None) and getattr(config, "sliding_window", None):
        return f"{name} attends within a sliding window of {config.sliding_window}"
    if getattr(config, "attention_dropout", 0.0):
        return f"{name} drops out attention weights"
    head = model.get_output_embeddings()
    if head is None or getattr(head, "bias", None) is not None:
        return f"{name} has no plain output embedding"
    return None


def attention_need(model: Any, device: torch.device, compute_dtype: torch.dtype) -> AttentionNeed:
    """What the model's layers will ask of a kernel, read from its configuration."""
    config = model.config
    heads = config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    key_heads = getattr(config, "num_key_value_heads", None) or heads
    parameter = next(model.parameters()).dtype
    dtype = compute_dtype if compute_dtype is torch.bfloat16 else parameter
    return AttentionNeed(device, dtype, heads, key_heads, size, size**-0.5)


def _shown_problem(model: Any, compute_dtype: torch.dtype) -> str | None:
    size = model.get_output_embeddings().weight.shape[0]
    first, other, second = (trial_tokens(*each, size) for each in ((7, 1), (7, 2), (12, 3)))
    device = next(model.parameters()).device
    with torch.no_grad(), evaluating(model), trial_autocast(model, compute_dtype):
        try:
            together, changed, alone = (
                supervised_log_probs_packed(model, pack_row(examples).to(device))
                for examples in ((first, second), (other, second), (second,))
            )
            own = _own_log_probs(model, second, device)
        except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
            return f"{type(model).__name__} does not take a packed row ({first_line(error)})"
    tail = len(alone)
    if not torch.equal(together[-tail:], changed[-tail:]):
        return f"in {type(model).__name__} one example of a packed row changes another"
    close = _CLOSE.get(together.dtype if compute_dtype is torch.float32 else compute_dtype)
    for found in (together[-tail:], alone):
        gap = (found - own).abs().mean().item()
        if not gap <= (close or _CLOSE_HALF):
            return f"{type(model).__name__} scores a packed example differently (by {gap:.2g} nats)"
    return None


def _own_log_probs(model: Any, tokens: TrialTokens, device: torch.device) -> torch.Tensor:
    """Log-probabilities from the model's own logits: whatever it does to them is in them."""
    ids = torch.tensor(tokens.token_ids, device=device)
    logits = model(input_ids=ids[:-1].unsqueeze(0), use_cache=False).logits[0]
    wide = logits if logits.dtype is torch.float64 else logits.float()
    return torch.log_softmax(wide, -1).gather(-1, ids[1:].unsqueeze(-1)).squeeze(-1)
