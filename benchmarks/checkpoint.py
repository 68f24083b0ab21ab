"""What a checkpoint costs: beside writing and syncing the same number of bytes, and to verify.

    python benchmarks/checkpoint.py --repeat 11

Three models: the built-in one, and random ones of about 50M and 200M parameters, each with float32
weights and both moments of AdamW. The baseline writes as many bytes, from the same memory, into one
new file, and syncs it and the folder. Both take turns (A B A B ...) in one process; the ratio is
the median of the ratios of neighbours. Runs beside this file, so on the disk of the repository.
"""

import argparse
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from benchmarks.random_weights import random_qwen2  # noqa: E402
from benchmarks.timing import summary, write  # noqa: E402
from core.config.schema import TrainSettings  # noqa: E402
from core.models import load_tokenizer, resolve_model  # noqa: E402
from core.whole_files import sync_folder  # noqa: E402
from trainers.checkpoint import TrainerState, damage, save_checkpoint  # noqa: E402
from trainers.optimization import Optimizer, build_optimizer  # noqa: E402
from trainers.policy import Policy, load_policy  # noqa: E402
from trainers.precision import FLOAT32  # noqa: E402
from trainers.random_model import ModelShape  # noqa: E402

_SHAPES = {
    "50M": ModelShape(16_384, 16_384, 512, 1408, 12, 8, 4),
    "200M": ModelShape(16_384, 16_384, 1024, 2816, 14, 16, 8),
}


def random_policy(shape: ModelShape) -> Policy:
    """A random Qwen2 with the built-in model's tokenizer."""
    tokenizer = load_tokenizer(resolve_model("builtin").path)
    cpu = torch.device("cpu")
    return Policy(random_qwen2(shape, cpu), tokenizer, cpu, FLOAT32)


def trained(policy: Policy) -> Optimizer:
    """An optimizer that has made one step, so that its moments are there."""
    settings = TrainSettings(lr=1e-3, steps=1)
    optimizer = build_optimizer(policy.model.named_parameters(), settings)
    for parameter in policy.model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.update(1e-3)
    return optimizer


def in_new_folder(within: Path, work: Callable[[Path], object]) -> tuple[float, float]:
    """Seconds, and processor seconds, of the work in a folder of its own, deleted afterwards."""
    folder = Path(tempfile.mkdtemp(dir=within))
    processor, started = time.process_time(), time.perf_counter()
    work(folder)
    taken = time.perf_counter() - started, time.process_time() - processor
    shutil.rmtree(folder)
    return taken


def plain(folder: Path, memory: Sequence[memoryview]) -> None:
    """Write the memory into one file and sync it."""
    with (folder / "bytes").open("xb", buffering=0) as file:
        for part in memory:
            while part:
                part = part[file.write(part) :]
        os.fsync(file.fileno())
    sync_folder(folder)


def as_memory(policy: Policy, optimizer: Optimizer, size: int) -> list[memoryview]:
    """The tensors of a checkpoint where they lie, and zeros for its `size` bytes' smaller parts."""
    tensors = [p.detach() for p in policy.model.parameters()]
    tensors += [tensor for tensor in optimizer.tensors().values() if tensor.ndim]
    memory = [memoryview(t.reshape(-1).view(torch.uint8).numpy()) for t in tensors]
    return [*memory, memoryview(bytes(size - sum(map(len, memory))))]


def measure(policy: Policy, repeat: int, within: Path) -> dict[str, Any]:
    """Figures of one model."""
    optimizer = trained(policy)
    kept = save_checkpoint(within / "kept", policy, optimizer, TrainerState(1))
    size = sum(file.stat().st_size for file in kept.rglob("*") if file.is_file())
    memory = as_memory(policy, optimizer, size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    turns = [
        (
            in_new_folder(within, lambda f: plain(f, memory)),
            in_new_folder(within, lambda f: save_checkpoint(f, policy, optimizer, TrainerState(1))),
        )
        for _ in range(repeat + 1)
    ][1:]
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    started = time.perf_counter()
    if problem := damage(kept):
        raise SystemExit(problem)
    verified = time.perf_counter() - started
    bare, ours = ([turn[side][0] for turn in turns] for side in (0, 1))
    ratios = [saved / written for written, saved in zip(bare, ours, strict=True)]
    processor = [statistics.median(turn[side][1] for turn in turns) for side in (0, 1)]
    return {
        "parameters": sum(parameter.numel() for parameter in policy.model.parameters()),
        "bytes": size,
        "write_and_sync_seconds": summary(bare),
        "checkpoint_seconds": summary(ours),
        "ratio": {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)},
        "processor_seconds": {"write_and_sync": processor[0], "checkpoint": processor[1]},
        "processor_ratio": processor[1] / processor[0],
        "verify_seconds": verified,
        "peak_memory_grown_bytes": grown * 1024,
    }


def shown(name: str, figures: dict[str, Any]) -> str:
    """One line of figures."""
    parts = (
        f"{name:8} {figures['bytes'] / 1e6:5.0f} MB",
        f"checkpoint {figures['checkpoint_seconds']['median']:.3f} s",
        f"write and sync {figures['write_and_sync_seconds']['median']:.3f} s",
        f"ratio {figures['ratio']['median']:.2f}",
        f"processor time {figures['processor_ratio']:.2f}",
        f"verify {figures['verify_seconds']:.3f} s",
    )
    return "   ".join(parts)


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=11)
    parser.add_argument("--models", default="builtin,50M,200M")
    parser.add_argument("--folder", type=Path, default=ROOT / "benchmarks")
    given = parser.parse_args()
    torch.set_num_threads(1)
    figures = {}
    for name in given.models.split(","):
        shape = _SHAPES.get(name)
        builtin = resolve_model("builtin").path
        if shape is None:
            policy = load_policy(builtin, device="cpu", precision="float32")
        else:
            policy = random_policy(shape)
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            figures[name] = measure(policy, given.repeat, Path(folder))
        print(shown(name, figures[name]), flush=True)
    if set(figures) == {"builtin", *_SHAPES}:
        write("checkpoint", {"repeat": given.repeat, "models": figures})


if __name__ == "__main__":
    main()
