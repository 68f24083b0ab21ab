"""The other side of `RemoteEngine`: a process that does what it is asked until its parent ends."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from core.engines.base import Completion, EngineError, InferenceEngine
from core.engines.cuda_ipc import SharedHandle, TheirMemory
from core.engines.staging import Attached
from core.engines.transfer import Receiver
from core.errors import UserError

if TYPE_CHECKING:
    import torch


def serve(
    connection: Connection,
    build: Callable[[], InferenceEngine],
    environment: Mapping[str, str | None],
    memory: Attached,
) -> None:
    """Build the engine, and do what is asked until the pipe or the parent ends.

    Args:
        connection: To the parent.
        build: Makes the engine.
        environment: Variables to set before that, or to remove where None.
        memory: Main memory that the parent sees too.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the parent decides, and kills
    _apply(environment)
    threading.Thread(target=_follow_parent, daemon=True).start()
    try:
        engine = build()
    except Exception as error:
        connection.send(("error", _portable(error)))
        return
    child = _Child(connection, engine, memory)
    connection.send(("value", (engine.name, engine.version, engine.dtype, engine.max_model_len)))
    while (request := connection.recv()) is not None:
        method, arguments = request
        try:
            value = child.do(method, arguments)
        except Exception as error:
            connection.send(("error", _portable(error)))
        else:
            connection.send(("value", value))
    child.close()


class _Child:
    def __init__(self, connection: Connection, engine: InferenceEngine, memory: Attached) -> None:
        self._connection = connection
        self._engine = engine
        self._memory = memory
        self._gpu: Any = None

    def do(self, method: str, arguments: Sequence[Any]) -> Any:
        if method == "generate":
            return self._generate(*arguments)
        if method == "load_weights":
            return self._load_weights(*arguments)
        if method == "open":
            return self._open(*arguments)
        return self._engine.sleep()

    def close(self) -> None:
        if self._gpu is not None:
            self._gpu.close()
        self._engine.close()

    def _generate(self, prompts: Any, sampling: Any) -> list[list[Completion]]:
        def progress(done: int, total: int) -> None:
            self._connection.send(("progress", (done, total)))

        return self._engine.generate(prompts, sampling, progress)

    def _open(self, handle: SharedHandle) -> str:
        """See the trainer's GPU memory, and say how weights come from there."""
        self._gpu = TheirMemory(handle)
        return _described(self._gpu.tensor.device)

    def _load_weights(self, on_gpu: bool) -> None:
        """Take the pieces until all have come; every one is answered, whatever happens to it."""
        import torch

        memory = self._gpu.tensor if on_gpu else self._memory.tensor
        device = "cuda" if torch.cuda.is_initialized() else "cpu"
        receiver = Receiver(getattr(torch, self._engine.dtype), torch.device(device))
        problem: Exception | None = None
        while not isinstance(pieces := self._connection.recv(), str):
            try:
                if problem is None:
                    receiver.take(memory, pieces)
            except Exception as error:
                problem = error
            self._connection.send(("value", None))
        if problem is not None:
            raise problem
        if pieces == "complete":
            self._engine.load_weights(receiver.drain())


def _described(device: "torch.device") -> str:
    import torch

    own = torch.device("cuda", torch.cuda.current_device())
    if device == own:
        return "within the GPU, from process to process (CUDA IPC)"
    if torch.cuda.can_device_access_peer(own, device):
        return "from GPU to GPU (CUDA IPC)"
    return "from GPU to GPU (CUDA IPC), by way of the host, as the GPUs do not reach each other"


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
    return EngineError(f"{type(error).__name__}: {' '.join(str(error).split())[:500]}")
