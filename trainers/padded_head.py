"""From the hidden states of padded rows to log-probabilities, with torch's own gradient.

Logits exist for one chunk of targets at a time, and again for each in the backward pass.
"""

from itertools import repeat

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from trainers.packed.head_gradients import rows_at_once
from trainers.reading import Reading, chunks, read_with_graph


def project_targets(
    hidden: Tensor, weight: Tensor, labels: Tensor, reading: Reading
) -> tuple[Tensor, Tensor | None]:
    """Log-probability of each label and, if the reading asks for it, entropy; in nats.

    Args:
        hidden: Shape (S, H).
        weight: Shape (V, H): the output embedding.
        labels: Shape (S,), int64.
        reading: Of the labels.

    Returns:
        Shape (S,) each; float32, or float64 for float64 logits. Entropies have no gradient.
    """
    rows = rows_at_once(weight.shape[0], "cpu")  # on GPUs, too
    if hidden.shape[0] <= rows:
        return _read(hidden, weight, labels, reading)
    readings = map(reading.part, chunks(len(labels), rows))
    columns = zip(hidden.split(rows), repeat(weight), labels.split(rows), readings, strict=False)
    parts = [checkpoint(_read, *column, use_reentrant=False) for column in columns]
    log_probs, entropies = zip(*parts, strict=True)
    return torch.cat(log_probs), torch.cat(entropies) if reading.entropy else None


def _read(
    hidden: Tensor, weight: Tensor, labels: Tensor, reading: Reading
) -> tuple[Tensor, Tensor | None]:
    logits = torch.nn.functional.linear(hidden, weight)
    wide = logits if logits.dtype is torch.float64 else logits.float()
    return read_with_graph(wide, labels, reading)
