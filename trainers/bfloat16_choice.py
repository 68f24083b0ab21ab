"""What computes updates of bfloat16 weights on a device, and why: tried out before it is taken."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from core.errors import first_line
from trainers.bfloat16_adamw import Coefficients, State, Update, update_in_pieces

_TRIED = 5000
# of the numbers, so many may be rounded to the other neighbour: the kernel's float32 sums are fused
_OTHERWISE = 0.01
# a neighbour in bfloat16 is at most this share of a number away
_NEIGHBOUR = 2.0**-7


@dataclass(frozen=True, slots=True)
class UpdateChoice:
    """What computes the update of a tensor, and one sentence that says why."""

    update: Update
    reason: str


# an error message, or None where the kernel computes what it should
Trial = Callable[[torch.device], str | None]


def choose_update(device: torch.device, trial: Trial | None = None) -> UpdateChoice:
    """One kernel on CUDA where it works, else plain operations.

    Args:
        device: Of the parameters.
        trial: Runs the kernel there; `try_kernel` when None.
    """
    if device.type != "cuda":
        return UpdateChoice(update_in_pieces, "plain operations, as kernels need CUDA")
    problem = (trial or try_kernel)(device)
    if problem is not None:
        return UpdateChoice(update_in_pieces, f"plain operations, as the kernel {problem}")
    from trainers.bfloat16_kernel import update_by_kernel

    return UpdateChoice(update_by_kernel, "one kernel for each tensor")


def try_kernel(device: torch.device) -> str | None:
    """Compare the kernel with plain operations, for both ways to round.

    Returns:
        None when they agree; otherwise what went wrong, as the end of a sentence.
    """
    try:
        from trainers.bfloat16_kernel import update_by_kernel

        for keys in (None, (20_000_003, -1_234_567_891)):
            wanted, found = (replace(_example(device), keys=keys) for _ in range(2))
            update_in_pieces(wanted, _EXAMPLE)
            update_by_kernel(found, _EXAMPLE)
            for one, other in _pairs(found, wanted):
                if problem := _difference(one.float(), other.float()):
                    return problem
    # no Triton, no compiler for what it writes, a GPU it does not know: whatever it is, the other
    # way computes the same
    except Exception as error:
        return f"fails here ({first_line(error)})"
    return None


_EXAMPLE = Coefficients(rate=1e-3, kept=0.999, beta1=0.9, beta2=0.95, root=0.8, epsilon=1e-8)


def _example(device: torch.device) -> State:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(4, _TRIED, generator=generator)
    sizes = torch.tensor([0.02, 1e-3, 1e-3, 1e-6])[:, None]
    drawn[3].abs_()
    weight, gradient, first, second = (
        row.clone() for row in (drawn * sizes).to(device, torch.bfloat16)
    )
    scale = torch.full((), 0.7, device=device)
    return State(weight, gradient, first, second, scale, 3, None)


def _pairs(one: State, other: State) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(one.weight, other.weight), (one.first, other.first), (one.second, other.second)]


def _difference(found: torch.Tensor, wanted: torch.Tensor) -> str | None:
    near = (found - wanted).abs() <= _NEIGHBOUR * wanted.abs()
    share = (found != wanted).float().mean().item()
    if not bool(near.all()) or not share <= _OTHERWISE:
        return f"computes something else here (for {share:.1%} of the numbers)"
    return None
