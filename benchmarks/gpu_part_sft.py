"""SFT steps of our packed passes, of a plain transformers loop, and of TRL, in turns.

Sides and jobs are those of `gpu_sft.py`; each runs in a process of its own. The first round takes
every side once (at the larger shape the two fastest of each family at the smaller one). Then ours,
the plain loop and TRL's fastest take turns, in reversed order every other round, as long as there
is time; figures are medians over the rounds.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.gpu_part_machine import describe, installed
from benchmarks.gpu_parts import PROGRAM, Given, why_not
from benchmarks.gpu_rows import fail, report, skip
from benchmarks.gpu_sft import OUR_SIDES
from benchmarks.gpu_sft_trl import TRL_SIDES
from benchmarks.gpu_sft_work import SHAPES, Job
from core.units import GIB

PLAIN = "padded"
# so that what matters most is known where time runs out
_FIRST = (
    *(PLAIN, "packed", "trl-flash-packing-liger", "trl-flex-packing", "packed-compiled"),
    *("trl-default", "trl-liger", "packed-bf16", "packed-bf16-compiled"),
)
_SPEEDS = "sft-speeds.json"
_TURNS = 3
# GiB of a card from which on a row has so many tokens
_ROW_TOKENS = {
    "0.5b": ((75, 16_384), (38, 8_192), (0, 4_096)),
    "1.5b": ((130, 16_384), (75, 8_192), (0, 2_048)),
}
_WIDE = 8_192  # tokens of a row from which on a padded micro-batch has 16 examples
_LEAST = 8.0  # seconds without which a side does not begin
_LONGEST = 75.0  # seconds of one side; compiling takes most of it
# what TRL's sides need beyond torch and transformers
_TRL_NEEDS = ("trl", "datasets", "accelerate")
_LIGER_NEEDS = ("liger_kernel",)
Runs = dict[str, list[dict[str, Any]]]


def small(given: Given) -> None:
    """The 0.5B shape."""
    _compare(given, "0.5b", mfu=0.40)


def large(given: Given) -> None:
    """The 1.5B shape."""
    _compare(given, "1.5b", mfu=0.45)


def _compare(given: Given, shape: str, *, mfu: float) -> None:
    import torch

    name, peak = describe(torch.device(given.device))
    job_of = promising(_jobs(given, shape), given)
    runs: Runs = {}
    for side, job in job_of.items():
        reason = unavailable(side, given)
        if reason is not None:
            skip(side, reason)
        elif given.left < _LEAST + _for_turns(runs, given):
            skip(side, "no time was left for it")
        elif found := _once(job, peak or 1.0, given):
            runs.setdefault(side, []).append(found)
            report(f"{side}, first turn", found["tokens_per_second"], "tokens/s", note=_how(found))
    finalists = _finalists(runs)
    for turn in range(0 if given.dry else _TURNS - 1):
        for side in finalists[:: -1 if turn % 2 == 0 else 1]:
            enough = given.left > 1.3 * runs[side][0]["wall_seconds"]
            if enough and (found := _once(job_of[side], peak or 1.0, given)):
                runs[side].append(found)
    _summarize(runs, finalists, mfu, f"of {name}" if peak else "")
    _remember(runs, given)


def _finalists(runs: Runs) -> list[str]:
    found = (fastest(runs, family) for family in (_ours, _plain, _theirs))
    return [side for side in found if side is not None]


def _for_turns(runs: Runs, given: Given) -> float:
    """Seconds that one more turn of the fastest sides so far would take; a dry run has none."""
    return 0.0 if given.dry else 1.3 * sum(runs[s][0]["wall_seconds"] for s in _finalists(runs))


def _remember(runs: Runs, given: Given) -> None:
    rates = {side: _rate(found) for side, found in runs.items()}
    (given.work / _SPEEDS).write_text(json.dumps(rates), encoding="utf-8")


def promising(jobs: dict[str, Job], given: Given) -> dict[str, Job]:
    """The two fastest sides of each family at the smaller shape; all where that is not known."""
    path = given.work / _SPEEDS
    if not path.exists():
        return jobs
    rates: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
    kept: set[str] = set()
    for family in (_ours, _plain, _theirs):
        sides = sorted(filter(family, rates), key=lambda side: rates[side])
        kept.update(sides[-1:] if given.dry else sides[-2:])
    return {side: job for side, job in jobs.items() if side in kept}


def unavailable(side: str, given: Given) -> str | None:
    """Why a side cannot run here; None where it can."""
    if side in TRL_SIDES:
        needs = _TRL_NEEDS + (_LIGER_NEEDS if "liger" in side else ())
        flash = installed("flash-attn") is not None
        if "flash" in side and not flash:
            return "flash-attn is not installed"
        if "flex" in side and flash:
            return "flash-attn is installed, which TRL names as the quicker one"
        if "liger" in side and given.device == "cpu":
            return "liger-kernel's Triton kernels need a GPU"
        return why_not(needs, mend=False)
    if side.endswith("compiled") and given.device == "cpu":
        return "compiling for a CPU takes minutes and says nothing of a GPU"
    return None if side == PLAIN else why_not(PROGRAM, mend=False)


def fastest(runs: Runs, belongs: Any) -> str | None:
    """The side with the most tokens per second among those that belong."""
    rates = {side: _rate(found) for side, found in runs.items() if belongs(side)}
    return max(rates, key=lambda side: rates[side], default=None)


def _summarize(runs: Runs, finalists: Sequence[str], mfu: float, gpu: str) -> None:
    for side in finalists:
        found = runs[side]
        ours = _ours(side)
        note = f"median of {len(found)}; {_how(found[0])}"
        report(f"{side}", _rate(found), "tokens/s", note=note)
        used = _median(found, "mfu_datasheet") if gpu else None
        bar = f">= {mfu}" if ours else ""
        report(
            f"{side}: MFU", used, "share", bar=bar, note=gpu or "no peak is known of this device"
        )
        against = "of a large matrix product, measured in the same process"
        report(f"{side}: share", _median(found, "mfu_measured_product"), "share", note=against)
        report(f"{side}: peak memory", found[0]["peak_memory_gib"], "GiB", note=_only_gpus(found))
    for other, bar in ((fastest(runs, _plain), ""), (fastest(runs, _theirs), ">= 1.2")):
        mine = fastest(runs, _ours)
        if mine and other:
            ratio = _rate(runs[mine]) / _rate(runs[other])
            report(f"{mine} against {other}", ratio, "times", bar=bar, note="tokens/s")
    _like_for_like(runs)


def _like_for_like(runs: Runs) -> None:
    """Float32 weights against TRL's with float32 weights, whichever side was the fastest."""
    mine = fastest(runs, lambda side: _ours(side) and "bf16" not in side)
    other = fastest(runs, lambda side: _theirs(side) and "bf16" not in side)
    if mine and other:
        ratio = _rate(runs[mine]) / _rate(runs[other])
        report(f"{mine} against {other}", ratio, "times", note="float32 weights on both sides")


def _jobs(given: Given, shape: str) -> dict[str, Job]:
    known = [*OUR_SIDES, *TRL_SIDES]
    sides = [*(side for side in _FIRST if side in known), *(s for s in known if s not in _FIRST)]
    if given.dry:
        sizes = (8, 4, 128, 1, 2)
    else:
        tokens = row_tokens(shape, _memory_gib(given))
        sizes = (64, 16 if tokens >= _WIDE else 4, tokens, 3, 10)
    name = given.shape(shape)
    if name not in SHAPES:
        raise SystemExit(f"no shape is called {name}")
    return {side: Job(name, side, given.device, *sizes) for side in sides}


def row_tokens(shape: str, gib: float) -> int:
    """Tokens of a row that fit a card of that size without checkpointing, by docs/fits.md."""
    return next(tokens for least, tokens in _ROW_TOKENS[shape] if gib >= least)


def _memory_gib(given: Given) -> float:
    import torch

    return float(torch.cuda.get_device_properties(given.device).total_memory / GIB)


def _once(job: Job, peak: float, given: Given) -> dict[str, Any] | None:
    """Figures of one side; None where it failed, which is a row of its own."""
    left, started = min(given.left, _LONGEST), time.monotonic()
    script = str(Path(__file__).with_name("gpu_sft.py"))
    command = [sys.executable, script, "--job", json.dumps(asdict(job)), "--peak", str(peak)]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        encoding="utf-8", env={**os.environ, "TOKENIZERS_PARALLELISM": "false"},
    )  # fmt: skip
    try:
        output, errors = process.communicate(timeout=left)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        fail(job.side, f"stopped after {left:.0f} s")
        return None
    if process.returncode:
        fail(job.side, (errors.strip().splitlines() or ["it said nothing"])[-1][:300])
        return None
    figures: dict[str, Any] = json.loads(output.splitlines()[-1])
    return {**figures, "wall_seconds": time.monotonic() - started}


def _ours(side: str) -> bool:
    return side not in TRL_SIDES and side != PLAIN


def _plain(side: str) -> bool:
    return side == PLAIN


def _theirs(side: str) -> bool:
    return side in TRL_SIDES


def _rate(found: Sequence[Mapping[str, Any]]) -> float:
    return _median(found, "tokens_per_second")


def _median(found: Sequence[Mapping[str, Any]], name: str) -> float:
    return statistics.median(one[name] for one in found)


def _how(found: Mapping[str, Any]) -> str:
    parts = [str(found[key]) for key in ("attention", "projection") if key in found]
    loss = f"loss {found['losses'][0]:.3f} to {found['losses'][-1]:.3f}"
    return "; ".join([*parts, loss])


def _only_gpus(found: Sequence[Mapping[str, Any]]) -> str:
    return "allocated" if found[0]["peak_memory_gib"] is not None else "only GPUs tell"
