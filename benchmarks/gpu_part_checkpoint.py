"""A checkpoint of the 0.5B policy with its moments: written, checked, and read back."""

import shutil
import time
from typing import Any

from benchmarks.gpu_part_models import model_folder
from benchmarks.gpu_parts import SMALL, Given
from benchmarks.gpu_rows import report

_ROUNDS = 2


def write_and_restore(given: Given) -> None:
    """Seconds and GB/s, as a run writes and as a resume reads."""
    import torch

    from benchmarks.gpu_sft_work import wait
    from core.config.schema import TrainSettings
    from trainers.checkpoint import TrainerState, newest_whole, restore, save_checkpoint
    from trainers.optimization import build_optimizer
    from trainers.policy import load_policy

    device, folder = torch.device(given.device), given.work / "checkpoints"
    settings = TrainSettings(lr=1e-5, steps=1)

    def load(source: Any) -> tuple[Any, Any]:
        policy = load_policy(source, device=given.device, precision=given.precision)
        return policy, build_optimizer(
            policy.model.named_parameters(), settings, precision=policy.precision
        )

    policy, optimizer = load(model_folder(given, given.shape(SMALL)))
    for parameter in policy.model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.update(1e-5)
    try:
        taken = []
        for number in range(_ROUNDS):
            wait(device)
            started = time.perf_counter()
            save_checkpoint(folder, policy, optimizer, TrainerState(number + 1))
            taken.append(time.perf_counter() - started)
            if given.left < 2 * taken[-1]:
                break
        files = next(folder.glob("step-*")).rglob("*")
        size = sum(file.stat().st_size for file in files if file.is_file())
        note = f"{size / 1e9:.2f} GB with both moments, synced to the disk of {given.work}"
        report("written in", min(taken), "s", note=note)
        report("written", size / min(taken) / 1e9, "GB/s")
        del policy, optimizer
        started = time.perf_counter()
        whole, skipped = newest_whole(folder)
        report("checked in", time.perf_counter() - started, "s", note="all checksums")
        if whole is None:
            raise SystemExit(f"no checkpoint is whole: {skipped}")
        started = time.perf_counter()
        _, optimizer = load(whole)
        state = restore(whole, optimizer, device)
        wait(device)
        spent = time.perf_counter() - started
        report("read in", spent, "s", note=f"weights, moments and RNG of step {state.step}")
        report("read", size / spent / 1e9, "GB/s")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
