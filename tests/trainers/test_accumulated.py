"""Numbers of micro-batches: read at once, in their places."""

import torch

from trainers.accumulated import Accumulated, settled
from trainers.objectives.token_losses import number_or_scalar


def test_scalars_and_numbers_are_read_in_their_places() -> None:
    parts = [
        Accumulated(torch.tensor(0.5), 7, 0, torch.tensor(2.0)),
        Accumulated(1.25, 8, 3),
        Accumulated(torch.tensor(4.0, dtype=torch.float64), 9, 1, 6.0),
    ]
    found = settled(parts)
    assert [part.loss for part in found] == [0.5, 1.25, 4.0]
    assert [part.entropy_sum for part in found] == [2.0, None, 6.0]
    assert [(part.positions, part.padding) for part in found] == [(7, 0), (8, 3), (9, 1)]
    assert all(type(part.loss) is float for part in found)
    assert settled([]) == []


def test_on_a_cpu_a_number_is_read_at_once() -> None:
    assert number_or_scalar(torch.tensor(0.1, requires_grad=True)) == float(torch.tensor(0.1))
