"""Policies that are only read: their matrices in the format that products read them in."""

from torch import nn

from trainers.policy import Policy


def freeze(policy: Policy) -> Policy:
    """Take a policy's gradients away, and halve the weights that autocast would narrow anyway.

    Autocast rounds the matrix and the bias of a linear layer to bfloat16 at every use. Rounded once
    they give the same log-probabilities bit by bit. Embeddings and norms stay as they are: they are
    read in float32. Written-out passes keep copies of their own, so their policies stay too.
    """
    policy.model.requires_grad_(False)
    if not policy.precision.autocast or policy.passes is not None:
        return policy
    shared = policy.model.get_input_embeddings().weight
    for module in policy.model.modules():
        if isinstance(module, nn.Linear) and module.weight is not shared:
            module.to(policy.precision.compute)
    return policy
