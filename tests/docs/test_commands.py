"""Commands of README and docs that only look or label are carried out, as printed, one by one."""

import json
import os
import re
import shlex
import shutil
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from a5ctl.app import app
from core.config.methods import KeepRollouts
from core.data.problem import Problem
from core.registry.live_runs import RECORDER_LOCK
from core.registry.recorder import Recorder
from core.registry.records import RunStatus
from core.rollouts import RolloutBatch
from core.workspace import open_workspace
from tests.a5ctl import handmade
from tests.a5ctl.handmade import cut, evaluation, right, unclosed, wrong
from tests.docs.account import LOOKED, executed_by
from tests.docs.printed import ROOT
from tests.rollouts import rollout

LINES = {line.text: line for line in executed_by(LOOKED)}
_STANDS_FOR = {
    "RUNS": "dpo-few-pairs dpo-all-pairs",
    "SFT": "sft-256-k3f9",
    "FILE": "backup.db",
    "URL": "elsewhere.db",
    "gsm8k-test-00012": "p002",
    "lr 0.002 seed 0": "sft-256-k3f9",
    "lr 0.002 seed 1": "sft-256-m2x7",
    "lr 0.002 seed 2": "sft-512-m2x7",
    "final lr 0.002 seed 0": "sft-256-k3f9",
}
_TITLED = re.compile(r"```toml title=\"([\w.]+)\"\n(.*?)```", re.DOTALL)
_LOOKS = re.compile(
    r"a5ctl (compare|ls|show|diagnose|plot|report|sql|plan|protocol diff"
    r"|registry path)\b"
)
_ID = re.compile(r"\b(?:sft|grpo|eval)-(?:\d+-)?[a-z0-9]{4}\b")
_TRAIN = {"lr": 1e-4, "supervise": "response"}
_GROUPS = ("answer", "answer-low", "table", "matrix-k3f9", "matrix-9nwq", "G", "rate", "final")
_KEEPS = re.compile(r"protocol show \S+ --out")
_SEVERAL = (_STANDS_FOR["RUNS"],)
_NAMES = re.compile(r"a5ctl (?:compare|diagnose|plot \S+|report|show)((?: [a-z][\w-]+)+)")


def _runs() -> list[str]:
    """Every run that a line names."""
    found: dict[str, None] = {}
    for line in LINES:
        found |= dict.fromkeys(_ID.findall(line))
        plain = re.sub(r' "[^"]*"', "", str(line))  # names in quotes stand for others
        found |= dict.fromkeys(" ".join(_NAMES.findall(plain)).split())
        found |= dict.fromkeys(re.findall(r"--(?:lineage|against|baseline|diff) ([\w-]+)", line))
    return [name for name in found if name not in _GROUPS and name != "plan"]


@pytest.fixture(scope="module")
def readers_house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with every run and every file that the lines name."""
    home = tmp_path_factory.mktemp("house")
    answers = [right(10), right(11), unclosed(12), cut(13), wrong(14), right(15)]
    parent = None
    for seed, run_id in enumerate(_runs()):
        kind = run_id.split("-")[0] if run_id.startswith(("grpo", "eval", "dpo-")) else "sft"
        before = parent if run_id in ("grpo-x2m1", "policy", "rl") else None
        steps = (0, 48, 96) if kind != "eval" else (0,)
        group = _GROUPS[seed % len(_GROUPS)]
        courses = [evaluation(answers[seed % 2 :], step=step) for step in steps]
        method = {"pairs": f"{run_id}.jsonl"} if kind == "dpo" else None
        made = handmade.record(
            *(home, run_id, courses),
            kind=kind,
            seed=seed,
            group=group,
            parent=before,
            train=_TRAIN,
            method=method,
        )
        parent = parent or made
        _curves(home, run_id)
    for name, page in (("plan.toml", "plans.md"), ("criteria.toml", "criteria.md")):
        shown = re.search(r"```toml\n(.*?)```", _page(page), re.DOTALL)
        assert shown is not None
        (home / name).write_text(shown[1], encoding="utf-8")
    for title, shown in _TITLED.findall(_page("a-week-with-a5ctl.md")):
        (home / title).write_text(shown, encoding="utf-8")
    (home / "base.toml").write_text("[train]\nwarmup = 0.1\n", encoding="utf-8")
    for split in ("train", "test"):
        question = {"question": "How many is 1 + 1?", "answer": "1 + 1 = 2\n#### 2"}
        (home / "path/to/gsm8k").mkdir(parents=True, exist_ok=True)
        file = home / "path/to/gsm8k" / f"{split}.jsonl"
        file.write_text(json.dumps(question) + "\n", encoding="utf-8")
    dumped = {"question": "How many is 1 + 1?", "response": right(2)[0], "ground_truth": "2"}
    (home / "responses.jsonl").write_text(json.dumps(dumped) + "\n", encoding="utf-8")
    for seed, run_id in enumerate(_STANDS_FOR["RUNS"].split()):
        settings = {"pairs": f"{run_id}.jsonl"}
        made = [evaluation(answers)]
        handmade.record(home, run_id, made, kind="dpo", seed=seed, method=settings)
    _rollouts(home, "grpo-x2m1")
    shutil.copytree(ROOT / "examples" / "plans", home / "examples" / "plans")
    shutil.copy(home / "registry.db", home / "old.db")
    show = f"protocol show sft-256-k3f9 --out {home}/house.toml --home {home}"
    made = CliRunner().invoke(app, shlex.split(show))
    assert made.exit_code == 0, made.output
    return home


def _page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def _curves(home: Path, run_id: str) -> None:
    registry = handmade.open_home(home)
    run = registry.find_run(run_id)
    with Recorder(registry, run.uuid, open_workspace(home).run_folder(run_id)) as recorder:
        for step in range(1, 97):
            recorder.metrics(step, dict.fromkeys(("loss", "reward", "entropy", "kl"), 1 / step))
            recorder.metrics(step, {"tokens_total": 100.0 * step})
    registry.close()


def _rollouts(home: Path, run_id: str) -> None:
    registry = handmade.open_home(home)
    run = registry.find_run(run_id)
    problem = Problem("p000", "How many is 0 + 10?", "10")
    texts = (right(10)[0], cut(10)[0])
    made = tuple(rollout(text, problem, sample=n) for n, text in enumerate(texts))
    with Recorder(registry, run.uuid, open_workspace(home).run_folder(run_id)) as recorder:
        recorder.rollouts(RolloutBatch(0, 1, (problem,), 2, made), KeepRollouts.TEXT)
    registry.close()


def copied(home: Path, place: Path) -> Path:
    """A copy of the workspace to be changed; what is never changed in place is shared."""

    def copy(source: str, target: str) -> None:
        written = source.endswith((".db", ".db-wal", ".db-shm", ".jsonl", ".toml"))
        shutil.copy2(source, target) if written else os.link(source, target)

    return shutil.copytree(home, place, copy_function=copy)


@pytest.mark.slow
@pytest.mark.parametrize("line", LINES)
def test_a_printed_command_does_what_it_says(
    readers_house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    house = readers_house if _LOOKS.match(line) else copied(readers_house, tmp_path / "house")
    if _KEEPS.search(line):
        (house / "house.toml").unlink()
    if " close " in line:
        registry = handmade.open_home(house)
        registry.set_status(registry.find_run(line.split()[-1]).uuid, RunStatus.RUNNING)
        registry.close()
        with sqlite3.connect(house / "registry.db") as database:  # it has been silent for long
            database.execute("UPDATE run SET created = created - 3600, heartbeat = NULL")
        for lock in house.glob(f"runs/*/{RECORDER_LOCK}"):
            os.utime(lock, (0, 0))
    monkeypatch.chdir(house)
    monkeypatch.setenv("COLUMNS", "120")
    words = [_STANDS_FOR.get(word, word) for word in LINES[line].words()[1:]]
    words = [part for word in words for part in (word.split() if word in _SEVERAL else [word])]
    result = CliRunner().invoke(app, [word.replace("/backups", str(tmp_path)) for word in words])
    assert result.exit_code == 0, f"{LINES[line]}\n{result.output}\n{result.exception}"
