"""A disk that is really full, and a folder that really cannot be written: mounted for the test."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.registry.journal import JOURNAL_NAME, merge_journal
from core.registry.records import RunStatus
from core.registry.store import Registry, open_registry

ROOT = Path(__file__).parents[3]
_BEGIN = """
import json, subprocess, sys, time
from pathlib import Path
from core.registry.recorder import Recorder
from core.registry.store import open_registry
from tests.core.registry.conftest import answer, evaluation_result, new_run
small, roomy = Path(sys.argv[1]), Path(sys.argv[2])
def mount(*options):
    subprocess.run(["mount", *options, str(small)], check=True)
mount("-t", "tmpfs", "-o", "size=1m", "tmpfs")
registry = open_registry(f"sqlite:///{small / 'registry.db'}", busy_timeout=0.1)
run = registry.create_run(new_run(id="sft-test"))
problems = []
"""
_END = """
integrity = registry.database.read("PRAGMA integrity_check")
steps = [p.step for p in registry.metrics(run.uuid)["loss"]]
status = registry.run_by_uuid(run.uuid).status.value
registry.close()
import shutil
shutil.copytree(small, roomy / "kept", ignore=shutil.ignore_patterns("filler"))
print(json.dumps({"problems": problems, "integrity": integrity, "steps": steps, "status": status}))
"""
_FULL_DATABASE = """
with Recorder(registry, run.uuid, roomy / "run", interval=0.01) as recorder:
    recorder.metrics(1, {"loss": 1.0})
    recorder.flush(60)
    filler = small / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
    for step in range(2, 200):
        recorder.metrics(step, {f"loss": 1.0, f"other-{step}": 2.0})
    late = time.monotonic() + 30
    while recorder.problem is None and time.monotonic() < late:
        recorder.flush(0.5)
    problems.append(recorder.problem)
    filler.unlink()
"""
_FULL_BOTH = _FULL_DATABASE.replace('roomy / "run"', 'small / "run"')
_READ_ONLY = """
with Recorder(registry, run.uuid, roomy / "run", interval=0.01) as recorder:
    recorder.metrics(1, {"loss": 1.0})
    recorder.flush(60)
    registry.close()
    mount("-o", "remount,ro")
    for step in range(2, 200):
        recorder.metrics(step, {"loss": 1.0})
    late = time.monotonic() + 30
    while recorder.problem is None and time.monotonic() < late:
        recorder.flush(0.5)
    problems.append(recorder.problem)
    mount("-o", "remount,rw")
"""


def in_a_world_of_its_own(tmp_path: Path, code: str) -> dict[str, Any]:
    """Run a script that may mount file systems which nobody else sees."""
    unshare = shutil.which("unshare")
    if unshare is None or not sys.platform.startswith("linux"):
        pytest.skip("no unshare here to mount a small disk with")
    alone = [unshare, "--user", "--map-root-user", "--mount"]
    probe = f"mount -t tmpfs -o size=1m tmpfs {tmp_path}"
    if subprocess.run([*alone, "sh", "-c", probe], capture_output=True, check=False).returncode:
        pytest.skip("file systems cannot be mounted here")
    (tmp_path / "small").mkdir()
    done = subprocess.run(
        [*alone, sys.executable, "-c", _BEGIN + code + _END, tmp_path / "small", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "problem"),
    [
        (_FULL_DATABASE, "the disk is full; free some space; the journal goes on"),
        (_FULL_BOTH, ""),
        (_READ_ONLY, "; the journal goes on"),
    ],
    ids=["database", "database and journal", "read-only"],
)
def test_a_run_goes_on_and_loses_nothing(tmp_path: Path, code: str, problem: str) -> None:
    told = in_a_world_of_its_own(tmp_path, code)
    assert told["problems"][0] is not None
    assert problem in told["problems"][0]
    assert told["integrity"] == [["ok"]]
    assert told["steps"] == list(range(1, 200))
    assert told["status"] == "finished"
    folder = next(path for path in (tmp_path / "run", tmp_path / "kept" / "run") if path.exists())
    lines = [json.loads(line) for line in (folder / JOURNAL_NAME).open()]
    recorded = [line["step"] for line in lines if line["entry"] == "metrics"]
    assert recorded == list(range(1, 200)), "neither lost nor doubled"
    _check_merged(open_registry(f"sqlite:///{tmp_path / 'again.db'}"), folder)


def _check_merged(registry: Registry, folder: Path) -> None:
    """The journal alone says the same."""
    for _ in range(2):
        merge_journal(registry, folder)
    (run,) = registry.runs()
    assert run.status is RunStatus.FINISHED
    assert len(registry.metrics(run.uuid)["loss"]) == 199
