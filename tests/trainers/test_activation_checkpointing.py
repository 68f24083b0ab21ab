"""Activation checkpointing changes no bit of the loss and of any gradient, only what is kept."""

import pytest
import torch

from core.config.schema import Supervise
from tests.trainers.test_sft import encoded
from trainers.activation_checkpointing import (
    activation_checkpointing_is_on,
    set_activation_checkpointing,
)
from trainers.policy import Policy
from trainers.tokenization import collate


def loss_and_gradients(policy: Policy) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    ids, labels = collate(encoded(policy, Supervise.RESPONSE), 0)
    policy.model.zero_grad()
    loss = -policy.read_targets(ids, labels)[0].sum()
    loss.backward()
    return loss.detach(), {n: p.grad.clone() for n, p in policy.model.named_parameters()}


def passes_of_a_layer(policy: Policy) -> int:
    seen: list[int] = []
    mlp = policy.model.model.layers[0].mlp
    handle = mlp.register_forward_pre_hook(lambda *_: seen.append(1))
    loss_and_gradients(policy)
    handle.remove()
    return len(seen)


@pytest.mark.parametrize("double", [False, True])
def test_loss_and_gradients_are_bitwise_the_same(policy: Policy, double: bool) -> None:
    if double:
        policy.model.double()
    loss, gradients = loss_and_gradients(policy)
    set_activation_checkpointing(policy.model, on=True)
    again, recomputed = loss_and_gradients(policy)
    assert torch.equal(loss, again)
    assert all(torch.equal(gradient, recomputed[name]) for name, gradient in gradients.items())


def test_layers_are_computed_twice_only_while_it_is_on(policy: Policy) -> None:
    assert not activation_checkpointing_is_on(policy.model)
    assert passes_of_a_layer(policy) == 1
    set_activation_checkpointing(policy.model, on=True)
    assert activation_checkpointing_is_on(policy.model)
    assert passes_of_a_layer(policy) == 2
    set_activation_checkpointing(policy.model, on=False)
    assert not activation_checkpointing_is_on(policy.model)
    assert passes_of_a_layer(policy) == 1
