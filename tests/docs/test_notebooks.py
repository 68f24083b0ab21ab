"""Every example of docs/notebooks.md runs, from top to bottom, on runs like those it names."""

import re
from pathlib import Path
from typing import Any

import pytest

from core.registry.recorder import Recorder
from core.registry.store import open_registry
from core.workspace import open_workspace
from tests.a5ctl.handmade import cut, evaluation, record, right, unclosed

TEXT = (Path(__file__).parents[2] / "docs" / "notebooks.md").read_text(encoding="utf-8")


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "experiments"
    home.mkdir()
    for seed, run_id in enumerate(("sft-256-k3f9", "sft-256-m2x7")):
        answers = [right(10), right(11), unclosed(12), cut(13)]
        record(home, run_id, [evaluation(answers, step=48)], seed=seed, lr=1e-4)
        registry = open_registry(f"sqlite:///{home / 'registry.db'}")
        run = registry.find_run(run_id)
        with Recorder(registry, run.uuid, open_workspace(home).run_folder(run_id)) as recorder:
            for step in range(1, 49):
                recorder.metrics(step, {"loss": 1 / step, "grad_norm": 1.0})
    monkeypatch.chdir(tmp_path)
    return home


def test_the_examples_run(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pandas")
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(compile(block, "docs/notebooks.md", "exec"), names)
    assert list(names["best"]["id"]) == ["sft-256-m2x7", "sft-256-k3f9"]
    assert names["loss"].shape == (48, 2)
    assert set(names["wrong"]["r1_zero_failure"]) == {"unclosed_answer", "truncated_thinking"}
    assert "format_gap" in capsys.readouterr().out
