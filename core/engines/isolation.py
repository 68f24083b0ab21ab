"""Leaving no trace: what an engine changes in its process is put back, so training is not moved.

vLLM in one process reseeds Python, NumPy and torch, sets environment variables, replaces
`torch.set_num_threads`, may bind memory to one NUMA node, and prints from C++.
"""

import contextlib
import ctypes
import os
import platform
import random
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from typing import TextIO

_SET_MEMPOLICY = {"x86_64": 238, "aarch64": 237}
_MPOL_DEFAULT = 0


@contextlib.contextmanager
def preserved_rng() -> Iterator[None]:
    """Put the random states of Python, NumPy, torch and every CUDA device back on exit."""
    import numpy as np
    import torch

    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    # asking an uninitialised CUDA for its states would initialise it
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)


@contextlib.contextmanager
def preserved_threads() -> Iterator[None]:
    """Put `torch.set_num_threads` (the function and its value) back on exit."""
    import torch

    setter, before = torch.set_num_threads, torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads = setter
        if torch.get_num_threads() != before:
            setter(before)


@contextlib.contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Set variables inside the block and put the whole environment back on exit.

    Yields:
        A dictionary that holds, after the block, what was set or changed inside it.
    """
    before = dict(os.environ)
    changed: dict[str, str] = {}
    os.environ.update(variables)
    try:
        yield changed
    finally:
        changed.update({k: v for k, v in os.environ.items() if before.get(k) != v})
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


@contextlib.contextmanager
def captured_stderr() -> Iterator[list[str]]:
    """Collect what native code writes to file descriptor 2; Python's own stderr stays connected.

    Yields:
        A list that holds the captured text after the block.
    """
    captured: list[str] = []
    try:
        saved = os.dup(2)
    except OSError:  # no standard error at all: nothing to protect
        yield captured
        return
    python_stderr = sys.stderr
    with tempfile.TemporaryFile() as sink:
        through = os.fdopen(os.dup(saved), "w", buffering=1, errors="replace", closefd=True)
        try:
            sys.stderr = _same_stream(python_stderr, through)
            os.dup2(sink.fileno(), 2)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield captured
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            if sys.stderr is through:
                sys.stderr = python_stderr
            through.close()
            sink.seek(0)
            captured.append(sink.read().decode(errors="replace"))


def release_memory_binding() -> None:
    """Undo a NUMA memory binding of this thread, so that training may use all memory again."""
    number = _SET_MEMPOLICY.get(platform.machine())
    if sys.platform != "linux" or number is None:
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).syscall(number, _MPOL_DEFAULT, None, 0)


def _same_stream(current: TextIO, through: TextIO) -> TextIO:
    """Redirect only a stream that writes to descriptor 2; captured or replaced ones stay."""
    try:
        return through if current.fileno() == 2 else current
    except (OSError, ValueError, AttributeError):
        return current
