"""Runs of the program itself: speed, memory against the estimate, recording, and phases of GRPO."""

import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpu_mfu import needed_flops, utilization
from benchmarks.gpu_part_machine import describe, installed
from benchmarks.gpu_part_models import data_folder, model_folder, prompt_file
from benchmarks.gpu_parts import LARGE, ROOT, SMALL, Given
from benchmarks.gpu_rows import fail, report, say, skip
from benchmarks.step_overhead import figures as overhead

_WARM_UP = 3
_COMPILED = ("--set", "train.compile=on")
_LEAST = 10.0  # seconds without which a run does not begin


@dataclass(frozen=True, slots=True)
class Card:
    """A card that runs are to fit in.

    Attributes:
        gib: Its memory.
        method: `sft` or `grpo`.
        shape: Of the model.
        options: What documentation says to set for it.
    """

    gib: int
    method: str
    shape: str
    options: tuple[str, ...] = ()

    @property
    def how(self) -> str:
        """The options, for its name."""
        return "".join(f", {option}" for option in self.options if option != "--set")


_BFLOAT16 = ("--set", "train.precision=stochastic")

CARDS = (
    Card(40, "sft", LARGE),
    Card(40, "grpo", LARGE),
    Card(24, "sft", SMALL),
    Card(24, "grpo", SMALL),
    Card(24, "sft", LARGE, _BFLOAT16),
)


def small(given: Given) -> None:
    """SFT at the 0.5B shape; a run this short would not compile its layers by itself."""
    _fine_tune(given, SMALL)
    if given.device == "cuda" and given.left > _LEAST:
        _fine_tune(given, SMALL, compiled=True)


def large(given: Given) -> None:
    """SFT at the 1.5B shape."""
    _fine_tune(given, LARGE)


def rollouts(given: Given) -> None:
    """GRPO at the 0.5B shape: seconds of each phase of a batch."""
    engines = ["hf", *(["vllm"] if installed("vllm") and not given.dry else [])]
    if installed("vllm") is None:
        skip("grpo with vllm", "vllm is not installed")
    for engine in reversed(engines):
        options = _grpo_options(given, engine)
        found = _watched(given, f"grpo-{engine}", "grpo", given.shape(SMALL), options)
        if found is not None:
            _phases(found, engine, _rollouts(given))
            _memory(found, f"grpo, {engine}")


def fits(given: Given) -> None:
    """Each run on an imitation of a card."""
    for number, card in enumerate(CARDS[:2] if given.dry else CARDS):
        if given.left < _LEAST:
            skip(f"{card.method}, {card.shape}, {card.gib} GB card{card.how}", "no time was left")
            continue
        name = f"{card.method}, {card.shape}, {card.gib} GB card{card.how}"
        if given.device != "cuda":
            # the same run without the limit, so that what starts it is known to work
            name = f"{card.method}, {given.shape(card.shape)}, no limit on a CPU"
        tokens = ("--set", "train.checkpoint_every=99")
        base = _sft_options(given, 3) if card.method == "sft" else _grpo_options(given, "hf", 2)
        found = _watched(
            given, f"fits-{number}", card.method, given.shape(card.shape),
            (*base, *card.options, *tokens), card.gib if given.device == "cuda" else None,
        )  # fmt: skip
        if found is not None:
            say(name, "fits", _setting(found))
            _memory(found, name, card.gib)


def _fine_tune(given: Given, shape: str, *, compiled: bool = False) -> None:
    import torch

    name = given.shape(shape)
    steps = _WARM_UP + (5 if given.dry else 12)
    options = (*_sft_options(given, steps), *(_COMPILED if compiled else ()))
    run = f"run-{shape}-compiled" if compiled else f"run-{shape}"
    found = _watched(given, run, "sft", name, options)
    if found is None:
        return
    seconds = _step_seconds(found)
    timed = found["metrics"][_WARM_UP:]
    tokens = sum(one["tokens"] for one in timed)
    gpu, peak = describe(torch.device(given.device))
    which = ", compiled" if compiled else ""
    report(f"whole loop{which}", tokens / seconds, "tokens/s", note=found["how"])
    flops = _needed(given, name, timed)
    note = f"of {gpu}; examples taken as equally long" if peak else f"no peak is known of {gpu}"
    report(f"MFU of the whole loop{which}", utilization(flops, seconds, peak), "share", note=note)
    between = overhead(found["marks"])
    report(
        f"recording and bookkeeping{which}", between["thread_cpu_mean"] / between["step"], "share",
        bar="<= 0.01", note=f"{between['thread_cpu_mean']:.2f} ms of the training thread per step "
        f"of {between['step']:.1f} ms; other threads {between['others_cpu']:.2f} ms",
    )  # fmt: skip
    _memory(found, f"memory{which}")


def _needed(given: Given, shape: str, timed: Sequence[Mapping[str, float]]) -> float:
    """FLOPs of the timed steps; attention is counted as if examples were equally long."""
    from trainers.random_model import SHAPES

    count = _batch(given) * len(timed)
    tokens = sum(one["tokens"] for one in timed)
    supervised = sum(one["tokens"] * one["supervised_fraction"] for one in timed)
    positions = round(tokens / count) - 1
    return needed_flops(SHAPES[shape], [positions] * count, round(supervised))


def _phases(found: Mapping[str, Any], engine: str, count: int) -> None:
    """Medians over the batches of `count` responses behind the first, which warms everything up."""
    marks, updates = found["marks"], found["metrics"]
    firsts = [number for number, one in enumerate(updates) if "generate_seconds" in one][1:]
    if not firsts:
        fail(f"grpo, {engine}", "there is no batch behind the first one")
        return
    for name, metric in (
        ("rollouts", "generate_seconds"),
        ("grading", "grade_seconds"),
        ("log-probabilities", "log_prob_seconds"),
        ("weight copy", "sync_seconds"),
    ):
        known = [updates[number][metric] for number in firsts if metric in updates[number]]
        value = statistics.median(known) if known else None
        report(
            f"{engine}: {name}", value, "s", note="of a batch" if known else "no such phase here"
        )
    spent = [end[0] - start[0] for start, end in zip(marks[0::2], marks[1::2], strict=True)]
    report(f"{engine}: update", statistics.median(spent[firsts[0] :]), "s", note="of half a batch")
    rate = [
        count * updates[number]["response_tokens"] / updates[number]["generate_seconds"]
        for number in firsts
    ]  # fmt: skip
    report(f"{engine}: rollout tokens", statistics.median(rate), "tokens/s", note=found["how"])


def _memory(found: Mapping[str, Any], name: str, card: int | None = None) -> None:
    """Peaks, and how they compare with the estimate that was made before the first update."""
    measured, estimated = found["measured_mib"], found["estimated_mib"]
    off = abs(measured - estimated) / measured if measured else None
    note = f"{estimated:,.0f} MiB estimated, {measured:,.0f} at the peak; {_setting(found)}"
    report(f"{name}: estimate off by", off, "share", bar="<= 0.1", note=note)
    if found["allocated_mib"]:
        bar = f"<= {card}" if card else ""
        report(f"{name}: allocated", found["allocated_mib"] / 1024, "GiB", bar=bar, note="peak")
        report(f"{name}: reserved", found["reserved_mib"] / 1024, "GiB", bar=bar, note="peak")
    else:
        skip(f"{name}: allocated, reserved", "torch's allocator keeps no such peaks on a CPU")


def _setting(found: Mapping[str, Any]) -> str:
    again = "on" if found["checkpointing"] else "off"
    text = f"micro-batches of {found['microbatch_tokens']:,} tokens, checkpointing {again}"
    ran_out = found["out_of_memory"]
    return f"{text}; memory ran out {ran_out} times on the way" if ran_out else text


def _step_seconds(found: Mapping[str, Any]) -> float:
    """From the end of the last warm-up update to the end of the last one."""
    ends = [mark[0] for mark in found["marks"][1::2]]
    return float(ends[-1] - ends[_WARM_UP - 1])


def _batch(given: Given) -> int:
    return 8 if given.dry else 64


def _rollouts(given: Given) -> int:
    return 8 if given.dry else 64


def _sft_options(given: Given, steps: int) -> tuple[str, ...]:
    return (
        *("--steps", str(steps), "--batch-size", str(_batch(given)), "--engine", "hf"),
        *("--lr", "1e-5", "--schedule", "constant"),
        *("--set", f"train.checkpoint_every={steps}"),
    )


def _grpo_options(given: Given, engine: str, batches: int = 3) -> tuple[str, ...]:
    """Fixed lengths; two updates per batch, so that there are log-probabilities to compute."""
    count, length = _rollouts(given), 12 if given.dry else 256
    return (
        *("--steps", str(batches), "--rollout-batch", str(count), "--group-size", "4"),
        *("--train-batch", str(count // 2), "--max-tokens", str(length), "--engine", engine),
        *("--lr", "1e-6", "--set", f"rollout.min_tokens={length}", "--set", "rollout.stop=[]"),
        # random weights solve nothing, and updates without an advantage would be left out
        *("--set", "grpo.skip_zero_advantage=false"),
    )


def _watched(
    given: Given,
    name: str,
    method: str,
    shape: str,
    options: Sequence[str],
    card: int | None = None,
) -> dict[str, Any] | None:
    """What was seen of a run on a made model and data; None where it failed, which is a row."""
    material = (
        *("--model", str(model_folder(given, shape)), "--data", str(data_folder(given))),
        *("--prompt", str(prompt_file(given)), "--device", given.device),
    )
    process = start_watched(given, name, (method, *material, *options), card)
    return seen(given, name, process)


def start_watched(
    given: Given, name: str, words: Sequence[str], card: int | None = None
) -> "subprocess.Popen[str]":
    """Start `a5ctl run` under the watch of `gpu_run.py`.

    Args:
        given: The part's.
        name: Of the workspace and of the file with what is seen.
        words: The method and its options; the device among them.
        card: GiB of the card that is imitated.
    """
    home, result = given.work / f"home-{name}", given.work / f"{name}.json"
    shutil.rmtree(home, ignore_errors=True)
    result.unlink(missing_ok=True)
    command = [
        sys.executable, str(Path(__file__).with_name("gpu_run.py")), str(result),
        *(["--card-gib", str(card)] if card else []), "--", "run", *words,
        "--eval-limit", "1", "--set", "evaluation.at_start=false", "--home", str(home), "--quiet",
    ]  # fmt: skip
    if given.dry:
        command += ["--threads", "1"]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        encoding="utf-8", env=program_environment(),
    )  # fmt: skip


def seen(given: Given, name: str, process: "subprocess.Popen[str]") -> dict[str, Any] | None:
    """Wait for a run's end; None where it failed or there was no time, which is a row."""
    try:
        _, said = process.communicate(timeout=max(1.0, given.left))
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        fail(name, "stopped when the part's time was up")
        return None
    result = given.work / f"{name}.json"
    if not result.exists():
        lines = said.strip().splitlines()
        fail(name, lines[-1][:300] if lines else f"ended with {process.returncode} and no word")
        return None
    found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return found


def program_environment() -> dict[str, str]:
    """Of processes that import this checkout; nothing of the caller's own workspace."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("A5CTL_")}
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**kept, "PYTHONPATH": path, "NO_COLOR": "1"}
