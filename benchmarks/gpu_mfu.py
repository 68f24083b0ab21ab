"""Model FLOPs utilization: the share of a GPU's arithmetic that the work of training needs.

    MFU = needed FLOPs of the trained examples / (seconds * peak FLOP/s of the GPU)

The definition is that of PaLM (Chowdhery et al. 2022, arXiv:2204.02311, appendix B): what the
mathematics needs, once, whatever a program computes beside it. So padding, logits that nobody is
trained on and activations that are computed again lower it. For a decoder of `L` layers with
hidden size `H`, `K` key heads of `Q` query heads, MLP size `I`, and a vocabulary of `V`, trained
on examples of `t` positions of which `s` are supervised:

    weights of the layers     6 * L * (2 H^2 + 2 H^2 K/Q + 3 H I) * sum(t)
    vocabulary                6 * H * V * sum(s)
    causal attention          6 * L * H * sum(t^2)

6 is 2 FLOPs per multiply and add, once forward and twice backward. PaLM counts the whole square of
attention, twice as much; here only what a causal mask leaves is needed, so this MFU is the lower.

The peak is the datasheet's dense bfloat16 rate with float32 sums; `product_rate` in
`gpu_sft_work.py` measures beside it what one large matrix product reaches.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainers.random_model import ModelShape

# dense bfloat16 TFLOP/s from NVIDIA's datasheets (half of the rates given "with sparsity"); the
# first that fits counts, so longer names stand before those that they begin with
_PEAKS = (
    ("GH200", 989.0),
    ("H200", 989.0),
    ("H100 NVL", 835.0),
    ("H100 PCIE", 756.0),
    ("H100", 989.0),
    ("B200", 2250.0),
    ("A100", 312.0),
    ("L40S", 362.0),
    ("L40", 181.0),
    ("L4", 121.0),
    ("A10G", 70.0),
    ("A10", 125.0),
    ("RTX A6000", 155.0),
    ("RTX 4090", 165.0),
    ("RTX 3090", 71.0),
)


def peak_tflops(gpu: str) -> float | None:
    """Dense bfloat16 TFLOP/s of a GPU by the name that the driver gives; None where unknown."""
    for name, rate in _PEAKS:
        if re.search(rf"(?<![A-Z0-9]){re.escape(name)}(?![0-9])", gpu.upper()):
            return rate
    return None


def needed_flops(shape: "ModelShape", lengths: Sequence[int], supervised: int) -> float:
    """Forward and backward work of one pass over some examples.

    Args:
        shape: Sizes of the model.
        lengths: Positions of each example: its tokens less one, as the last predicts nothing.
        supervised: Positions that are trained on, of all examples.
    """
    hidden, inner, layers = shape.hidden_size, shape.intermediate_size, shape.num_hidden_layers
    keys = shape.num_key_value_heads * shape.head_dim
    per_token = layers * (2 * hidden * hidden + 2 * hidden * keys + 3 * hidden * inner)
    # scores and mixing: 2 products x 2 FLOPs x half a square, three times with the backward pass
    attention = sum(6 * layers * hidden * length * length for length in lengths)
    return 6.0 * (per_token * sum(lengths) + hidden * shape.vocab_size * supervised) + attention


def utilization(flops: float, seconds: float, peak: float | None) -> float | None:
    """MFU as a share of 1; None where the peak is unknown.

    Args:
        flops: Needed, of everything that took the seconds.
        seconds: Of the training, all of it.
        peak: Datasheet TFLOP/s.
    """
    return None if peak is None else flops / seconds / (peak * 1e12)
