"""What provenance records, and what it must never record."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core import provenance, source_tree
from core.data.problem import Problem
from core.provenance import (
    collect_provenance,
    data_hash,
    relevant_environment,
)
from core.registry.processes import process_mark
from core.source_tree import git_state

ROOT = Path(__file__).parents[2]


def test_record_is_json_and_names_the_essentials():
    record = json.loads(json.dumps(collect_provenance(["a5ctl", "run"]).to_json()))
    assert record["argv"] == ["a5ctl", "run"]
    assert {"torch", "transformers"} <= record["packages"].keys()
    assert record["process"]["pid"] == os.getpid()
    assert record["process"]["started"] == process_mark(os.getpid())
    assert record["machine"]["cores"] >= record["machine"]["usable_cores"] >= 1


@pytest.mark.parametrize(
    "name", ["HF_TOKEN", "A5CTL_API_KEY", "VLLM_SECRET", "A5CTL_PASSWORD", "HF_AUTH", "AWS_REGION"]
)
def test_secrets_and_unrelated_variables_are_dropped(name):
    assert relevant_environment({name: "hidden"}) == {}


def test_variables_that_change_results_are_kept_with_logins_masked():
    kept = relevant_environment(
        {
            "OMP_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "A5CTL_REGISTRY": "postgresql://ada:pw@db/runs",
        }
    )
    assert kept == {
        "A5CTL_REGISTRY": "postgresql://***@db/runs",
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def test_git_state_shows_uncommitted_changes_and_cuts_long_ones(tmp_path, monkeypatch):
    def git(*arguments: str) -> None:
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True, capture_output=True)

    file = tmp_path / Path(source_tree.__file__).name
    file.write_text("one\n")
    git("init")
    git("add", ".")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-m", "first")
    monkeypatch.setattr(source_tree, "_GIT_TIMEOUT_S", 60.0)
    clean = git_state(tmp_path)
    assert (len(clean.commit), clean.dirty, clean.diff) == (40, False, "")
    file.write_text("two\n" * 100)
    monkeypatch.setattr(source_tree, "_DIFF_LIMIT", 50)
    changed = git_state(tmp_path)
    assert changed.dirty
    assert changed.diff_cut
    assert len(changed.diff) == 50


def test_no_repository_and_no_git_give_nothing(tmp_path, monkeypatch):
    assert git_state(tmp_path) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(Path(source_tree.__file__).parent) is None


def test_a_git_that_hangs_is_not_waited_for(tmp_path, monkeypatch):
    git = tmp_path / "git"
    git.write_text("#!/bin/sh\nexec /bin/sleep 3600\n")
    git.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(source_tree, "_GIT_TIMEOUT_S", 0.2)
    assert git_state(Path(source_tree.__file__).parent) is None


def test_collecting_starts_only_git_and_looks_at_the_machine_once(monkeypatch):
    started: list[str] = []
    run = subprocess.run

    def recorded(command, **options):
        started.append(command[0])
        return run(command, **options)

    monkeypatch.setattr(subprocess, "run", recorded)
    provenance.machine.cache_clear()
    first, second = collect_provenance([]), collect_provenance([])
    assert set(started) <= {"git"}
    assert len(started) <= 8
    assert first.machine is second.machine


def test_collecting_imports_no_package_it_names():
    script = (
        "import sys\n"
        "from core.provenance import collect_provenance\n"
        "assert 'torch' in collect_provenance([]).packages\n"
        "print(*{'torch', 'transformers', 'vllm', 'sympy', 'numpy'} & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_data_hash_follows_questions_truths_and_order():
    a = Problem("1", "How many?", "7")
    b = Problem("2", "How much?", "8")
    assert data_hash([a, b]) == data_hash([a, b])
    assert data_hash([a, b]) != data_hash([b, a])
    assert data_hash([a]) != data_hash([Problem("1", "How many?", "9")])


def test_solutions_count_where_they_are_trained_on():
    short, long = (Problem("1", "How many?", "7", reasoning=r) for r in ("7", "3 + 4 = 7"))
    assert data_hash([short]) == data_hash([long])
    assert data_hash([short], solutions=True) != data_hash([long], solutions=True)


def repository(folder: Path) -> Path:
    """A repository with one package, of which this code could be a part; returns the package."""
    package = folder / "core"
    package.mkdir(parents=True)
    for name in ("__init__.py", Path(source_tree.__file__).name):
        (package / name).write_text("one\n")
    for command in (["init"], ["add", "."], ["commit", "-m", "first"]):
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *who, *command], cwd=folder, check=True, capture_output=True)
    return package


def test_python_files_that_git_does_not_know_are_named_with_their_hash(tmp_path):
    package = repository(tmp_path)
    (package / "new.py").write_text("x = 1\n")
    (package / "notes.txt").write_text("not code\n")
    (tmp_path / "scratch.py").write_text("in no package\n")
    state = git_state(package)
    assert state.untracked == {"core/new.py": hashlib.sha256(b"x = 1\n").hexdigest()}
    assert not state.dirty


def test_a_diff_is_recorded_without_secrets_and_hashed_as_recorded(tmp_path):
    package = repository(tmp_path)
    (package / "__init__.py").write_text('API_KEY = "s3cr3t"\nURL = "https://ada:s3cr3t@h/x"\n')
    state = git_state(package)
    assert '+API_KEY = "***"' in state.diff
    assert "s3cr3t" not in state.diff
    assert state.diff_hash == hashlib.sha256(state.diff.encode()).hexdigest()


def test_torch_tells_how_it_computes_once_it_is_loaded(monkeypatch):
    import torch

    facts = provenance.numerics()
    assert facts["torch_cuda"] == torch.version.cuda
    assert facts["deterministic"] is False
    assert {"cpu_capability", "blas", "matmul_precision"} <= facts.keys()
    monkeypatch.delitem(sys.modules, "torch")
    assert provenance.numerics() == {}
