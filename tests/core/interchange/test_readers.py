"""What is read of real files of other tools (`make_files.py`), whole and damaged."""

import json
import math
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from core.errors import UserError
from core.interchange.discover import discover
from core.interchange.foreign import ForeignRun, Source, foreign_uuid
from core.interchange.mlflow_sqlite import read_mlflow
from core.interchange.tensorboard_log import read_tensorboard
from core.interchange.wandb_folder import read_wandb
from core.registry.records import RunStatus

FILES = Path(__file__).parent / "files"
WANDB = next(FILES.glob("offline-run-*"))


def curve(run: ForeignRun, name: str) -> list[tuple[int, float]]:
    entries = run.curves.entries(None)
    return [(entry.step, entry.values[name]) for entry in entries if name in entry.values]


def store(folder: Path) -> Path:
    path = folder / "mlflow.db"
    with closing(sqlite3.connect(path)) as database:
        database.executescript((FILES / "mlflow.sql").read_text(encoding="utf-8"))
    return path


def test_a_wandb_run_counts_steps_as_define_metric_says() -> None:
    run = read_wandb(WANDB)
    assert curve(run, "train/loss") == [(10 * n, 2 - n / 8) for n in range(1, 5)]
    assert curve(run, "eval/accuracy") == [(1, 0.25), (2, 0.5)]
    norms = curve(run, "train/grad_norm")
    assert [step for step, value in norms if math.isnan(value)] == [30]
    assert "train_step" not in run.curves.names


def test_a_wandb_run_brings_its_description() -> None:
    run = read_wandb(WANDB)
    assert (run.name, run.group, run.seed, run.note) == ("sft-128", "sizes", 2, "the first try")
    assert run.tags == ("course", "sft")
    assert (run.model, run.settings["lr"]) == ("Qwen/Qwen2.5-Math-1.5B", 1e-5)
    assert run.settings["optimizer"] == {"name": "adamw", "betas": [0.9, 0.95]}
    assert (run.status, run.exit_reason) == (RunStatus.FINISHED, "completed")
    assert run.started is not None
    assert run.ended is not None
    assert run.started < run.ended
    assert run.origin["project"] == "a5"
    assert run.origin["summary"]["eval/accuracy"] == 0.5


def test_secrets_stay_behind_and_are_named() -> None:
    run = read_wandb(WANDB)
    assert "api_key" not in run.settings
    assert any("secret" in reason for reason in run.left_out)


def test_a_logged_table_of_responses_comes_along() -> None:
    (evaluation,) = read_wandb(WANDB).evaluations
    responses = list(evaluation.responses)
    assert (evaluation.step, evaluation.split) == (2, "eval/generations")
    assert [r.truth for r in responses] == ["2", "4", "6"]
    assert responses[0].text == " two </think> <answer> 2 </answer>"


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_torn_wandb_file_gives_what_can_be_read(tmp_path: Path, share: float) -> None:
    copy = Path(shutil.copytree(WANDB, tmp_path / WANDB.name))
    (file,) = copy.glob("run-*.wandb")
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    run = read_wandb(copy)
    assert run.uuid == read_wandb(WANDB).uuid
    assert run.status is RunStatus.INTERRUPTED
    assert sum("damaged" in reason for reason in run.left_out) == 1


def test_a_wandb_file_with_nothing_in_it_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "run-abc.wandb"
    file.write_bytes(b"\x00" * 100)
    with pytest.raises(UserError, match="does not begin as a W&B file"):
        read_wandb(file)


def test_a_table_outside_the_run_is_not_read(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(WANDB, tmp_path / WANDB.name))
    (table,) = copy.rglob("*.table.json")
    outside = tmp_path / "outside.json"
    shutil.move(table, outside)
    table.symlink_to(outside)
    run = read_wandb(copy)
    assert run.evaluations == []
    assert any("not in the folder of the run" in reason for reason in run.left_out)


def test_tensorboard_scalars_of_both_forms_and_a_restart() -> None:
    run = read_tensorboard(FILES / "tensorboard")
    assert curve(run, "eval/accuracy") == [(n, n / 8) for n in range(5)]
    loss = [2, 2 - 1 / 8, 2 - 2 / 8, 1 - 3 / 8, 1 - 4 / 8, 1 - 5 / 8]
    assert curve(run, "train/loss") == list(enumerate(loss))
    assert curve(run, "odd") == [(1, math.inf)]
    assert run.curves.left_out["values that a restart made again"] == 2
    assert run.left_out == ["1 values of the kind histogram"]
    assert (run.settings["lr"], run.seed, run.model) == (1e-5, 3, "small")


def test_tensorboard_hyperparameters_are_settings_of_their_folder() -> None:
    folder = FILES / "tensorboard"
    run = read_tensorboard(folder / "sweep", folder)
    assert (run.name, run.group) == ("sweep", "tensorboard")
    assert run.settings == {"lr": 0.5, "steps": 4, "flag": True}
    assert (run.exit_reason, curve(run, "score")) == ("completed", [(0, 0.75)])


def test_a_damaged_tensorboard_file_gives_what_can_be_read(tmp_path: Path) -> None:
    (first, *_) = sorted((FILES / "tensorboard").glob("*.0"))
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / first.name).write_bytes(bytes(data))
    run = read_tensorboard(tmp_path)
    assert 0 < len(run.curves) < 11
    assert any("damaged" in reason for reason in run.left_out)


def test_mlflow_runs_with_what_it_cannot_hold(tmp_path: Path) -> None:
    runs = {run.name: run for run in read_mlflow(store(tmp_path))}
    assert set(runs) == {"sft-256", "child", "broken"}
    run = runs["sft-256"]
    assert curve(run, "train/loss") == [(n, 2 - n / 8) for n in range(4)]
    odd = [value for _, value in curve(run, "odd")]
    assert math.isnan(odd[0])
    assert odd[1:] == [math.inf, -math.inf]
    assert run.settings == {"lr": 1e-5, "model": "small", "seed": 1, "flag": True}
    assert (run.group, run.tags, run.note) == ("sizes", ("course=cs336",), "a note")
    assert run.left_out == ["1 other runs of the store, deleted there"]
    assert runs["child"].parent == run.identity
    assert foreign_uuid(Source.MLFLOW, runs["child"].parent or "") == run.uuid
    assert runs["broken"].status is RunStatus.FAILED


def test_a_store_with_values_of_any_type_is_read_around_them(tmp_path: Path) -> None:
    path = store(tmp_path)
    with closing(sqlite3.connect(path)) as database, database:
        ((run,),) = database.execute("SELECT run_uuid FROM runs WHERE name = 'child'")
        rows = [("x", "text", 1, 1), ("y", 1.0, "soon", 1), (b"z", 1.0, 1, 1), ("w", 1.0, -5, 1)]
        columns = "(key, value, step, timestamp, run_uuid, is_nan)"
        for key, value, step, when in rows:
            values = (key, value, step, when, run, 0)
            database.execute(f"INSERT INTO metrics {columns} VALUES (?, ?, ?, ?, ?, ?)", values)
    (child,) = [run for run in read_mlflow(path) if run.name == "child"]
    assert child.curves.names == ["accuracy"]
    assert child.left_out == ["4 values without a number or a step from 0"]


def test_a_view_in_place_of_a_table_is_no_store(tmp_path: Path) -> None:
    path = store(tmp_path)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("ALTER TABLE metrics RENAME TO real_metrics")
        database.execute("CREATE VIEW metrics AS SELECT * FROM real_metrics, real_metrics")
    with pytest.raises(UserError, match="no table metrics"):
        list(read_mlflow(path))


def test_everything_is_recognised_in_one_folder(tmp_path: Path) -> None:
    shutil.copytree(FILES, tmp_path / "files")
    store(tmp_path)
    write_logs(tmp_path / "sft_eval")
    (tmp_path / "loop").symlink_to(tmp_path)
    found = discover(tmp_path)
    assert [item.source for item in found] == [
        *(Source.MLFLOW, Source.WANDB, Source.TENSORBOARD, Source.TENSORBOARD, Source.COURSE)
    ]
    assert [item.source for item in discover(tmp_path, Source.COURSE)] == [Source.COURSE]


def test_nothing_known_is_refused_with_what_is_known(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a W&B offline run"):
        discover(tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        discover(tmp_path / "missing")
    (tmp_path / "mlruns").mkdir()
    with pytest.raises(UserError, match="SQLite store"):
        discover(tmp_path / "mlruns")


def write_logs(folder: Path) -> None:
    for step in (0, 100):
        (folder / f"step_{step}").mkdir(parents=True)
        rows = [
            {
                "prompt": f"What is {n}+1?",
                "response": f" so </think> <answer> {n + (1 if step else 2)} </answer>",
                "ground_truth": str(n + 1),
                "reward": {"answer_reward": float(step > 0)},
            }
            for n in range(4)
        ]
        (folder / f"step_{step}" / "test_log.json").write_text(json.dumps(rows))


def test_course_logs_are_evaluations_by_step(tmp_path: Path) -> None:
    write_logs(tmp_path / "sft_eval")
    (tmp_path / "sft_eval" / "plots").mkdir()
    (found,) = discover(tmp_path)
    (run,) = found.runs()
    assert [evaluation.step for evaluation in run.evaluations] == [0, 100]
    last = list(run.evaluations[1].responses)
    assert [r.truth for r in last] == ["1", "2", "3", "4"]
    assert run.evaluations[1].tally.means() == {"answer_reward": 1.0}
    assert run.left_out == ["not understood in the folder: plots"]


@pytest.mark.parametrize(
    "document",
    [
        {"accuracy": 0.5, "results": [{"question": "1+1?", "model_output": "2", "gt": 2}]},
        {"prompts": ["1+1?"], "responses": ["2"], "ground_truths": ["2"]},
        [{"Question": "1+1?", "generated text": "2", "Expected Answer": "2"}],
    ],
)
def test_course_logs_in_other_spellings(tmp_path: Path, document: object) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "test_log.json").write_text(json.dumps(document))
    (found,) = discover(tmp_path)
    (run,) = found.runs()
    ((response,),) = [list(evaluation.responses) for evaluation in run.evaluations]
    assert (response.question, response.text, response.truth) == ("1+1?", "2", "2")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": 1', "7", '{"a": 5}'])
def test_a_log_that_cannot_be_used_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "test_log.json").write_text(text)
    (found,) = discover(tmp_path)
    (run,) = found.runs()
    assert run.evaluations == []
    assert "step 7" in run.left_out[0]


def write_samples(folder: Path) -> None:
    folder.mkdir()
    stamp = "2025-01-02T10-11-12.123456"
    results = {
        "results": {"gsm8k": {"alias": "gsm8k", "exact_match,strict-match": 0.5}},
        "config": {"model": "hf", "model_args": "pretrained=small,dtype=bfloat16"},
        "date": 1735812672.5,
    }
    (folder / f"results_{stamp}.json").write_text(json.dumps(results))
    rows = [
        {
            "doc_id": n,
            "doc": {"question": f"What is {n}+1?", "answer": f"so\n#### {n + 1}"},
            "target": f"so\n#### {n + 1}",
            "resps": [[f"It is {n + 1}.\n#### {n + 1}"]],
            "filter": kind,
        }
        for kind in ("strict-match", "flexible-extract")
        for n in range(3)
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / f"samples_gsm8k_{stamp}.jsonl").write_text(lines)
    scored = {"doc_id": 0, "doc": {"question": "?"}, "target": "0"}
    scored["resps"] = [[["-1.5", "False"]], [["-2.5", "True"]]]
    (folder / f"samples_arc_{stamp}.jsonl").write_text(json.dumps(scored) + "\n")


def test_harness_samples_with_their_results(tmp_path: Path) -> None:
    write_samples(tmp_path / "model")
    (found,) = discover(tmp_path)
    (run,) = found.runs()
    assert (run.model, run.created) == ("small", 1735812672.5)
    assert curve(run, "lm_eval/gsm8k/exact_match,strict-match") == [(0, 0.5)]
    by_task = {e.split: [r.truth for r in e.responses] for e in run.evaluations}
    assert by_task == {"arc": [], "gsm8k": ["1", "2", "3"]}
    assert any("likelihoods" in reason for reason in run.left_out)
