"""Qwen2 models of known shapes with random weights, in memory alone."""

from typing import Any

import torch

from core.models import prepare_imports
from trainers.random_model import ModelShape, qwen2_config


def random_qwen2(
    shape: ModelShape, device: torch.device, dtype: torch.dtype = torch.float32
) -> Any:
    """A causal LM in training mode, the same at each call.

    Args:
        shape: Its sizes.
        device: Where it is made; weights are drawn there in float32.
        dtype: Of its weights.
    """
    prepare_imports()
    from transformers import Qwen2ForCausalLM

    torch.manual_seed(0)
    with device:
        model = Qwen2ForCausalLM(qwen2_config(shape))
    return model.to(dtype).train()
