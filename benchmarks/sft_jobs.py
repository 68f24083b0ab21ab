"""Fresh processes for the SFT benchmarks, ours and the peer's, and what they give as figures."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.sft_workload import LEARNING_RATE, Workload

HERE = Path(__file__).parent
_PLAIN = {"bf16": False, "gradient_checkpointing": False}
_HALF = {"bf16": True, "gradient_checkpointing": False}
_GROUPED = {"train_sampling_strategy": "group_by_length"}
_OWN_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY")


@dataclass(frozen=True, slots=True)
class Peer:
    """One configuration of TRL's SFTTrainer.

    Attributes:
        settings: What is passed to SFTConfig beside the work itself.
        threads: CPU threads; None leaves torch its own choice.
        rows: Rows per forward pass; gradients are accumulated to the batch size.
        attention: transformers' attention implementation.
    """

    settings: Mapping[str, Any]
    threads: int | None = 1
    rows: int | None = None
    attention: str = "sdpa"


PEERS: Mapping[str, Peer] = {
    "default": Peer({}, threads=None),
    "default-1-thread": Peer({}),
    "padded": Peer(_PLAIN),
    "padded-bf16": Peer(_HALF),
    "padded-2-threads": Peer(_PLAIN, threads=2),
    "padded-eager": Peer(_PLAIN, attention="eager"),
    "by-4": Peer(_PLAIN, rows=4),
    "by-2": Peer(_PLAIN, rows=2),
    "by-1": Peer(_PLAIN, rows=1),
    "by-1-bf16": Peer(_HALF, rows=1),
    "by-1-2-threads": Peer(_PLAIN, rows=1, threads=2),
    "by-1-bf16-2-threads": Peer(_HALF, rows=1, threads=2),
    "by-1-eager": Peer(_PLAIN, rows=1, attention="eager"),
    "grouped": Peer({**_PLAIN, **_GROUPED}),
    "grouped-bf16": Peer({**_HALF, **_GROUPED}),
    "grouped-by-4": Peer({**_PLAIN, **_GROUPED}, rows=4),
    "grouped-2-threads": Peer({**_PLAIN, **_GROUPED}, threads=2),
    "padding-free": Peer({**_PLAIN, "padding_free": True, "max_length": None}),
    "packed-768": Peer({**_PLAIN, "packing": True, "max_length": 768}, rows=1),
    "packed-1024": Peer({**_PLAIN, "packing": True, "max_length": 1024}, rows=1),
}
"""What the search tries. SFTConfig refuses a CPU unless `use_cpu` is given, so all of them have
it; bfloat16 autocast and gradient checkpointing are TRL's own defaults, and its loss is chunked in
every configuration. A packed row holds several examples: its batch has fewer rows, not more work.
"""
_PACKED_ROWS = {"packed-768": 768, "packed-1024": 1024}


@dataclass(frozen=True, slots=True)
class Figures:
    """What one process did.

    Attributes:
        tokens: Real tokens of the timed steps.
        seconds: Wall time of them.
        cpu_seconds: Processor time of them.
        step_rates: Tokens per second of each.
        whole_seconds: The whole process, imports included, to the end of the training.
        extra_mib: Peak resident memory above that after the imports.
        losses: Of every step from the first.
        raw: Everything that the process printed.
    """

    tokens: int
    seconds: float
    cpu_seconds: float
    step_rates: tuple[float, ...]
    whole_seconds: float
    extra_mib: float
    losses: tuple[float, ...]
    raw: Mapping[str, Any]

    @property
    def rate(self) -> float:
        """Real tokens per second of training step."""
        return self.tokens / self.seconds

    @property
    def cpu_rate(self) -> float:
        """Real tokens per second of processor time, which other work disturbs less."""
        return self.tokens / self.cpu_seconds

    def summary(self) -> dict[str, Any]:
        """For the JSON file."""
        return {
            "tokens_per_second": self.rate,
            "tokens_per_cpu_second": self.cpu_rate,
            "median_step": statistics.median(self.step_rates),
            "whole_process_seconds": self.whole_seconds,
            "peak_mib_above_imports": self.extra_mib,
            "threads": self.raw["threads"],
        }


def run_peer(
    work: Workload, folder: Path, name: str, python: str, steps: int, lr: float = LEARNING_RATE
) -> Figures:
    """Train with one of TRL's configurations.

    Raises:
        RuntimeError: the process failed; the message holds the end of its errors.
    """
    peer = PEERS[name]
    own = folder / work.name
    rows = peer.rows or work.batch_size
    batch = work.batch_size
    if name in _PACKED_ROWS:
        lengths = mean_tokens(folder, work)
        batch = max(1, round(work.batch_size * lengths / _PACKED_ROWS[name]))
    job = {
        "model": str(own / "model"),
        "data": str(own / "pairs.jsonl"),
        "steps": steps,
        "lr": lr,
        "threads": peer.threads,
        "attention": peer.attention,
        "settings": {
            "use_cpu": True,
            **peer.settings,
            "per_device_train_batch_size": rows,
            "gradient_accumulation_steps": batch // rows,
        },
    }
    return _figures(process([python, str(HERE / "peers" / "trl_sft.py")], job), work.warmup)


def run_ours(work: Workload, folder: Path, steps: int, **changes: Any) -> Figures:
    """Train with the public trainer; `changes` are settings as `sft_workload.settings` has them.

    Raises:
        RuntimeError: the process failed; the message holds the end of its errors.
    """
    count = bool(changes.pop("count_operations", False))
    job = {
        "work": work.name,
        "folder": str(folder),
        "steps": steps,
        "settings": changes,
        "count_operations": count,
        "warmup": work.warmup,
    }
    return _figures(process([sys.executable, str(HERE / "sft_ours.py")], job), work.warmup)


def mean_tokens(folder: Path, work: Workload) -> float:
    """Tokens of an average example, from the file that describes the data."""
    known = json.loads((folder / work.name / "lengths.json").read_text(encoding="utf-8"))
    return sum(known) / len(known)


def process(command: list[str], job: Mapping[str, Any]) -> dict[str, Any]:
    """Run a script on a job file; returns the JSON of its last line.

    Raises:
        RuntimeError: it failed; the message holds the end of its errors.
    """
    environment = {k: v for k, v in os.environ.items() if k not in _OWN_THREADS}
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(job, file)
        file.flush()
        done = subprocess.run(
            [*command, file.name],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
        )
    if done.returncode != 0:
        raise RuntimeError(f"{command[-1]} failed:\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def _figures(raw: dict[str, Any], warmup: int) -> Figures:
    marks = raw["marks"][warmup - 1 :]
    steps = [
        (after[0] - before[0], after[1] - before[1], after[2] - before[2])
        for before, after in pairwise(marks)
    ]
    return Figures(
        tokens=sum(step[2] for step in steps),
        seconds=sum(step[0] for step in steps),
        cpu_seconds=sum(step[1] for step in steps),
        step_rates=tuple(step[2] / step[0] for step in steps),
        whole_seconds=raw["seconds"],
        extra_mib=(raw["peak_kib"] - raw["imports_kib"]) / 1024,
        losses=tuple(raw["losses"]),
        raw=raw,
    )
