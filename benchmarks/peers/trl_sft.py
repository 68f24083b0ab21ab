"""The peer's side of the SFT benchmarks: TRL's SFTTrainer on a file of prompts and completions.

    PEER_PYTHON benchmarks/peers/trl_sft.py job.json

Runs in an environment of its own (benchmarks/README.md) and imports nothing of this project. The
job names the model folder, the data, the steps and TRL's settings; the last line that is printed
is the result as JSON. Nothing is evaluated or saved, and a step counts from the end of the one
before to its own end, so that loading the batch belongs to it.
"""

import hashlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

STARTED = time.perf_counter()


def peak_kib() -> int:
    """Largest resident size of this process so far; ru_maxrss would know the parent's too."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:", 1)[1].split(maxsplit=1)[0])


def read_pairs(path: Path) -> list[dict[str, str]]:
    """Prompts and completions, one JSON object a line."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [{key: row[key] for key in ("prompt", "completion")} for row in map(json.loads, lines)]


def fingerprint(rows: Any) -> dict[str, Any]:
    """What was tokenized: counts, and a hash over ids and labels in the order of the file."""
    digest = hashlib.sha256()
    tokens = supervised = 0
    for row in rows:
        tokens += len(row["input_ids"])
        supervised += sum(label != -100 for label in row["labels"][1:])
        digest.update(repr((list(row["input_ids"]), list(row["labels"]))).encode())
    return {"tokens": tokens, "supervised": supervised, "sha256": digest.hexdigest()}


def build(job: dict[str, Any], folder: str) -> Any:
    """The trainer, with the data tokenized."""
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    settings = {
        "output_dir": folder,
        "save_strategy": "no",
        "max_steps": job["steps"],
        "learning_rate": job["lr"],
        "lr_scheduler_type": "constant",
        "warmup_steps": 0,
        "train_sampling_strategy": "sequential",
        **job["settings"],
    }
    model_settings = {"attn_implementation": job["attention"], "dtype": "float32"}
    return SFTTrainer(
        model=job["model"],
        args=SFTConfig(model_init_kwargs=model_settings, **settings),
        train_dataset=Dataset.from_list(read_pairs(Path(job["data"]))),
        processing_class=AutoTokenizer.from_pretrained(job["model"]),
    )


def watch(trainer: Any) -> tuple[list[tuple[float, float, int]], list[float]]:
    """Note clock, processor time and tokens at the end of each step, and the loss of each pass."""
    from transformers import TrainerCallback

    marks: list[tuple[float, float, int]] = []
    losses: list[float] = []

    class Marks(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            marks.append((time.perf_counter(), time.process_time(), trainer._total_train_tokens))

    original = trainer.training_step

    def training_step(*args: Any, **kwargs: Any) -> Any:
        loss = original(*args, **kwargs)
        losses.append(float(loss))
        return loss

    trainer.training_step = training_step
    trainer.add_callback(Marks())
    return marks, losses


def main() -> None:
    """Train as the job says and print what happened."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    import torch
    import transformers
    import trl
    from trl import SFTTrainer  # noqa: F401  (so that the memory of imports is known)

    if job["threads"] is not None:
        torch.set_num_threads(job["threads"])
    imports_kib = peak_kib()
    with tempfile.TemporaryDirectory() as folder:
        trainer = build(job, folder)
        tokenized = {} if job["settings"].get("packing") else fingerprint(trainer.train_dataset)
        marks, losses = watch(trainer)
        trainer.train()
    per_step = job["settings"].get("gradient_accumulation_steps", 1)
    result = {
        "marks": marks,
        "losses": [sum(losses[i : i + per_step]) for i in range(0, len(losses), per_step)],
        "tokenized": tokenized,
        "imports_kib": imports_kib,
        "peak_kib": peak_kib(),
        "seconds": time.perf_counter() - STARTED,
        "threads": torch.get_num_threads(),
        "versions": {m.__name__: m.__version__ for m in (torch, transformers, trl)},
        "omp_threads": os.environ.get("OMP_NUM_THREADS"),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
