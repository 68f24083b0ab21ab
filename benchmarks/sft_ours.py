"""Our side of the SFT benchmarks: the public trainer in this process, watched from outside.

    python benchmarks/sft_ours.py job.json

The whole of a run takes place: preparation, preflight, recording, watchdog. Left out are what the
peer's side has not either: the engine for evaluations is never built, and the run ends with its
last step, before it would save a checkpoint. The last line that is printed is the result as JSON.
"""

import hashlib
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

from benchmarks.sft_workload import WORKLOADS, settings  # noqa: E402
from core.config.schema import RunConfig  # noqa: E402
from core.models import prepare_imports  # noqa: E402
from core.registry.store import open_registry  # noqa: E402
from core.workspace import Workspace  # noqa: E402
from trainers import train  # noqa: E402
from trainers.execute import House, start  # noqa: E402
from trainers.observer import Observer, StepReport  # noqa: E402
from trainers.prepare import prepare  # noqa: E402
from trainers.tokenization import encode_example  # noqa: E402


class Measured(BaseException):
    """The last step is done; nothing after it is part of the measurement."""


class Marks(Observer):
    """Notes clock, processor time, tokens and loss at the end of every step."""

    def __init__(self, warmup: int, count: bool) -> None:
        self.warmup = warmup
        self.counter = operation_counter() if count else None
        self.marks: list[tuple[float, float, int]] = []
        self.losses: list[float] = []
        self.padding: list[float] = []

    def step(self, report: StepReport) -> None:
        """One update is done."""
        tokens = int(report.metrics["tokens_total"])
        self.marks.append((time.perf_counter(), time.process_time(), tokens))
        self.losses.append(report.metrics["loss"])
        self.padding.append(report.metrics.get("padding_share", 0.0))
        if self.counter is not None and report.step == self.warmup:
            self.counter.__enter__()
        if report.step == report.total:
            if self.counter is not None:
                self.counter.__exit__(None, None, None)
            raise Measured


class NoEvaluator:
    """Stands where the run keeps its engine for evaluations."""

    def evaluate(self, *_: object) -> None:
        """Never called: the run ends before."""
        raise AssertionError("the benchmark evaluates nothing")

    def close(self) -> None:
        """Nothing to give back."""


def peak_kib() -> int:
    """Largest resident size of this process so far; ru_maxrss would know the parent's too."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:", 1)[1].split(maxsplit=1)[0])


def operation_counter() -> Any:
    """Counts the operations of matrix products that are carried out, whoever calls them.

    The fused attention kernel is left out (torch has no formula for it on a CPU), so what is
    counted is a lower bound.
    """
    from torch.utils.flop_counter import FlopCounterMode, mm_flop

    def in_place(_: object, left: Any, right: Any, **__: object) -> int:
        return int(mm_flop(left, right))

    return FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: in_place})


def import_libraries() -> None:
    """Import what any trainer imports, so that its memory is known."""
    prepare_imports()
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: F401
    from transformers.models.qwen2 import modeling_qwen2  # noqa: F401


def until_measured(config: RunConfig, folder: Path, observer: Observer) -> Any:
    """Start a run in a new workspace; returns its settings as stored, once it is `Measured`.

    Args:
        config: Of the run.
        folder: Of the workspace.
        observer: Ends the run by raising `Measured`.

    Raises:
        RuntimeError: the run ended by itself.
    """
    workspace = Workspace(folder)
    registry = open_registry(workspace.registry_url())
    try:
        outcome = start(
            prepare(config, workspace, registry), House(workspace, registry, observer, sys.argv)
        )
        raise RuntimeError(f"the run ended early: {outcome.message}")
    except Measured:
        return registry.runs()[0].config
    finally:
        registry.close()


def run(job: dict[str, Any], folder: Path) -> tuple[Marks, Any]:
    """Train as the job says; returns what was seen and the choices that were made."""
    work = WORKLOADS[job["work"]]
    config = settings(work, Path(job["folder"]), train__steps=job["steps"], **job["settings"])
    marks = Marks(job["warmup"], job["count_operations"])
    if not hasattr(train, "build_evaluator"):
        raise RuntimeError("trainers.train no longer builds the evaluator: adapt this script")
    train.build_evaluator = lambda *_, **__: NoEvaluator()  # type: ignore[assignment]
    return marks, until_measured(config, folder, marks)


def fingerprint(folder: Path) -> dict[str, Any]:
    """What our tokenization makes of the peer's file, in its order; as the peer counts it."""
    from core.models import load_tokenizer

    tokenizer = load_tokenizer(folder / "model")
    digest = hashlib.sha256()
    tokens = supervised = 0
    for row in map(json.loads, (folder / "pairs.jsonl").read_text(encoding="utf-8").splitlines()):
        example = encode_example("", row["prompt"], row["completion"], tokenizer)
        pairs = zip(example.token_ids, example.supervised, strict=True)
        labels = [token if marked else -100 for token, marked in pairs]
        tokens += len(example.token_ids)
        supervised += example.supervised_count
        digest.update(repr((list(example.token_ids), labels)).encode())
    return {"tokens": tokens, "supervised": supervised, "sha256": digest.hexdigest()}


def main() -> None:
    """Train as the job says and print what happened."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    import_libraries()
    imports_kib = peak_kib()
    with tempfile.TemporaryDirectory() as folder:
        marks, stored = run(job, Path(folder))
    result = {
        "marks": marks.marks,
        "losses": marks.losses,
        "padding": marks.padding,
        "operations": marks.counter.get_total_flops() if marks.counter else None,
        "imports_kib": imports_kib,
        "peak_kib": peak_kib(),
        "seconds": time.perf_counter() - STARTED,
        "tokenized": fingerprint(Path(job["folder"]) / job["work"]),
        "threads": torch.get_num_threads(),
        "settings": stored["train"],
        "versions": {name: version(name) for name in ("torch", "transformers")},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
