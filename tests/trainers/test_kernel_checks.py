"""Kernels that are asked for by name: refused before the run where they cannot work."""

import pytest

from core.config.schema import Attention, Compile, RunConfig, RunKind, TrainSettings
from core.errors import UserError
from trainers import kernel_checks
from trainers.kernel_checks import check_kernels


def config(kind: RunKind = RunKind.SFT, **train: object) -> RunConfig:
    return RunConfig(kind=kind, train=TrainSettings(**{"precision": "mixed", **train}))


@pytest.fixture(autouse=True)
def everything_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_checks.importlib.util, "find_spec", lambda name: object())


@pytest.mark.parametrize("attention", Attention)
@pytest.mark.parametrize("compile_", Compile)
def test_on_a_gpu_everything_may_be_asked_for(attention: Attention, compile_: Compile) -> None:
    check_kernels(config(attention=attention, compile=compile_), "cuda")


@pytest.mark.parametrize(
    ("train", "device", "reason"),
    [
        ({"attention": "flash"}, "cpu", "need CUDA, and this run trains on cpu"),
        ({"attention": "varlen", "gpus": 2}, "cuda", "several processes share the weights"),
        ({"attention": "varlen", "precision": "float32"}, "cuda", "--precision is float32"),
        ({"compile": "on"}, "cpu", "--compile on needs CUDA"),
        ({"compile": "on", "gpus": 2}, "cuda", "use --compile auto or --gpus 1"),
    ],
)
def test_what_cannot_work_is_refused_with_its_reason(
    train: dict[str, object], device: str, reason: str
) -> None:
    with pytest.raises(UserError, match=reason) as found:
        check_kernels(config(**train), device)
    assert "use --" in str(found.value)


def test_flash_attn_must_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_checks.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"install a5ctl\[flash\]"):
        check_kernels(config(attention="flash"), "cuda")
    check_kernels(config(attention="auto"), "cuda")


def test_a_run_that_only_evaluates_trains_with_no_kernel() -> None:
    check_kernels(config(RunKind.EVAL, attention="flash", compile="on"), "cpu")
