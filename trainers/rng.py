"""Every random number generator of the process, captured as tensors and put back."""

import json
import random

import numpy as np
import torch
from torch import Tensor

_TORCH, _NUMPY, _PYTHON = "torch", "numpy", "python"


def seed_everything(seed: int) -> None:
    """Seed python, numpy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def capture_rng() -> dict[str, Tensor]:
    """States of all generators as uint8 tensors, so that they fit into a safetensors file."""
    states = {
        _TORCH: torch.get_rng_state(),
        _NUMPY: _bytes(json.dumps(_numpy_state())),
        _PYTHON: _bytes(json.dumps(random.getstate())),
    }
    for index in range(torch.cuda.device_count()):
        states[f"cuda.{index}"] = torch.cuda.get_rng_state(index)
    return states


def restore_rng(states: dict[str, Tensor]) -> None:
    """Put back what `capture_rng` gave; GPUs that are no longer there are left out."""
    torch.set_rng_state(states[_TORCH])
    name, keys, position, has_gauss, gauss = json.loads(_text(states[_NUMPY]))
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, gauss))
    version, internal, gauss_next = json.loads(_text(states[_PYTHON]))
    random.setstate((version, tuple(internal), gauss_next))
    for index in range(torch.cuda.device_count()):
        if f"cuda.{index}" in states:
            torch.cuda.set_rng_state(states[f"cuda.{index}"], index)


def _numpy_state() -> list[object]:
    name, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    return [name, [int(key) for key in keys], position, has_gauss, gauss]


def _bytes(text: str) -> Tensor:
    return torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)


def _text(tensor: Tensor) -> str:
    return bytes(tensor.tolist()).decode()
