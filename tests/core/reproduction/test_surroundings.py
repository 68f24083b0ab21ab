"""What differs between two records of where a run was made."""

import hashlib
from typing import Any

import pytest

from core.reproduction.surroundings import Aspect, differences
from core.reproduction.threads import set_thread_variables

RECORD: dict[str, Any] = {
    "argv": ["a5ctl"],
    "git": {"commit": "c" * 40, "dirty": False, "diff": "", "diff_hash": None, "untracked": {}},
    "python": "CPython 3.11.1",
    "packages": {"torch": "2.13.0", "scipy": "1.17"},
    "machine": {"os": "Linux", "cpu": "A", "usable_cores": 2, "memory_bytes": 1, "gpus": []},
    "process": {"host": "here", "pid": 1, "started": "x"},
    "threads": {"torch": 1, "torch_interop": 2, "OMP_NUM_THREADS": "1"},
    "numerics": {"blas": "mkl", "deterministic": False},
    "environment": {"OMP_NUM_THREADS": "1", "VLLM_USE_V1": "1", "COLUMNS": "80"},
}


def changed(part: str, **values: Any) -> dict[str, Any]:
    return RECORD | {part: RECORD[part] | values}


def told(now: dict[str, Any], recorded: dict[str, Any] = RECORD) -> list[tuple[Any, ...]]:
    return [(d.aspect, d.name, d.recorded, d.now) for d in differences(recorded, now)]


def test_command_line_process_and_memory_are_no_difference():
    other = changed("process", pid=2, host="there") | {"argv": ["a5ctl", "reproduce"]}
    assert told(other) == []
    assert told(changed("machine", memory_bytes=2)) == []


def test_width_of_the_terminal_and_places_of_caches_are_no_difference():
    assert told(changed("environment", COLUMNS="200", TORCHINDUCTOR_CACHE_DIR="/tmp/x")) == []


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (changed("git", commit="d" * 40), (Aspect.CODE, "commit", "c" * 12, "d" * 12)),
        (
            changed("git", untracked={"core/new.py": "e" * 64}),
            (Aspect.CODE, "untracked core/new.py", None, "e" * 12),
        ),
        (RECORD | {"python": "3.12"}, (Aspect.PACKAGES, "python", "CPython 3.11.1", "3.12")),
        (
            RECORD | {"packages": {"torch": "2.14.0"}},
            (Aspect.PACKAGES, "torch", "2.13.0", "2.14.0"),
        ),
        (changed("packages", vllm="1"), (Aspect.PACKAGES, "vllm", None, "1")),
        (changed("machine", cpu="B"), (Aspect.HARDWARE, "cpu", "A", "B")),
        (changed("threads", torch=2), (Aspect.THREADS, "torch", 1, 2)),
        (changed("numerics", blas="other"), (Aspect.NUMERICS, "blas", "mkl", "other")),
        (
            changed("environment", VLLM_USE_V1="0"),
            (Aspect.ENVIRONMENT, "VLLM_USE_V1", "1", "0"),
        ),
        (changed("environment", HF_X="1"), (Aspect.ENVIRONMENT, "HF_X", None, "1")),
    ],
)
def test_every_aspect_is_compared(now, expected):
    assert expected in told(now)


def test_places_and_display_are_no_difference():
    now = changed("environment", COLUMNS="200", NO_COLOR="1", A5CTL_HOME="/x", SLURM_JOB_ID="7")
    assert told(now) == []


def test_uncommitted_changes_are_told_apart_by_their_hash_also_in_older_records():
    older = RECORD | {"git": {"commit": "c" * 40, "dirty": True, "diff": "+x\n"}}
    digest = hashlib.sha256(b"+x\n").hexdigest()
    assert told(changed("git", diff="+x\n", diff_hash=digest), older) == []
    assert [row[1] for row in told(RECORD, older)] == ["uncommitted changes"]


def test_what_an_older_record_lacks_is_not_compared():
    older = {name: RECORD[name] for name in ("git", "packages", "python")}
    assert told(changed("numerics", blas="x") | {"machine": {"cpu": "B"}}, older) == []
    assert told(RECORD, {}) == []


def test_thread_variables_are_set_as_recorded(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    monkeypatch.setenv("MKL_NUM_THREADS", "8")
    monkeypatch.delenv("RAYON_NUM_THREADS", raising=False)
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    said = set_thread_variables({"environment": {}, "threads": {"OMP_NUM_THREADS": "1"}})
    assert said == [
        "OMP_NUM_THREADS is set to 1 as it was recorded (here it was 8)",
        "MKL_NUM_THREADS is unset as it was recorded (here it was 8)",
    ]
    assert set_thread_variables({"environment": {}, "threads": {"OMP_NUM_THREADS": "1"}}) == []
    assert set_thread_variables({}) == []
