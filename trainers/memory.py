"""How much memory a training step takes, estimated from the architecture."""

from typing import Any

_MICROBATCH_BYTES = 2**30
_FEWEST_TOKENS = 256
# on CPU small and well-filled beats large and padded; on CUDA launches must be worth their while
_MOST_TOKENS = {"cpu": 512, "cuda": 16384}


def activation_bytes_per_token(config: Any, element_bytes: int = 4) -> int:
    """Bytes that one token's activations take until the backward pass.

    Counts, per layer, what autograd keeps: about 12 tensors of the hidden size (norms, residuals,
    attention inputs and outputs), the queries, keys and values, and 4 of the MLP's size.

    Args:
        config: A transformers config with hidden_size, intermediate_size and num_hidden_layers.
        element_bytes: Bytes per number.
    """
    hidden, inner = config.hidden_size, config.intermediate_size
    return int(config.num_hidden_layers * (15 * hidden + 4 * inner) * element_bytes)


def microbatch_token_budget(config: Any, device: str, longest: int) -> int:
    """Token positions per forward pass that keep activations around one GiB.

    Args:
        config: The model's config.
        device: `cpu` or `cuda`.
        longest: Tokens of the longest example, which must fit alone.
    """
    fitting = _MICROBATCH_BYTES // activation_bytes_per_token(config)
    return max(longest, min(_MOST_TOKENS[device], max(_FEWEST_TOKENS, fitting)))
