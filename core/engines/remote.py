"""An engine in a process of its own, on the trainer's GPU, on another one, or on the CPU.

vLLM connects with torch.distributed in its own way and takes the first GPU it sees; beside a
trainer that does the same it needs its own process, which may then have a GPU of its own.
"""

import contextlib
import multiprocessing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core.engines.base import (
    Completion,
    EngineError,
    GenerationProgress,
    InferenceEngine,
    Sampling,
    TokenPrompt,
)
from core.engines.remote_child import serve
from core.engines.staging import SharedMemory
from core.engines.transfer import Sender
from core.units import MIB

if TYPE_CHECKING:
    import torch

    from core.engines.cuda_ipc import OwnMemory

_LEAVE_WITHIN_S = 5.0
# enough that the messages about it take no part of the time
_GPU_STAGING = 64 * MIB


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
        self._memory = SharedMemory()
        self._on_gpu: OwnMemory | None = None
        self._tried_gpu = False
        self.weight_path = "through main memory"
        self._process = context.Process(
            target=serve, args=(theirs, build, dict(environment), self._memory), daemon=True
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
        """Hand the weights over in the engine's precision, from GPU to GPU where that works.

        They may change as soon as this returns.

        Raises:
            EngineError: names or shapes do not match, or the copy failed.
        """
        import torch

        weights = iter(weights)
        first = next(weights, None)
        if first is not None and first[1].device.type == "cuda":
            # what the trainer keeps for its next update may be missing on the other side
            torch.cuda.empty_cache()
            self._share_gpu_memory(first[1].device)
        memory = self._memory.tensor if self._on_gpu is None else self._on_gpu.tensor
        self._ask("load_weights", self._on_gpu is not None)
        sender = Sender(memory, getattr(torch, self.dtype), self._post, self._settle)
        try:
            sender.send(_chained(first, weights))
        except EngineError:
            raise
        except Exception:
            sender.finish()
            self._connection.send("forget")
            self._answer(None)
            raise
        self._connection.send("complete")
        self._answer(None)

    def sleep(self) -> None:
        """Let the engine give back its GPU memory; see `InferenceEngine.sleep`.

        Raises:
            EngineError: the engine failed, or its process has died.
        """
        self._ask("sleep")
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
        self._memory.close()
        if self._on_gpu is not None:
            self._on_gpu.close()
            self._on_gpu = None

    def _share_gpu_memory(self, device: "torch.device") -> None:
        """Let both processes see a piece of the policy's GPU; once, and for good."""
        if self._tried_gpu:
            return
        from core.engines.cuda_ipc import CudaIpcError, OwnMemory

        self._tried_gpu = True
        memory = None
        try:
            memory = OwnMemory(device, _GPU_STAGING)
            self._ask("open", memory.handle)
            self.weight_path = self._answer(None)
        except (CudaIpcError, EngineError) as error:
            if not self._process.is_alive():
                raise
            if memory is not None:
                memory.close()
            self.weight_path = f"through main memory, because {error}"
        else:
            self._on_gpu = memory

    def _post(self, pieces: Sequence[Any]) -> None:
        try:
            self._connection.send(pieces)
        except (OSError, ValueError) as error:
            raise self._gone() from error

    def _settle(self) -> None:
        self._answer(None)
        self._busy = True

    def _ask(self, method: str, *arguments: Any) -> None:
        try:
            self._connection.send((method, arguments))
        except (OSError, ValueError) as error:
            raise EngineError("the engine's process has gone; start another one") from error
        self._busy = True

    def _answer(self, on_progress: GenerationProgress | None) -> Any:
        self._busy = True
        while True:
            try:
                kind, value = self._connection.recv()
            except (EOFError, OSError) as error:
                raise self._gone() from error
            if kind == "progress":
                if on_progress is not None:
                    on_progress(*value)
                continue
            self._busy = False
            if kind == "error":
                raise value
            return value

    def _gone(self) -> EngineError:
        self._process.join(_LEAVE_WITHIN_S)
        return EngineError(f"the engine's process ended with code {self._process.exitcode}")


def _chained(
    first: "tuple[str, torch.Tensor] | None", rest: Iterable[tuple[str, "torch.Tensor"]]
) -> Iterable[tuple[str, "torch.Tensor"]]:
    if first is not None:
        yield first
    yield from rest
