"""The process of a remote engine: what reaches it, and that nothing of it is left."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from core.engines.base import EngineError
from core.engines.cuda_ipc import CudaIpcError, SharedHandle
from core.engines.remote import RemoteEngine
from tests.core.engines.silent import Silent

ROOT = Path(__file__).parents[3]
CUDA = torch.device("cuda", 0)


@pytest.fixture(scope="module")
def engine() -> Iterator[RemoteEngine]:
    found = RemoteEngine(Silent, {})
    yield found
    found.close()


def test_it_is_told_to_sleep_where_it_is(engine: RemoteEngine) -> None:
    ((child, before),) = engine.generate(["0"], None)  # type: ignore[arg-type]
    engine.sleep()
    assert engine.generate(["0"], None) == [[child, before + 1]]  # type: ignore[arg-type]
    assert child != os.getpid()


@pytest.mark.slow
def test_errors_come_back_as_one_sentence_and_the_engine_goes_on(engine: RemoteEngine) -> None:
    with pytest.raises(EngineError, match=r"^ValueError: one of them is wrong$"):
        engine.load_weights([("wrong", torch.zeros(3))])
    engine.load_weights([("right", torch.zeros(3))])


def test_weights_that_break_off_are_forgotten_and_the_engine_goes_on(engine: RemoteEngine) -> None:
    def broken() -> Iterator[tuple[str, torch.Tensor]]:
        yield "right", torch.zeros(5_000_000)  # more than the shared memory holds
        raise RuntimeError("another process was lost")

    with pytest.raises(RuntimeError, match="another process was lost"):
        engine.load_weights(broken())
    engine.load_weights([("right", torch.zeros(3))])
    assert engine.weight_path == "through main memory"


class Unshared:
    """Memory of a GPU for which the driver gives no handle."""

    def __init__(self, *_: object) -> None:
        raise CudaIpcError("CUDA's cuIpcGetMemHandle answers CUDA_ERROR_NOT_SUPPORTED")


class Unreachable:
    """Memory that the other process cannot open: here it sees no GPU at all."""

    closed = 0
    handle = SharedHandle(b"\0" * 64, "1234", 64)

    def __init__(self, *_: object) -> None:
        """Pretend to have it."""

    def close(self) -> None:
        """Count."""
        Unreachable.closed += 1


@pytest.mark.parametrize(
    ("memory", "reason"),
    [(Unshared, "CUDA_ERROR_NOT_SUPPORTED"), (Unreachable, "does not see GPU 1234")],
)
def test_where_a_gpu_cannot_be_shared_main_memory_is_and_the_reason_is_told(
    engine: RemoteEngine, monkeypatch: pytest.MonkeyPatch, memory: type, reason: str
) -> None:
    monkeypatch.setattr("core.engines.remote.OwnMemory", memory)
    monkeypatch.setattr(engine, "_tried_gpu", False)
    engine._share_gpu_memory(CUDA)
    assert engine.weight_path.startswith("through main memory, because ")
    assert reason in engine.weight_path
    assert engine._on_gpu is None
    assert Unreachable.closed == (memory is Unreachable)
    engine.load_weights([("right", torch.zeros(3))])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_neither_a_process_nor_a_file_is_left(number: signal.Signals, tmp_path: Path) -> None:
    before = set(os.listdir("/dev/shm"))
    trainer = subprocess.Popen(
        [sys.executable, "-m", "tests.core.engines.silent"],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert trainer.stdout is not None
    child = int(trainer.stdout.readline())
    assert Path(f"/proc/{child}").exists()
    trainer.send_signal(number)
    assert trainer.wait(30) == (130 if number is signal.SIGINT else -signal.SIGKILL)
    deadline = time.monotonic() + 30
    while _runs(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(child)
    assert not [name for name in set(os.listdir("/dev/shm")) - before if "a5ctl" in name]
    assert not list(tmp_path.iterdir())
    trainer.stdout.close()


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
