"""Optimizer steps: AdamW, learning-rate schedules, gradient clipping, and budgets."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from core.config.schema import Schedule, TrainSettings
from core.errors import UserError
from trainers.bfloat16_adamw import Bfloat16AdamW
from trainers.bfloat16_choice import choose_update
from trainers.precision import FLOAT32, Precision


@dataclass(frozen=True, slots=True)
class LearningRate:
    """Learning rate as a pure function of the step: nothing to save, nothing to restore.

    Attributes:
        peak: Largest learning rate.
        schedule: Shape after warm-up.
        warmup: Share of the steps that rise linearly from peak / warm-up steps to the peak.
        floor: Last learning rate as a share of the peak (linear and cosine).
        total: Steps of the whole run.
    """

    peak: float
    schedule: Schedule
    warmup: float
    floor: float
    total: int

    def scaled(self, factor: float) -> "LearningRate":
        """The same course at another height."""
        return replace(self, peak=self.peak * factor)

    def at(self, step: int) -> float:
        """Learning rate of update `step`, counted from 1 to `total`."""
        rising = math.ceil(self.warmup * self.total)
        if step <= rising:
            return self.peak * step / rising
        if self.schedule is Schedule.CONSTANT:
            return self.peak
        progress = (step - rising) / max(1, self.total - rising)
        shape = {
            Schedule.LINEAR: 1.0 - progress,
            Schedule.COSINE: 0.5 * (1.0 + math.cos(math.pi * progress)),
        }[self.schedule]
        return self.peak * (self.floor + (1.0 - self.floor) * shape)


@dataclass(slots=True)
class Optimizer:
    """AdamW (Loshchilov & Hutter 2019) with global gradient clipping.

    Attributes:
        adamw: torch's fused AdamW, or ours for weights in bfloat16.
        parameters: What it updates.
        names: Their names in the model, in the same order.
        clip_norm: Largest global L2 norm of the gradient.
        how: What computes the updates, for the record.
    """

    adamw: torch.optim.AdamW | Bfloat16AdamW
    parameters: list[nn.Parameter]
    names: list[str]
    clip_norm: float
    how: str = ""

    def update(self, learning_rate: float, step: int | None = None) -> float:
        """Clip, step, and clear the gradients.

        Args:
            learning_rate: Of this update.
            step: Of the run, from 1: it chooses the random bits, where there are any.

        Returns:
            The gradient norm before clipping.
        """
        norm = self._clip()
        for group in self.adamw.param_groups:
            group["lr"] = learning_rate
        if isinstance(self.adamw, Bfloat16AdamW):
            self.adamw.number = step
        self.adamw.step()
        # the fused kernel leaves the version counters as they were; copies of weights go by them
        torch.autograd.graph.increment_version(self.parameters)
        self.adamw.zero_grad(set_to_none=True)
        return float(norm)

    def _clip(self) -> Tensor:
        if isinstance(self.adamw, Bfloat16AdamW):
            return self.adamw.clip(self.clip_norm)
        return nn.utils.clip_grad_norm_(self.parameters, self.clip_norm)

    def tensors(self) -> dict[str, Tensor]:
        """The moments as named tensors `<parameter name>.<moment>`, for a safetensors file."""
        return {
            f"{name}.{moment}": value
            for name, parameter in zip(self.names, self.parameters, strict=True)
            for moment, value in self.adamw.state.get(parameter, {}).items()
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` gave, under however these parameters are grouped now.

        Older checkpoints name moments `<index>.<moment>`, by the place of the parameter in AdamW's
        groups; they are understood too.

        Raises:
            UserError: moments belong to no parameter of this model, or are of another shape.
        """
        ordered = [parameter for group in self.adamw.param_groups for parameter in group["params"]]
        index_of = {parameter: index for index, parameter in enumerate(ordered)}
        places = {str(index): index for index in range(len(ordered))}
        places |= {
            name: index_of[parameter]
            for name, parameter in zip(self.names, self.parameters, strict=True)
        }
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            name, moment = key.rsplit(".", 1)
            index = places.get(name)
            if index is None or value.shape not in (ordered[index].shape, ()):
                raise UserError(
                    f"the checkpoint's optimizer state {key} of shape {tuple(value.shape)} fits no "
                    "parameter of this model; resume with the model that the run was started with"
                )
            state.setdefault(index, {})[moment] = value
        groups = self.adamw.state_dict()["param_groups"]
        self.adamw.load_state_dict({"state": state, "param_groups": groups})


def build_optimizer(
    named: Iterable[tuple[str, nn.Parameter]],
    settings: TrainSettings,
    *,
    precision: Precision = FLOAT32,
    seed: int = 0,
) -> Optimizer:
    """AdamW over all trainable parameters; vectors (norms, biases) are never decayed.

    Args:
        named: The parameters of the model, by name.
        settings: Decays, epsilon, clipping.
        precision: In which weights and moments are kept.
        seed: Of random roundings.
    """
    learning = {name: parameter for name, parameter in named if parameter.requires_grad}
    trainable = list(learning.values())
    matrices = [p for p in trainable if p.ndim >= 2]
    vectors = [p for p in trainable if p.ndim < 2]
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    betas = (settings.beta1, settings.beta2)
    if precision.weights is torch.bfloat16:
        choice = choose_update(trainable[0].device)
        ours = Bfloat16AdamW(
            groups,
            {parameter: name for name, parameter in learning.items()},
            betas=betas,
            epsilon=settings.epsilon,
            precision=precision,
            seed=seed,
            update=choice.update,
        )
        how = f"updates in float32 by {choice.reason}"
        return Optimizer(ours, trainable, list(learning), settings.clip_norm, how)
    # the rate is set before every update
    adamw = torch.optim.AdamW(groups, lr=0.0, betas=betas, eps=settings.epsilon, fused=True)
    how = "updates by torch's fused AdamW"
    return Optimizer(adamw, trainable, list(learning), settings.clip_norm, how)
