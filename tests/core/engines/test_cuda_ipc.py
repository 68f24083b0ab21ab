"""Calls of CUDA's driver, held against a library with the same functions in C."""

import ctypes
import shutil
import subprocess
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from core.engines import cuda_ipc
from core.engines.cuda_ipc import CudaIpcError, Driver, OwnMemory, TheirMemory

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Driver:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    library = tmp_path_factory.mktemp("driver") / "libdriver.so"
    source = Path(__file__).with_name("driver.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    return Driver(str(library))


def at(address: int, size: int, device: torch.device) -> torch.Tensor:
    content = (ctypes.c_ubyte * size).from_address(address)
    return torch.frombuffer(content, dtype=torch.uint8)


def test_what_one_side_writes_the_other_reads(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda_ipc, "_tensor_at", at)
    monkeypatch.setattr(cuda_ipc, "_current", lambda device: nullcontext())
    monkeypatch.setattr(cuda_ipc, "uuid_of", lambda device: "one")
    monkeypatch.setattr(cuda_ipc, "device_with", lambda uuid: CPU)
    own = OwnMemory(CPU, 1000, driver)
    assert (own.handle.uuid, own.handle.size, len(own.handle.handle)) == ("one", 1000, 64)
    their = TheirMemory(own.handle, driver)
    own.tensor[:] = torch.arange(1000).to(torch.uint8)
    assert their.tensor.equal(torch.arange(1000).to(torch.uint8))
    their.close()
    own.close()


def test_the_drivers_own_words_are_told(driver: Driver) -> None:
    with pytest.raises(CudaIpcError, match="cuMemAlloc answers CUDA_ERROR_OUT_OF_MEMORY"):
        driver.allocate(2**33)
    with pytest.raises(CudaIpcError, match="cuIpcOpenMemHandle answers CUDA_ERROR_INVALID_HANDLE"):
        driver.open(b"\0" * 64)


def test_without_a_driver_there_is_a_reason() -> None:
    with pytest.raises(CudaIpcError, match="the driver cannot be loaded"):
        Driver("libno-such-driver.so.1")
