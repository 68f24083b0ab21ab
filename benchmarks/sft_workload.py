"""What the SFT benchmarks train: three models with their tokenizers, and the same data for both.

    python benchmarks/sft_workload.py --out FOLDER --data ../shared/data/gsm8k

Every model is a Qwen2 with float32 weights on disk. `builtin` is the built-in base; `50m` and `05b`
have random weights and a tokenizer trained on the same GSM8K texts, whose ids stay below 4,096
while the projection onto the vocabulary keeps its full width. `05b` has the sizes of Qwen2.5-0.5B
with fewer layers, so that a step takes seconds.

The data are the first 1,024 training problems of GSM8K under the prompt think_answer. We read them
as problems; the peer reads `pairs.jsonl`, the same texts in the order in which we train on them.
"""

import argparse
import json
import shutil
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from core.config.load import build_config  # noqa: E402
from core.config.schema import RunConfig  # noqa: E402
from core.models import BUILTIN_PATH, load_tokenizer, prepare_imports  # noqa: E402
from core.registry.store import open_registry  # noqa: E402
from core.workspace import Workspace  # noqa: E402
from trainers.random_model import SHAPES, ModelShape, random_weights, save_model  # noqa: E402

EXAMPLES = 1_024
LEARNING_RATE = 1e-4
_50M = ModelShape(32_768, 4096, 512, 1408, 12, 8, 4, 1024)
_05B = replace(SHAPES["qwen2.5-0.5b"], num_hidden_layers=2)


@dataclass(frozen=True, slots=True)
class Workload:
    """One model and how much of it is trained.

    Attributes:
        name: Folder of its files.
        shape: Sizes of the random model; None is the built-in base.
        batch_size: Examples per optimizer update.
        warmup: First steps, whose time does not count.
        steps: Steps in all.
    """

    name: str
    shape: ModelShape | None
    batch_size: int
    warmup: int
    steps: int


WORKLOADS = {
    work.name: work
    for work in (
        Workload("builtin", None, 16, 2, 12),
        Workload("50m", _50M, 8, 1, 4),
        Workload("05b", _05B, 4, 1, 3),
    )
}


def settings(work: Workload, folder: Path, **changes: object) -> RunConfig:
    """Our configuration of this work: TRL's optimizer settings, and no evaluation at the start.

    Args:
        work: What is trained.
        folder: Where `prepare_workload` has put its files.
        changes: Settings by dotted key with `__` for the dot, such as `train__threads=1`.
    """
    tree: dict[str, dict[str, object]] = {
        "model": {"source": str(folder / work.name / "model"), "device": "cpu"},
        "data": {"source": str(folder / "data")},
        "prompt": {"template": "think_answer"},
        "train": {
            "lr": LEARNING_RATE,
            "schedule": "constant",
            "warmup": 0.0,
            "steps": work.steps,
            "batch_size": work.batch_size,
            "beta2": 0.999,
            "checkpoint_every": work.steps,
        },
        "evaluation": {"at_start": False, "limit": 1, "engine": "hf", "max_tokens": 1},
    }
    for key, value in changes.items():
        section, name = key.split("__")
        tree[section][name] = value
    return build_config(tree)


def prepare_workload(work: Workload, folder: Path, data: Path) -> Path:
    """Write model, problems and the peer's file, once.

    Returns:
        The folder of this workload.
    """
    problems, own = folder / "data", folder / work.name
    if not problems.exists():
        _write_problems(problems, data)
    if not (own / "pairs.jsonl").exists():
        shutil.rmtree(own, ignore_errors=True)
        _write_model(work, own / "model", problems)
        _write_pairs(work, folder)
    return own


def _write_problems(folder: Path, data: Path) -> None:
    folder.mkdir(parents=True)
    for name, count in (("test", 1), ("train", EXAMPLES)):
        lines = (data / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()[:count]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_model(work: Workload, folder: Path, problems: Path) -> None:
    prepare_imports()
    import torch
    from safetensors.torch import load_file

    from trainers.tokenizer_training import train_tokenizer

    if work.shape is None:
        shutil.copytree(BUILTIN_PATH, folder)
        save_model(
            SHAPES["tiny"], load_file(BUILTIN_PATH / "model.safetensors"), folder, torch.float32, 0
        )
        return
    texts = [
        f"{row['question']}\n{row['answer']}"
        for row in map(json.loads, (problems / "train.jsonl").read_text().splitlines())
    ]
    tokenizer = train_tokenizer(texts, work.shape.tokenizer_size, folder)
    save_model(work.shape, random_weights(work.shape, 0), folder, torch.float32, len(tokenizer))


def _write_pairs(work: Workload, folder: Path) -> None:
    """The texts of the run in the order of its steps, in which the peer trains on them."""
    from trainers.batching import BatchPlan
    from trainers.prepare import prepare
    from trainers.tokenization import encode_example

    workspace = Workspace(folder / "workspace")
    workspace.root.mkdir(exist_ok=True)
    registry = open_registry(workspace.registry_url())
    prepared = prepare(settings(work, folder), workspace, registry)
    registry.close()
    plan = BatchPlan(len(prepared.train), work.batch_size, 0, prepared.config.seed)
    order = [i for step in range(plan.steps_per_epoch) for i in plan.batch(step + 1)]
    rows = [
        {
            "prompt": prepared.template.prompt(prepared.train[index]),
            "completion": prepared.template.target(prepared.train[index]),
        }
        for index in order
    ]
    tokenizer = load_tokenizer(folder / work.name / "model")
    lengths = [
        len(encode_example("", row["prompt"], row["completion"], tokenizer).token_ids)
        for row in rows
    ]
    (folder / work.name / "lengths.json").write_text(json.dumps(lengths), encoding="utf-8")
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / work.name / "pairs.jsonl").write_text(text, encoding="utf-8")


def parameters(shape: ModelShape) -> int:
    """Trainable numbers of a shape."""
    from math import prod

    from trainers.random_model import weight_shapes

    return sum(prod(size) for size in weight_shapes(shape).values())


def main() -> None:
    """Write the files and say what they are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/gsm8k")
    parser.add_argument("--only", nargs="*", default=list(WORKLOADS), choices=list(WORKLOADS))
    given = parser.parse_args()
    for name in given.only:
        work = WORKLOADS[name]
        own = prepare_workload(work, given.out, given.data)
        shape = work.shape or SHAPES["tiny"]
        print(f"{own}: {parameters(shape):,} parameters, {asdict(shape)}")


if __name__ == "__main__":
    main()
