"""Makes the files in `files/` with the real packages; the tests themselves need none of them.

    python -m tests.core.interchange.make_files

with wandb (0.31), tensorboard (2.21), torch and mlflow (3.17) installed. Times and ids differ from
one making to the next; the tests ask for what was logged. Of the MLflow store only the rows that an
import reads are kept, as SQL text: its empty schema alone is a megabyte.
"""

import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[3]
FILES = Path(__file__).parent / "files"
TABLES = ("experiments", "runs", "params", "metrics", "tags")
ANSWERS = [
    ["What is 1+1?", " two </think> <answer> 2 </answer>", "2"],
    ["What is 2+2?", " four </think> <answer> 5 </answer>", "4"],
    ["What is 3+3?", " I do not know", "6"],
]


def make_wandb(folder: Path) -> None:
    """Steps as the course defines them: train_step and eval_step count apart."""
    os.environ |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_DISABLE_GIT": "true"}
    os.environ |= {"WANDB_DATA_DIR": str(folder / "data"), "WANDB_CACHE_DIR": str(folder / "cache")}
    import wandb

    settings = wandb.Settings(
        x_disable_stats=True, x_disable_meta=True, x_save_requirements=False, console="off"
    )
    run = wandb.init(
        project="a5",
        name="sft-128",
        group="sizes",
        tags=["course", "sft"],
        notes="the first try",
        config={
            "lr": 1e-5,
            "seed": 2,
            "model": "Qwen/Qwen2.5-Math-1.5B",
            "optimizer": {"name": "adamw", "betas": [0.9, 0.95]},
            "api_key": "not-to-be-kept-anywhere",
        },
        dir=folder,
        settings=settings,
    )
    run.define_metric("train_step")
    run.define_metric("eval_step")
    run.define_metric("train/*", step_metric="train_step")
    run.define_metric("eval/*", step_metric="eval_step")
    for step in range(1, 5):
        norm = float("nan") if step == 3 else 1.0
        run.log({"train/loss": 2 - step / 8, "train/grad_norm": norm, "train_step": 10 * step})
    run.log({"eval/accuracy": 0.25, "eval_step": 1, "note": "a text"})
    table = wandb.Table(columns=["prompt", "response", "ground_truth"], data=ANSWERS)
    run.log({"eval/generations": table, "eval/accuracy": 0.5, "eval_step": 2})
    run.finish(exit_code=0)


def make_tensorboard(folder: Path) -> None:
    """Both forms of scalars, a restart that goes back, texts and hyperparameters."""
    from torch.utils.tensorboard import SummaryWriter

    first = SummaryWriter(str(folder))
    for step in range(5):
        first.add_scalar("train/loss", 2 - step / 8, step)
        first.add_scalar("eval/accuracy", step / 8, step, new_style=True)
    first.add_scalar("odd", float("inf"), 1)
    first.add_text("args", '{"lr": 1e-05, "seed": 3, "model_name_or_path": "small"}')
    first.add_histogram("weights", __import__("numpy").zeros(3), 0)
    first.close()
    again = SummaryWriter(str(folder), filename_suffix=".again")
    for step in range(3, 6):
        again.add_scalar("train/loss", 1 - step / 8, step)
    again.close()
    sweep = SummaryWriter(str(folder))
    sweep.add_hparams({"lr": 0.5, "steps": 4, "flag": True}, {"score": 0.75}, run_name="sweep")
    sweep.close()
    for empty in folder.glob("*tfevents*"):
        if empty.stat().st_size < 100:
            empty.unlink()


def make_mlflow(folder: Path) -> None:
    """Three runs of one experiment, one of them under another, and one that was deleted."""
    import math

    import mlflow

    database = folder / "mlflow.db"
    mlflow.set_tracking_uri(f"sqlite:///{database}")
    mlflow.set_experiment("sizes")
    with mlflow.start_run(run_name="sft-256", tags={"course": "cs336"}):
        mlflow.log_params({"lr": 1e-5, "model": "small", "seed": 1, "flag": True})
        for step in range(4):
            mlflow.log_metric("train/loss", 2 - step / 8, step=step)
        for step, value in enumerate((math.nan, math.inf, -math.inf)):
            mlflow.log_metric("odd", value, step=step)
        mlflow.set_tag("mlflow.note.content", "a note")
        with mlflow.start_run(run_name="child", nested=True):
            mlflow.log_metric("accuracy", 0.5, step=3)
    try:
        with mlflow.start_run(run_name="broken"):
            mlflow.log_metric("loss", 1.0)
            raise RuntimeError
    except RuntimeError:
        pass
    with mlflow.start_run(run_name="gone") as gone:
        pass
    mlflow.delete_run(gone.info.run_id)
    text = "\n".join(_statements(database)).replace(f"{ROOT}/", "")
    (FILES / "mlflow.sql").write_text(f"{text}\n", encoding="utf-8")


def _statements(database: Path) -> list[str]:
    connection = sqlite3.connect(database)
    lines = []
    for table in TABLES:
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        lines.append(f"CREATE TABLE {table} ({', '.join(columns)});")
        for row in connection.execute(f"SELECT * FROM {table}"):
            values = ", ".join(
                connection.execute("SELECT quote(?)", (v,)).fetchone()[0] for v in row
            )
            lines.append(f"INSERT INTO {table} VALUES ({values});")
    return lines


def main() -> None:
    """Replace everything in `files/`."""
    shutil.rmtree(FILES, ignore_errors=True)
    FILES.mkdir()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_wandb(folder)
        (run,) = (folder / "wandb").glob("offline-run-*")
        kept = FILES / run.name
        kept.mkdir()
        (wandb_file,) = run.glob("run-*.wandb")
        shutil.copy(wandb_file, kept)
        shutil.copytree(run / "files" / "media", kept / "files" / "media")
        make_tensorboard(FILES / "tensorboard")
        os.chdir(folder)
        make_mlflow(folder)


if __name__ == "__main__":
    main()
