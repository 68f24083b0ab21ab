"""The meter reads what the system says, and keeps the engine's memory out of training's peak."""

from pathlib import Path

import pytest
import torch

from trainers import memory_meter
from trainers.memory_meter import MemoryMeter, available_memory

CPU = torch.device("cpu")
MIB = 2**20


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="ascii")


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 1000 MiB to be had and no control groups."""
    monkeypatch.setattr(memory_meter, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(memory_meter, "_CGROUPS", tmp_path / "cgroup")
    write(tmp_path / "proc" / "meminfo", f"MemTotal: 9 kB\nMemAvailable:  {1000 << 10} kB\n")
    return tmp_path


def use(system: Path, now: int, peak: int) -> None:
    """What the process uses in MiB, and the most since the last reset."""
    text = f"VmHWM:\t{peak << 10} kB\nVmRSS:\t{now << 10} kB\n"
    write(system / "proc" / "self" / "status", text)


def limit(system: Path, folder: str, most: str, used: int, cached: int = 0) -> None:
    write(system / "cgroup" / folder / "memory.max", f"{most}\n")
    write(system / "cgroup" / folder / "memory.current", f"{used}\n")
    write(system / "cgroup" / folder / "memory.stat", f"anon 5\ninactive_file {cached}\n")


def test_the_machine_decides_where_nothing_limits_the_process(system: Path) -> None:
    assert available_memory(CPU) == 1000 * MIB


def test_the_tightest_control_group_above_the_process_counts(system: Path) -> None:
    write(system / "proc" / "self" / "cgroup", "0::/jobs/mine\n")
    limit(system, "jobs", str(900 * MIB), 600 * MIB, cached=100 * MIB)
    limit(system, "jobs/mine", "max", 10 * MIB)
    assert available_memory(CPU) == 400 * MIB


def test_version_one_of_control_groups_counts_too(system: Path) -> None:
    write(system / "proc" / "self" / "cgroup", "4:memory:/mine\n0::/\n")
    folder = system / "cgroup" / "memory" / "mine"
    write(folder / "memory.limit_in_bytes", str(300 * MIB))
    write(folder / "memory.usage_in_bytes", str(200 * MIB))
    assert available_memory(CPU) == 100 * MIB


def test_unknown_is_none_and_not_nothing(system: Path) -> None:
    (system / "proc" / "meminfo").unlink()
    assert available_memory(CPU) is None


def test_the_engine_is_not_part_of_the_peak(system: Path) -> None:
    use(system, now=500, peak=700)
    meter = MemoryMeter.start(CPU, weights=100 * MIB)
    with meter.elsewhere():
        use(system, now=900, peak=2000)
    use(system, now=950, peak=1100)
    assert meter.apart(lambda step: step + 1)(4) == 5
    assert meter.peak == 300 * MIB
    use(system, now=950, peak=1050)
    assert meter.note() == 300 * MIB


def test_no_peak_is_told_where_it_cannot_be_reset(system: Path) -> None:
    use(system, now=500, peak=700)
    (system / "proc" / "self" / "clear_refs").mkdir()
    meter = MemoryMeter.start(CPU, weights=0)
    assert meter.note() is None


def test_this_process_is_measured() -> None:
    meter = MemoryMeter.start(CPU, weights=0)
    if meter.note() is None:
        pytest.skip("this system does not let a process reset its peak")
    held = torch.ones(64 * MIB // 4)
    assert (meter.note() or 0) >= 60 * MIB
    assert held.sum() > 0
