"""How close the estimate of memory comes: python benchmarks/memory.py [WORKFOLDER]

Trains three models for a few steps through the program, each in a process of its own, and prints
what preflight estimated and what was measured. Needs about 6 GB and some minutes on one core.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from core.data.load import load_data  # noqa: E402
from core.registry.store import open_registry  # noqa: E402
from trainers.random_model import SHAPES, ModelShape, random_weights, save_model  # noqa: E402
from trainers.tokenizer_training import train_tokenizer  # noqa: E402

SHAPE_50M = ModelShape(32_768, 4096, 512, 1408, 12, 8, 4, 1024)
RUNS = {
    "builtin": ("--batch-size", "16", "--steps", "8"),
    "builtin, checkpointed": (
        *("--batch-size", "16", "--steps", "8"),
        *("--set", "train.activation_checkpointing=on"),
    ),
    "50m": ("--batch-size", "8", "--steps", "3"),
    "50m, checkpointed": (
        *("--batch-size", "8", "--steps", "3"),
        *("--set", "train.activation_checkpointing=on"),
    ),
    "0.5b, 2 layers": ("--batch-size", "4", "--steps", "2"),
}
RESULTS = ROOT / "benchmarks" / "results" / "memory.json"


def main(folder: Path) -> None:
    """Run everything and keep the figures."""
    figures = {}
    for name, options in RUNS.items():
        model = make_model(name.split(",")[0], folder)
        figures[name] = measure(model, folder / re.sub(r"\W+", "-", name), options)
        print(name, figures[name], flush=True)
    RESULTS.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def make_model(name: str, folder: Path) -> str:
    """The model's folder, written where it is not there yet."""
    if name == "builtin":
        return name
    shape = SHAPE_50M if name == "50m" else SHAPES["qwen2.5-0.5b"]
    out = folder / f"model-{name}"
    if not (out / "model.safetensors").exists():
        import dataclasses

        import torch

        if name != "50m":
            shape = dataclasses.replace(shape, num_hidden_layers=2)
        texts = [f"{p.question}\n{p.reasoning}" for p in load_data("builtin").split("train")]
        tokenizer = train_tokenizer(texts, shape.tokenizer_size, out)
        save_model(shape, random_weights(shape, 0), out, torch.float32, len(tokenizer))
    return str(out)


def measure(model: str, home: Path, options: tuple[str, ...]) -> dict[str, float]:
    """One run: MiB that were estimated, MiB at the peak, and their ratio."""
    command = (
        *(sys.executable, "-m", "a5ctl", "run", "sft", "--model", model, "--size", "128"),
        *("--threads", "1", "--engine", "hf", "--eval-limit", "1", "--max-tokens", "8", "--quiet"),
        *("--set", "evaluation.at_start=false", *options),
    )
    environment = os.environ | {"A5CTL_HOME": str(home), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    store = open_registry(f"sqlite:///{home / 'registry.db'}")
    run = store.runs()[0]
    message = next(e.message for e in store.events(run.uuid) if e.kind == "memory")
    peak, ratio, estimate = (
        float(number.replace(",", "")) for number in re.findall(r"[\d,]*\d(?:\.\d+)?", message)
    )
    return {"estimated_mib": estimate, "peak_mib": peak, "peak_to_estimate": ratio}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
