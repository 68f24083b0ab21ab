"""Keeping torch's expandable segments out of memory that vLLM is going to put to sleep.

vLLM's sleep mode has an allocator of its own, beside which torch's expandable segments do not
work. Older versions refuse to start with them, newer ones switch them off for a moment.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping

VARIABLES = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
_SETTING = "expandable_segments"


@contextlib.contextmanager
def plain_segments(*, wanted: bool = True) -> Iterator[None]:
    """Switch expandable segments off inside the block, in torch and in the environment.

    Args:
        wanted: Otherwise nothing happens, as where they are not on.
    """
    settings = allocator_settings() if wanted else ""
    if not expands(settings):
        yield
        return
    plain = without_expanding(settings)
    before = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    try:
        os.environ.update(dict.fromkeys(before, plain))
        _tell_allocator(plain)
        yield
    finally:
        os.environ.update(before)
        _tell_allocator(settings)


def plain_environment(environment: Mapping[str, str]) -> dict[str, str | None]:
    """The variables that another process must have instead, to start without them."""
    return {
        name: without_expanding(environment[name])
        for name in VARIABLES
        if expands(environment.get(name, ""))
    }


def allocator_settings() -> str:
    """What torch's allocator was told, now or when the process began; as one line."""
    import torch

    if torch.cuda.is_initialized():
        found = torch.cuda.memory._snapshot().get("allocator_settings", {})
        for name in VARIABLES:
            if found.get(name):
                return str(found[name])
        if found.get(_SETTING):
            return f"{_SETTING}:True"
    return next((os.environ[name] for name in VARIABLES if os.environ.get(name)), "")


def expands(settings: str) -> bool:
    """Whether settings switch expandable segments on."""
    named = [part.partition(":") for part in settings.split(",")]
    return any(
        name.strip() == _SETTING and value.strip().lower() in ("true", "1")
        for name, _, value in named
    )


def without_expanding(settings: str) -> str:
    """The same settings with expandable segments off; torch forgets whatever is left out."""
    parts = [part.strip() for part in settings.split(",")]
    kept = [part for part in parts if part and part.partition(":")[0].strip() != _SETTING]
    return ",".join([*kept, f"{_SETTING}:False"])


def tells_allocator() -> bool:
    """Whether this torch can be told while it runs."""
    return _setter() is not None


def _tell_allocator(settings: str) -> None:
    import torch

    setter = _setter()
    if setter is not None and torch.cuda.is_initialized():
        setter(settings)


def _setter() -> Callable[[str], object] | None:
    import torch

    older = getattr(torch.cuda.memory, "_set_allocator_settings", None)
    found: Callable[[str], object] | None = getattr(
        torch._C, "_accelerator_setAllocatorSettings", older
    )
    return found
