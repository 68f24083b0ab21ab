"""Fresh processes for the GRPO benchmark, ours and the peer's, and what they give as figures."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.grpo_workload import GROUP, LEARNING_RATE, GrpoWorkload
from benchmarks.sft_jobs import Peer, process

HERE = Path(__file__).parent
PHASES = ("generate", "grade", "log_probs", "sync")
_PLAIN = {"bf16": False, "gradient_checkpointing": False}
_HALF = {"bf16": True, "gradient_checkpointing": False}

GRPO_PEERS: Mapping[str, Peer] = {
    "default": Peer({}, threads=None),
    "default-1-thread": Peer({}),
    "whole": Peer(_PLAIN),
    "whole-2-threads": Peer(_PLAIN, threads=2),
    "whole-bf16": Peer(_HALF),
    "by-16": Peer(_PLAIN, rows=16),
    "by-16-bf16": Peer(_HALF, rows=16),
    "by-8": Peer(_PLAIN, rows=8),
    "by-8-2-threads": Peer(_PLAIN, rows=8, threads=2),
    "by-2": Peer(_PLAIN, rows=2),
    "by-8-continuous": Peer({**_PLAIN, "use_transformers_continuous_batching": True}, rows=8),
    "by-8-vllm": Peer({**_PLAIN, "use_vllm": True, "vllm_mode": "colocate"}, rows=8),
}
"""What the search tries; `use_cpu` is given to all, because GRPOConfig refuses a CPU without it.
`rows` are those of a forward and backward pass: sampling always takes the whole batch at once.
"""


@dataclass(frozen=True, slots=True)
class GrpoFigures:
    """What one process did in its timed steps; seconds are per step, medians over them.

    On a machine that does other things too, processor time is what compares; phases are told apart
    by wall time, and their processor time is the step's, shared out in the same proportions.

    Attributes:
        step_seconds: Wall time of a step.
        cpu_seconds: Processor time of a step.
        phases: Wall time by phase; `update` is what the others leave.
        tokens: Mean number of response tokens of a step.
        right: Share of right responses.
        whole_seconds: The whole process, imports included.
        extra_mib: Peak resident memory above that after the imports.
        raw: Everything that the process printed.
    """

    step_seconds: float
    cpu_seconds: float
    phases: Mapping[str, float]
    tokens: float
    right: float
    whole_seconds: float
    extra_mib: float
    raw: Mapping[str, Any]

    def summary(self) -> dict[str, Any]:
        """For the JSON file."""
        return {
            "step_seconds": self.step_seconds,
            "cpu_seconds": self.cpu_seconds,
            "phases": dict(self.phases),
            "response_tokens_of_a_step": self.tokens,
            "milliseconds_per_response_token": {
                "wall": 1000 * self.step_seconds / self.tokens,
                "cpu": 1000 * self.cpu_seconds / self.tokens,
            },
            "phases_in_cpu_seconds": {
                phase: seconds * self.cpu_seconds / self.step_seconds
                for phase, seconds in self.phases.items()
            },
            "right_share": self.right,
            "whole_process_seconds": self.whole_seconds,
            "peak_mib_above_imports": self.extra_mib,
            "threads": self.raw["threads"],
        }


def run_grpo_peer(work: GrpoWorkload, folder: Path, name: str, python: str) -> GrpoFigures:
    """Train with one of TRL's configurations.

    Raises:
        RuntimeError: the process failed; the message holds the end of its errors.
    """
    peer = GRPO_PEERS[name]
    rows = peer.rows or work.rollouts
    settings = {
        "use_cpu": True,
        "num_generations": GROUP,
        "max_completion_length": work.cap,
        **peer.settings,
        "per_device_train_batch_size": rows,
        "gradient_accumulation_steps": work.rollouts // rows,
    }
    if work.fixed is not None:
        settings["generation_kwargs"] = {"min_new_tokens": work.fixed}
    job = {
        "model": str(folder / "model"),
        "prompts": str(folder / "prompts.jsonl"),
        "steps": work.steps,
        "lr": LEARNING_RATE,
        "seed": 0,
        "threads": peer.threads,
        "attention": None if name.startswith("default") else peer.attention,
        "settings": settings,
    }
    return _figures(process([python, str(HERE / "peers" / "trl_grpo.py")], job), work.warmup)


def run_grpo_ours(work: GrpoWorkload, folder: Path, **changes: Any) -> GrpoFigures:
    """Train with the public trainer; `changes` are settings as `grpo_settings` has them.

    Raises:
        RuntimeError: the process failed; the message holds the end of its errors.
    """
    changes = {"grpo__steps": work.steps, **changes}
    job = {"work": work.name, "folder": str(folder), "settings": changes}
    return _figures(process([sys.executable, str(HERE / "grpo_ours.py")], job), work.warmup)


def _figures(raw: dict[str, Any], warmup: int) -> GrpoFigures:
    marks = raw["marks"][warmup:]
    steps = [{key: b[key] - a[key] for key in a} for a, b in pairwise(marks)]
    phases = {phase: median(step[phase] for step in steps) for phase in PHASES}
    phases["update"] = median(s["wall"] - sum(s[phase] for phase in PHASES) for s in steps)
    responses = sum(step["responses"] for step in steps)
    return GrpoFigures(
        step_seconds=median(step["wall"] for step in steps),
        cpu_seconds=median(step["cpu"] for step in steps),
        phases=phases,
        tokens=sum(step["tokens"] for step in steps) / len(steps),
        right=sum(step["right"] for step in steps) / responses,
        whole_seconds=raw["seconds"],
        extra_mib=(raw["peak_kib"] - raw["imports_kib"]) / 1024,
        raw=raw,
    )
