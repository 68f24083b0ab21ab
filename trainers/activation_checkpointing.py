"""Activation checkpointing: layers forget inner activations and compute them again backward.

It costs about a third more arithmetic and leaves the loss and every gradient as they are, bit by
bit on CPU. It is off unless memory asks for it.
"""

from typing import Any


def set_activation_checkpointing(model: Any, *, on: bool) -> None:
    """Switch it on or off for all layers of a transformers model; takes effect at once."""
    if on:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    elif activation_checkpointing_is_on(model):
        model.gradient_checkpointing_disable()


def activation_checkpointing_is_on(model: Any) -> bool:
    """Whether the layers of this model are checkpointed; any other forward pass asks here too."""
    return bool(getattr(model, "is_gradient_checkpointing", False))
