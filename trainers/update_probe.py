"""How much of an update reaches the weights: rounding can swallow it, in silence.

A weight of 0.02 in bfloat16 has neighbours 0.0001 away: an update of 0.00002 leaves it as it was.
A few hundred weights are looked at before and after an update, every few steps, which costs a few
small copies. Where updates are rounded at random a weight may stay by chance; there it counts as
left unchanged only if it had no chance to move.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from trainers.bfloat16_adamw import Bfloat16AdamW

MEASURED_EVERY = 5
"""Updates between two measurements; which ones depends on the step alone, so a resume agrees."""

_TENSORS = 24
_PER_TENSOR = 32


@dataclass(slots=True)
class UpdateProbe:
    """Measures one optimizer; `attach` it once.

    Attributes:
        optimizer: An optimizer that keeps `exp_avg`, such as AdamW.
    """

    optimizer: torch.optim.Optimizer
    _armed: bool = False
    _before: list[tuple[Tensor, Tensor, Tensor]] = field(default_factory=list)
    _share: Tensor | None = None

    def attach(self) -> "UpdateProbe":
        """Look on at every update from now on."""
        self.optimizer.register_step_pre_hook(lambda *_: self._look())
        self.optimizer.register_step_post_hook(lambda *_: self._compare())
        return self

    def arm(self, step: int) -> None:
        """Measure the next update where its step is one of those measured."""
        self._armed = step % MEASURED_EVERY == 0 or step <= 2
        self._share = None

    def share(self) -> float | None:
        """Share of the sampled weights that the last update should have moved and did not."""
        return None if self._share is None else float(self._share)

    def _look(self) -> None:
        if self._armed:
            self._before = [
                (weight, places, weight[places])
                for weight, places in map(_sampled, self._matrices())
            ]

    def _compare(self) -> None:
        if not self._before:
            return
        same, meant = [], []
        for (weight, places, before), parameter in zip(self._before, self._matrices(), strict=True):
            moment = self.optimizer.state[parameter].get("exp_avg")
            if moment is None:
                continue
            # a row of the embedding that no example holds has no moment, and rightly stays
            moving = _flat(moment)[places] != 0
            stayed = self._stayed(parameter, weight, places, before)
            same.append((stayed & moving).sum())
            meant.append(moving.sum())
        self._before = []
        if meant:
            self._share = torch.stack(same).sum() / torch.stack(meant).sum().clamp(min=1)

    def _stayed(self, parameter: Tensor, weight: Tensor, places: Tensor, before: Tensor) -> Tensor:
        if isinstance(self.optimizer, Bfloat16AdamW) and self.optimizer.stochastic:
            return ~self.optimizer.moved(parameter, places, before)
        return weight[places] == before

    def _matrices(self) -> list[Tensor]:
        groups = [group for group in self.optimizer.param_groups if group["lr"] > 0]
        found = [p for group in groups for p in group["params"] if p.ndim >= 2]
        every = max(1, len(found) // _TENSORS)
        return found[::every][:_TENSORS]


def _sampled(parameter: Tensor) -> tuple[Tensor, Tensor]:
    """A matrix as one row, and places in it that are spread evenly."""
    row = _flat(parameter)
    return row, _places(row.numel(), row.device)


@lru_cache(maxsize=256)
def _places(count: int, device: torch.device) -> Tensor:
    places = torch.linspace(0, max(0, count - 1), _PER_TENSOR, dtype=torch.float64)
    return places.long().unique()[:count].to(device)


def _flat(tensor: Any) -> Tensor:
    """A view of the elements that this process holds."""
    local = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    row: Tensor = local.detach().reshape(-1)
    return row
