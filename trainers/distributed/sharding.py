"""A policy whose weights, gradients and moments are spread over several processes by FSDP2.

FSDP gathers a layer's weights when its module is called and scatters its gradients behind it
(https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html). Losses are divided by
the supervised tokens of the whole update before the backward pass, so gradients are summed over
the processes, where FSDP by itself would average them.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from trainers.distributed.world import World
from trainers.optimization import Optimizer
from trainers.packed.prepare import Packing
from trainers.policy import Policy
from trainers.reading import PLAIN_READING, Reading


class _Root(nn.Module):
    """The whole forward pass as one module call, because FSDP works at module calls."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.model = policy.model
        self._policy = policy

    def forward(
        self, input_ids: Tensor, labels: Tensor, reading: Reading
    ) -> tuple[Tensor, Tensor | None]:
        """Log-probabilities and entropies as `Policy.read_targets` has them."""
        return self._policy.read_targets(input_ids, labels, reading)


@dataclass(slots=True)
class ShardedPolicy(Policy):
    """A policy of which this process holds a part; every method is called by all of them.

    Attributes:
        root: The forward pass with FSDP's hooks.
    """

    root: nn.Module = field(kw_only=True)

    def read_targets(
        self, input_ids: Tensor, labels: Tensor, reading: Reading = PLAIN_READING
    ) -> tuple[Tensor, Tensor | None]:
        """As for a whole policy; the processes may come with different examples."""
        return self.root(input_ids, labels, reading)

    def named_weights(self) -> Iterator[tuple[str, Tensor]]:
        """All weights under their `state_dict` names, gathered whole, one after the other.

        Tied weights are gathered once and stay one tensor.
        """
        yield from _whole_weights(self.model, lambda tensor: tensor)

    @torch.no_grad()
    def put_back(self, weights: Mapping[str, Tensor]) -> None:
        """Replace this process' part of all weights; all come with the same whole ones."""
        for name, tensor in self.model.state_dict().items():
            value = weights[name]
            tensor.copy_(_own_part(value, tensor) if isinstance(tensor, DTensor) else value)


@dataclass(slots=True)
class GatheredPolicy(Policy):
    """A policy to be read, not trained.

    Attributes:
        weights: All of them, whole.
    """

    weights: dict[str, Tensor] = field(kw_only=True)

    def named_weights(self) -> Iterator[tuple[str, Tensor]]:
        """All weights under their `state_dict` names."""
        yield from self.weights.items()


@dataclass(slots=True)
class ShardedOptimizer(Optimizer):
    """AdamW over the parts that this process holds."""

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back whole moments, whatever number of processes wrote them."""
        Optimizer.restore(self, tensors)
        for parameter, state in self.adamw.state.items():
            if isinstance(parameter, DTensor):
                for name, value in state.items():
                    if value.shape == parameter.shape:
                        state[name] = _own_part(value, parameter)


@dataclass(frozen=True, slots=True)
class GatheredOptimizer:
    """An optimizer to be read, not used.

    Attributes:
        moments: As `Optimizer.tensors` gives them.
    """

    moments: dict[str, Tensor]

    def tensors(self) -> dict[str, Tensor]:
        """The moments by name."""
        return self.moments


def shard(policy: Policy, world: World) -> Policy:
    """Keep only this process' part of the weights.

    Must come before the optimizer is built, and all processes must hold the same weights.
    """
    mesh = init_device_mesh(policy.device.type, (world.size,))
    root = _Root(policy)
    # gradients in bfloat16 are added up over the processes in float32, and rounded once
    sums = MixedPrecisionPolicy(reduce_dtype=torch.float32)
    for layer in policy.model.model.layers:
        fully_shard(layer, mesh=mesh, mp_policy=sums)
    fully_shard(root, mesh=mesh, mp_policy=sums)
    for module in root.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
    # written-out passes read the weights of layers whose modules they never call
    policy.passes = None
    policy.packing = Packing(None, "rows are padded: several processes share the weights")
    return ShardedPolicy(**_fields(policy), root=root)


def for_shards(optimizer: Optimizer) -> Optimizer:
    """The optimizer as it must be for a policy that `shard` returned."""
    return ShardedOptimizer(**_fields(optimizer))


def gathered(policy: Policy, optimizer: Optimizer, world: World) -> tuple[Any, Any]:
    """Policy and optimizer with whole tensors in main memory, to be read into a checkpoint.

    All processes take part; only the main one gets the tensors.
    """
    if not (isinstance(policy, ShardedPolicy) and isinstance(optimizer, ShardedOptimizer)):
        return policy, optimizer
    place: Callable[[Tensor], Any] = Tensor.cpu if world.main else _forget
    weights = dict(_whole_weights(policy.model, place))
    # one tensor after the other: a GPU never holds more than one of them whole
    moments = {name: place(_full(tensor)) for name, tensor in optimizer.tensors().items()}
    whole = {name: value for name, value in _fields(policy).items() if name != "root"}
    return GatheredPolicy(**whole, weights=weights), GatheredOptimizer(moments)


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _whole_weights(model: Any, place: Callable[[Tensor], Any]) -> Iterator[tuple[str, Any]]:
    owners = {name: id(p) for name, p in model.named_parameters(remove_duplicate=False)}
    uses = Counter(owners.values())
    tied: dict[int, Any] = {}
    for name, tensor in model.state_dict().items():
        # not by address, which empty parts lack: all processes must gather alike
        owner = owners.get(name, 0)
        if owner in tied:
            yield name, tied[owner]
            continue
        whole = place(_full(tensor.detach()))
        if uses[owner] > 1:
            tied[owner] = whole
        yield name, whole


def _forget(tensor: Tensor) -> None:
    """What the main process keeps, the others only helped to gather."""


def _full(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _own_part(value: Tensor, like: DTensor) -> Tensor:
    # every process has read the same file: each takes its part without asking the others
    whole = _full(value).to(like.device)
    with torch.no_grad():
        return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None)
