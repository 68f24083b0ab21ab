"""Muon for matrices, Adam for the rest: the optimizer of pretraining, as functions over tensors.

Muon (https://kellerjordan.github.io/posts/muon/) steps along the momentum with its singular values
made equal; in small models it needs fewer tokens than Adam does.
"""

import torch

Tensors = dict[str, torch.Tensor]


def new_slots(weights: Tensors) -> Tensors:
    """Zeroed optimizer state: `NAME:m` for every weight, `NAME:v` where Adam is used."""
    slots = {f"{name}:m": torch.zeros_like(tensor) for name, tensor in weights.items()}
    rest = {name: tensor for name, tensor in weights.items() if not _is_matrix(name, tensor)}
    return slots | {f"{name}:v": torch.zeros_like(tensor) for name, tensor in rest.items()}


def update(
    weights: Tensors,
    gradients: Tensors,
    slots: Tensors,
    step: int,
    matrix_lr: float,
    other_lr: float,
) -> None:
    """One optimizer step in place: Muon on the matrices, Adam on embedding, norms and biases."""
    matrices: dict[str, list[str]] = {}
    for name, gradient in gradients.items():
        if _is_matrix(name, gradient):
            matrices.setdefault(name.split(".", 3)[-1], []).append(name)
        else:
            _adam(weights[name], gradient, slots, name, step, other_lr)
    momentum = 0.85 + 0.1 * min(1.0, step / 200)
    for names in matrices.values():
        for name in names:
            slots[f"{name}:m"].lerp_(gradients[name], 1 - momentum)
        looked_ahead = [gradients[n].lerp(slots[f"{n}:m"], momentum) for n in names]
        rows, columns = looked_ahead[0].shape
        scale = matrix_lr * max(1.0, rows / columns) ** 0.5
        for name, change in zip(names, orthogonalised(torch.stack(looked_ahead)), strict=True):
            weights[name].sub_(change, alpha=scale)


def _adam(
    weight: torch.Tensor, gradient: torch.Tensor, slots: Tensors, name: str, step: int, lr: float
) -> None:
    first, second = slots[f"{name}:m"], slots[f"{name}:v"]
    first.lerp_(gradient, 0.1)
    second.lerp_(gradient.square(), 0.02)
    divisor = (second / (1 - 0.98 ** (step + 1))).sqrt_().add_(1e-8)
    weight.addcdiv_(first, divisor, value=-lr / (1 - 0.9 ** (step + 1)))


def _is_matrix(name: str, tensor: torch.Tensor) -> bool:
    return tensor.ndim == 2 and "embed" not in name


def orthogonalised(matrices: torch.Tensor) -> torch.Tensor:
    """Nearest half-orthogonal matrices, roughly: Muon's five Newton-Schulz iterations.

    (..., rows, columns) -> the same shape; singular values end between about 0.7 and 1.2.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrices.bfloat16()
    tall = x.size(-2) > x.size(-1)
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if tall else x).float()
