"""Our side of the GRPO benchmark: the public trainer in this process, watched from outside.

    python benchmarks/grpo_ours.py job.json

The whole of a run takes place: preflight, engine, recording of rollouts, batches on disk, watchdog.
It ends with its last step, before it would save a checkpoint and evaluate, as the peer's does. The
last line that is printed is the result as JSON.
"""

import json
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

STARTED = time.perf_counter()
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from a5ctl.process import prepare_process  # noqa: E402

prepare_process()

import torch  # noqa: E402

from benchmarks.grpo_workload import GROUP, GRPO_WORKLOADS, grpo_settings  # noqa: E402
from benchmarks.sft_ours import Measured, import_libraries, peak_kib, until_measured  # noqa: E402
from trainers.observer import Observer, StepReport  # noqa: E402

PHASES = {
    "generate": "generate_seconds",
    "grade": "grade_seconds",
    "log_probs": "log_prob_seconds",
    "sync": "sync_seconds",
}


class Marks(Observer):
    """Notes clock, processor time and phases at the end of every step, as running sums."""

    def __init__(self, rollouts: int) -> None:
        self.rollouts = rollouts
        self.sums = dict.fromkeys((*PHASES, "responses", "tokens", "right", "skipped"), 0.0)
        self.marks: list[dict[str, float]] = []
        self.last: dict[str, float] = {}

    def phase(self, text: str) -> None:
        """The first phase behind the preparation is where the first step begins."""
        if not self.marks and text.startswith("sampling"):
            self.mark()

    def step(self, report: StepReport) -> None:
        """One update is done."""
        found = report.metrics
        for phase, name in PHASES.items():
            self.sums[phase] += found.get(name, 0.0)
        self.sums["responses"] += self.rollouts
        self.sums["tokens"] += found["response_tokens"] * self.rollouts
        self.sums["right"] += found["right_share"] * self.rollouts
        self.sums["skipped"] += found["zero_advantage_share"] * self.rollouts
        self.last = dict(found)
        self.mark()
        if report.step == report.total:
            raise Measured

    def mark(self) -> None:
        """The end of a step, or the beginning of the first."""
        now = {"wall": time.perf_counter(), "cpu": time.process_time()}
        self.marks.append({**now, **self.sums})


def run(job: dict[str, Any], folder: Path) -> tuple[Marks, Any]:
    """Train as the job says; returns what was seen and the choices that were made."""
    work = GRPO_WORKLOADS[job["work"]]
    config = grpo_settings(work, Path(job["folder"]), **job["settings"])
    marks = Marks(work.rollouts // GROUP * GROUP)
    return marks, until_measured(config, folder, marks)


def main() -> None:
    """Train as the job says and print what happened."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    import_libraries()
    imports_kib = peak_kib()
    with tempfile.TemporaryDirectory() as folder:
        marks, stored = run(job, Path(folder))
    result = {
        "marks": marks.marks,
        "last": marks.last,
        "imports_kib": imports_kib,
        "peak_kib": peak_kib(),
        "seconds": time.perf_counter() - STARTED,
        "threads": torch.get_num_threads(),
        "settings": {name: stored[name] for name in ("train", "rollout", "grpo")},
        "versions": {name: version(name) for name in ("torch", "transformers")},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
