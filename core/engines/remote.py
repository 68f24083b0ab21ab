"""An engine in a process of its own, for trainers whose process an engine cannot share.

vLLM connects with torch.distributed in its own way and takes the first GPU it sees; beside a
trainer that does the same it needs its own process, which may then have a GPU of its own.
"""

import contextlib
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.engines.base import (
    Completion,
    EngineError,
    GenerationProgress,
    InferenceEngine,
    Sampling,
    TokenPrompt,
)
from core.errors import UserError

if TYPE_CHECKING:
    import torch

_MEMORY_FOLDER = Path("/dev/shm")
_LEAVE_WITHIN_S = 5.0


class RemoteEngine:
    """Speaks for an engine that runs in a child process; see `InferenceEngine`."""

    def __init__(
        self, build: Callable[[], InferenceEngine], environment: Mapping[str, str | None]
    ) -> None:
        """Start the process and the engine in it.

        Args:
            build: Makes the engine; must be picklable, and not import torch when it is unpickled.
            environment: Variables to set there, or to remove where None.

        Raises:
            UserError, EngineError: the engine cannot start.
        """
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, build, dict(environment)), daemon=True
        )
        self._process.start()
        theirs.close()
        self._busy = False
        try:
            self.name, self.version, self.dtype, self.max_model_len = self._answer(None)
        except BaseException:
            self.close()
            raise

    def generate(
        self,
        prompts: Sequence[str | TokenPrompt],
        sampling: Sampling,
        on_progress: GenerationProgress | None = None,
    ) -> list[list[Completion]]:
        """Complete every prompt `sampling.n` times; see `InferenceEngine.generate`.

        Raises:
            UserError: a prompt does not fit, or a sampling setting is out of range.
            EngineError: the engine failed, or its process has died.
        """
        self._ask("generate", list(prompts), sampling)
        found: list[list[Completion]] = self._answer(on_progress)
        return found

    def load_weights(self, weights: Iterable[tuple[str, "torch.Tensor"]]) -> None:
        """Hand the weights over in a file, in memory where there is room for it.

        Raises:
            EngineError: names or shapes do not match, or the copy failed.
        """
        from safetensors.torch import save_file

        tensors = _distinct(weights)
        size = sum(tensor.nbytes for tensor in tensors.values())
        with tempfile.TemporaryDirectory(prefix="a5ctl-weights-", dir=_room_for(size)) as folder:
            path = Path(folder) / "weights.safetensors"
            save_file(tensors, path)
            self._ask("load_weights", path)
            self._answer(None)

    def close(self) -> None:
        """End the process, at once if it is at work."""
        if not self._busy:
            with contextlib.suppress(OSError):
                self._connection.send(None)
            self._process.join(_LEAVE_WITHIN_S)
        self._process.kill()
        self._process.join()
        self._connection.close()

    def _ask(self, method: str, *arguments: Any) -> None:
        try:
            self._connection.send((method, arguments))
        except (OSError, ValueError) as error:
            raise EngineError("the engine's process has gone; start another one") from error

    def _answer(self, on_progress: GenerationProgress | None) -> Any:
        self._busy = True
        while True:
            try:
                kind, value = self._connection.recv()
            except (EOFError, OSError) as error:
                self._process.join(_LEAVE_WITHIN_S)
                code = self._process.exitcode
                raise EngineError(f"the engine's process ended with code {code}") from error
            if kind == "progress":
                if on_progress is not None:
                    on_progress(*value)
                continue
            self._busy = False
            if kind == "error":
                raise value
            return value


def _serve(
    connection: Connection,
    build: Callable[[], InferenceEngine],
    environment: Mapping[str, str | None],
) -> None:
    """The child: do what is asked until the pipe or the parent ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the parent decides, and kills
    _apply(environment)
    threading.Thread(target=_follow_parent, daemon=True).start()
    try:
        engine = build()
    except Exception as error:
        connection.send(("error", _portable(error)))
        return
    connection.send(("value", (engine.name, engine.version, engine.dtype, engine.max_model_len)))
    while (request := connection.recv()) is not None:
        method, arguments = request
        try:
            value = _do(engine, method, arguments, connection)
        except Exception as error:
            connection.send(("error", _portable(error)))
        else:
            connection.send(("value", value))
    engine.close()


def _do(
    engine: InferenceEngine, method: str, arguments: Sequence[Any], connection: Connection
) -> list[list[Completion]] | None:
    if method == "generate":
        prompts, sampling = arguments

        def progress(done: int, total: int) -> None:
            connection.send(("progress", (done, total)))

        return engine.generate(prompts, sampling, progress)
    from safetensors.torch import load_file

    engine.load_weights(load_file(arguments[0]).items())
    return None


def _apply(environment: Mapping[str, str | None]) -> None:
    for name, value in environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
    os._exit(1)


def _portable(error: Exception) -> Exception:
    """An error that the parent can raise: its own where it is foreseen, else its words."""
    if type(error) in (UserError, EngineError):
        return type(error)(str(error))
    return EngineError(f"{type(error).__name__}: {error}")


def _distinct(weights: Iterable[tuple[str, "torch.Tensor"]]) -> dict[str, "torch.Tensor"]:
    """The tensors in main memory; a file cannot hold two that share their memory."""
    tensors: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for name, tensor in weights:
        # addresses of tensors that are kept: a freed one would pass its own on to the next
        copy = tensor.detach().cpu().contiguous()
        if copy.data_ptr() not in seen:
            seen.add(copy.data_ptr())
            tensors[name] = copy
    return tensors


def _room_for(size: int) -> Path | None:
    if _MEMORY_FOLDER.is_dir() and shutil.disk_usage(_MEMORY_FOLDER).free > 1.2 * size:
        return _MEMORY_FOLDER
    return None
