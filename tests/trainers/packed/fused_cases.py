"""What the row kernel must compute, run by Triton's interpreter: `test_fused_loss` starts this.

The interpreter is chosen when a kernel is declared, so it needs a process of its own.
"""

import os

os.environ["TRITON_INTERPRET"] = "1"

import torch
from torch import Tensor

from trainers.logit_rules import LogitRules
from trainers.objectives import SftLoss
from trainers.packed.fused_loss import fused_loss, fused_targets, fused_token_loss
from trainers.packed.projection import (
    chunked_loss,
    chunked_targets,
    chunked_token_loss,
)
from trainers.packed.row_kernel import read_and_write, read_rows, write_gradient
from trainers.reading import Reading

WARM = Reading(LogitRules(temperature=0.7), entropy=True)


def uneven(log_probs: Tensor, places: Tensor) -> Tensor:
    """A loss whose slope differs from target to target and with their log-probabilities."""
    return ((places + 1) * (log_probs + 0.1 * log_probs.square())).sum()


def check_rows(columns: int, dtype: torch.dtype, temperature: float) -> None:
    """Against float64, for rows that are flat, peaked at the label, and peaked elsewhere."""
    generator = torch.Generator().manual_seed(columns)
    logits = (torch.randn(4, columns, generator=generator) * 4).to(dtype)
    logits[1, 3], logits[2, 4] = 19.0, 30.0
    labels = torch.tensor([columns - 1, 3, 7, 0])
    slopes = torch.tensor([-0.5, 2.0, 1.0, 0.0])
    exact = logits.double() / temperature
    log_shares = exact.log_softmax(-1)
    shares = log_shares.exp()
    wanted = log_shares.gather(1, labels[:, None])[:, 0]
    entropies = -(shares * log_shares).sum(-1)
    pulled = torch.nn.functional.one_hot(labels, columns) - shares
    pulled *= slopes[:, None].double() / temperature
    kept = logits.clone()
    totals, log_probs, entropy = read_rows(logits, labels, temperature=temperature, entropy=True)
    assert torch.equal(logits, kept)
    assert entropy is not None
    torch.testing.assert_close(log_probs.double(), wanted, rtol=1e-5, atol=3e-6)
    torch.testing.assert_close(entropy.double(), entropies, rtol=1e-5, atol=3e-6)
    write_gradient(logits, labels, slopes, totals, log_probs, temperature=temperature)
    share = 1e-5 if dtype is torch.float32 else 0.01
    for row in range(4):
        apart = (logits[row].double() - pulled[row]).norm()
        assert apart <= share * pulled[row].norm() + 1e-6, (columns, dtype, row)
    at_once, also = read_and_write(kept, labels, slopes, temperature=temperature, entropy=True)
    assert also is not None
    assert torch.equal(kept, logits)
    assert torch.equal(at_once, log_probs)
    assert torch.equal(also, entropy)


def tensors(positions: int) -> tuple[Tensor, Tensor, Tensor]:
    """States, vocabulary matrix and labels."""
    generator = torch.Generator().manual_seed(positions)
    hidden = torch.randn(positions, 8, generator=generator).requires_grad_()
    weight = torch.randn(37, 8, generator=generator).requires_grad_()
    return hidden, weight, torch.randint(37, (positions,), generator=generator)


def same(ours: Tensor, theirs: Tensor, inputs: tuple[Tensor, Tensor], share: float) -> None:
    """Equal losses and gradients."""
    torch.testing.assert_close(ours, theirs, rtol=share, atol=share)
    found, wanted = (torch.autograd.grad(3.0 * loss, inputs) for loss in (ours, theirs))
    for mine, other in zip(found, wanted, strict=True):
        assert (mine - other).norm() <= share * other.norm() + 1e-12


def check_losses(positions: int, chunk_logits: int | None, *, half: bool) -> None:
    """Against the form by torch's operations."""
    hidden, weight, labels = tensors(positions)
    share = 0.02 if half else 1e-5
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        ours = fused_loss(hidden, weight, labels, 5.0, chunk_logits)
        theirs = chunked_loss(hidden, weight, labels, 5.0)
        same(ours, theirs, (hidden, weight), share)
        for reading in (Reading(), WARM):
            found, seen = fused_token_loss(hidden, weight, labels, uneven, reading, chunk_logits)
            wanted, other = chunked_token_loss(hidden, weight, labels, uneven, reading)
            same(found, wanted, (hidden, weight), share)
            read = fused_targets(hidden, weight, labels, reading, chunk_logits)
            expected = chunked_targets(hidden, weight, labels, reading)
            for one in (seen, read):
                torch.testing.assert_close(one.log_probs, other.log_probs, rtol=0, atol=share)
            torch.testing.assert_close(read.log_probs, expected.log_probs, rtol=0, atol=share)
            assert (read.entropy is None) == (expected.entropy is None) == (not reading.entropy)
            if expected.entropy is not None and read.entropy is not None:
                torch.testing.assert_close(read.entropy, expected.entropy, rtol=0, atol=share)


def check_frozen_head() -> None:
    """Only the states learn; and a second backward pass is refused, not wrong."""
    hidden, weight, labels = tensors(6)
    weight.requires_grad_(False)
    loss = fused_token_loss(hidden, weight, labels, SftLoss(2.0))[0]
    wanted = chunked_loss(hidden, weight, labels, 2.0)
    (mine,) = torch.autograd.grad(loss, hidden, retain_graph=True)
    (other,) = torch.autograd.grad(wanted, hidden)
    torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-7)
    try:
        torch.autograd.grad(loss, hidden)
    except RuntimeError as error:
        assert "modified by an inplace operation" in str(error)  # noqa: PT017
    else:
        raise AssertionError("gradients that were scaled once were scaled again")


def main() -> None:
    """All cases."""
    for columns in (31, 5003):
        for dtype in (torch.float32, torch.bfloat16):
            for temperature in (1.0, 0.7):
                check_rows(columns, dtype, temperature)
    for positions in (0, 1, 9):
        for chunk_logits in (None, 150):
            for half in (False, True):
                check_losses(positions, chunk_logits, half=half)
    check_frozen_head()
    print("all equal")


if __name__ == "__main__":
    main()
