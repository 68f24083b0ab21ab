"""`a5ctl model`: writes models that load, refuses bad input with one sentence and exit code 2."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from a5ctl.app import app

runner = CliRunner()


@pytest.mark.slow
def test_make_writes_a_model_folder_with_the_layers_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "model"
    result = runner.invoke(
        app, ["model", "make", "--shape", "tiny", "--layers", "1", "--out", str(out)]
    )
    assert result.exit_code == 0, result.output
    assert json.loads((out / "config.json").read_text())["num_hidden_layers"] == 1
    assert (out / "tokenizer.json").is_file()


def test_make_trains_the_tokenizer_on_the_file_given(tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    line = {"question": "zyzzyva zyzzyva zyzzyva", "answer": "zyzzyva is 4\n#### 4"}
    data.write_text((json.dumps(line) + "\n") * 20)
    out = tmp_path / "model"
    arguments = ["model", "make", "--shape", "tiny", "--layers", "1", "--out", str(out)]
    result = runner.invoke(app, [*arguments, "--data", str(data)])
    assert result.exit_code == 0, result.output
    vocabulary = json.loads((out / "tokenizer.json").read_text())["model"]["vocab"]
    assert "zyzzyva" in vocabulary


def test_unknown_shape_names_the_allowed_ones(tmp_path: Path) -> None:
    arguments = ["model", "make", "--shape", "huge", "--out", str(tmp_path / "m")]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 2
    assert "qwen2.5-0.5b" in result.output
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("command", [["make", "--shape", "tiny"], ["pretrain"]])
def test_folder_in_use_is_refused(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    result = runner.invoke(app, ["model", *command, "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "not empty" in " ".join(result.output.split())


def test_resume_of_nothing_is_refused(tmp_path: Path) -> None:
    result = runner.invoke(app, ["model", "pretrain", "--resume", "--out", str(tmp_path / "new")])
    assert result.exit_code == 2
    assert "without --resume" in " ".join(result.output.split())


@pytest.mark.slow
def test_pretrain_writes_a_model_that_loads(tmp_path: Path) -> None:
    from core.models import resolve_model

    out = tmp_path / "base"
    result = runner.invoke(app, ["model", "pretrain", "--tokens", "7000", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "nats per token" in " ".join(result.output.split())
    assert "step 1 " in result.output
    assert resolve_model(str(out)).path == out.resolve()
