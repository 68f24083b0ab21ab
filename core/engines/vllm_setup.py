"""What vLLM needs before and around its construction: quiet logs, settings, cache size, devices."""

import contextlib
import gc
import json
import logging
import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.engines.base import EngineError
from core.engines.footprint import cache_bytes_per_token
from core.models import prepare_imports
from core.units import GIB, mib

# One process, no telemetry, no logging of its own. The engine's batch order must not depend on
# the environment of the person who runs it.
ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CONFIGURE_LOGGING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
MAX_SEQUENCES = 256
_KEPT_LINES = 40
_BLOCK = 128  # tokens per cache block on CPU; GPU blocks are smaller
_CACHE_LIMIT = 4 * GIB
_CACHE_SHARE_OF_FREE_MEMORY = 0.25


class LogBuffer(logging.Handler):
    """Keeps vLLM's last messages, so that an error can be explained without printing anything."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        """Store one message."""
        with contextlib.suppress(Exception):  # a malformed log call must not end a run
            self._lines.append(f"{record.levelname}: {record.getMessage()}")

    def add(self, text: str) -> None:
        """Store what was captured elsewhere, line by line."""
        self._lines.extend(line for line in text.splitlines() if line.strip())

    def errors(self) -> list[str]:
        """The stored errors, oldest first."""
        return [line for line in self._lines if line.startswith(("ERROR", "CRITICAL"))]


@contextlib.contextmanager
def quiet_logging(buffer: LogBuffer) -> Iterator[None]:
    """Send vLLM's and torch.distributed's messages to the buffer and to nobody else.

    Their levels stay, because the buffer has one: changing a level takes the lock of the whole
    logging module, which Python up to 3.12 keeps for good if Ctrl-C comes just then, and then the
    recorder's thread waits for it in vain.
    """
    loggers = [logging.getLogger(name) for name in ("vllm", "torch.distributed")]
    before = [(log, list(log.handlers), log.propagate) for log in loggers]
    for log in loggers:
        log.handlers[:] = [buffer]
        log.propagate = False
    try:
        yield
    finally:
        for log, handlers, propagate in before:
            log.handlers[:] = handlers
            log.propagate = propagate


@contextlib.contextmanager
def imports_set_aside() -> Iterator[None]:
    """Let vLLM collect its own garbage while it starts, and look at nothing else.

    It does so several times, and beside all that is imported by then each takes half a second. It
    sets aside what there is after its start itself, and takes all of it back when it shuts down.
    """
    gc.freeze()
    try:
        yield
    except BaseException:
        gc.unfreeze()
        raise


def register_architectures(model_dir: Path) -> None:
    """Load the model classes here instead of letting vLLM inspect them in a child process.

    The child would import torchvision, which is broken beside a CPU build of torch, and takes
    seconds to start; this process has the guard of `prepare_imports`.
    """
    prepare_imports()
    from vllm.model_executor.models import ModelRegistry

    config = json.loads((model_dir / "config.json").read_text(encoding="utf-8"))
    for name in config.get("architectures") or []:
        lazy = ModelRegistry.models.get(name)
        if lazy is not None and hasattr(lazy, "load_model_cls"):
            ModelRegistry.register_model(name, lazy.load_model_cls())


def cache_bytes(config: Any, dtype: str, max_model_len: int) -> int:
    """Bytes for the key-value cache on CPU: room for `MAX_SEQUENCES` full responses, at most.

    Never more than 4 GiB or a quarter of the free memory, never less than one full response:
    vLLM queues what does not fit.

    Args:
        config: The text config of a transformers model.
        dtype: Precision of the cache.
        max_model_len: Tokens of one full sequence.

    Raises:
        EngineError: not even one sequence fits into the free memory.
    """
    per_token = cache_bytes_per_token(config, dtype)
    one = (-(-max_model_len // _BLOCK) + 2) * _BLOCK * per_token
    free = _free_memory()
    if one > free:
        raise EngineError(
            f"one response of {max_model_len} tokens needs {mib(one)} of cache and only "
            f"{mib(free)} are free; lower the context length or stop other programs"
        )
    limit = min(_CACHE_LIMIT, int(free * _CACHE_SHARE_OF_FREE_MEMORY))
    return max(one, min(one * MAX_SEQUENCES, limit))


def _free_memory() -> int:
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return _CACHE_LIMIT
