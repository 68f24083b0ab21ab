"""Tiny random transformers models, and the padded computation that packed rows must equal."""

import random
from types import MethodType
from typing import Any

import torch
from torch import Tensor

from core.models import prepare_imports
from trainers.objectives import sft_loss
from trainers.tokenization import IGNORED, Example, collate

VOCABULARY = 97


def tiny(architecture: str, **settings: Any) -> Any:
    """A two-layer model with weights large enough that every token matters."""
    prepare_imports()
    import transformers

    config = getattr(transformers, f"{architecture}Config")(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        **{
            "vocab_size": VOCABULARY,
            "num_key_value_heads": 2,
            "max_position_embeddings": 128,
            **settings,
        },
        initializer_range=0.3,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return getattr(transformers, f"{architecture}ForCausalLM")(config).train()


def exact(model: Any) -> Any:
    """The model in float64 throughout: transformers' norms round to float32, so they are replaced.

    Without this, two orders of summation that differ by 1e-16 can land on neighbouring float32
    numbers in a norm, and a comparison at 1e-10 would fail or pass by luck.
    """
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = MethodType(_norm, module)
    return model.double()


def _norm(self: Any, states: Tensor) -> Tensor:
    scale = torch.rsqrt(states.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
    return self.weight * states * scale


def example(length: int, seed: int, *, supervised: float = 0.6) -> Example:
    """Random tokens, each but the first supervised with the given chance."""
    draw = random.Random(f"{length}-{seed}")
    ids = tuple(draw.randrange(3, VOCABULARY) for _ in range(length))
    marks = (False, *(draw.random() < supervised for _ in range(length - 1)))
    return Example(f"p{seed}", ids, marks, 1, length)


def padded_log_probs(model: Any, examples: list[Example]) -> Tensor:
    """Full logits of right-padded rows under an attention mask; supervised labels in row order."""
    ids, labels = collate(examples, 0)
    lengths = torch.tensor([len(one.token_ids) - 1 for one in examples])
    mask = (torch.arange(ids.shape[1]) < lengths.unsqueeze(1)).long()
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    wide = logits if logits.dtype is torch.float64 else logits.float()
    keep = labels != IGNORED
    return torch.log_softmax(wide[keep], -1).gather(-1, labels[keep].unsqueeze(-1)).squeeze(-1)


def loss_and_gradients(model: Any, loss: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss, and every parameter's gradient after its backward pass."""
    loss.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    return loss.detach(), gradients


def padded_loss_and_gradients(
    model: Any, examples: list[Example], denominator: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """The reference of the exactness tests."""
    return loss_and_gradients(model, sft_loss(padded_log_probs(model, examples), denominator))
