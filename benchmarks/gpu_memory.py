"""What training takes on a GPU at true shapes: estimated, followed, measured where there is one.

    python benchmarks/gpu_memory.py                    # anywhere, some minutes on one core
    python benchmarks/gpu_memory.py --measure          # on a GPU; leaves out what does not fit

For each way to train:

    estimate     of trainers/memory_cuda.py, as preflight and `a5ctl model fits` use it
    followed     live bytes of the program's own step on fake tensors (memory_follow.py)
    reserved     what the caching allocator would hold for that, by its rules (memory_allocator.py)
    least        what a device must have for that, where the allocator gives back what it can
    measured     torch.cuda.max_memory_allocated of the same step, with --measure

Followed figures are no measurements: what kernels allocate for themselves is known from their
sources only, and matrix products' workspaces are guessed.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from benchmarks.memory_allocator import least_limit, replay  # noqa: E402
from benchmarks.memory_measured import measure  # noqa: E402
from benchmarks.memory_steps import Work, draw, follow, model_config  # noqa: E402
from core.units import GIB  # noqa: E402
from trainers.memory_cuda import (  # noqa: E402
    UNMEASURED,
    Reads,
    Sizes,
    Step,
    fullest,
    lost_bytes,
)
from trainers.packed.projection_choice import Projection  # noqa: E402
from trainers.precision import BFLOAT16, MIXED, STOCHASTIC  # noqa: E402
from trainers.random_model import SHAPES  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "gpu_memory.json"
READS = {"sft": Reads.LOSS, "dpo": Reads.TOKENS, "grpo": Reads.ENTROPIES}
# rows of a step are about equally long, and never quite
_ROWS = (0.95, 1.0)
WAYS = (
    (4096, "sft", Projection.FUSED),
    (16384, "sft", Projection.FUSED),
    (16384, "grpo", Projection.CHUNKED),
)


def works(shapes: list[str]) -> Iterator[tuple[str, Work]]:
    """Every way that is looked at, with the name of its shape."""
    for shape in shapes:
        for precision in (MIXED, BFLOAT16):
            for again in (False, True):
                for tokens, method, projection in WAYS:
                    yield (
                        shape,
                        Work(SHAPES[shape], precision, tokens, again, method, _ROWS, projection),
                    )


def look(work: Work, *, on_gpu: bool) -> dict[str, Any]:
    """The figures of one way to train, in bytes."""
    targets = sum(example.supervised_count for example in draw(work))
    sizes = Sizes.of(model_config(work.shape))
    step = Step(
        sizes,
        work.tokens,
        targets,
        work.precision,
        work.checkpointing,
        READS[work.method],
        fused=work.projection is Projection.FUSED,
    )
    moment = fullest(step)
    state = sizes.parameters * work.precision.state_bytes
    trace = follow(work)
    peak, parts = trace.peak()
    figures: dict[str, Any] = {
        "fullest": moment.name,
        "estimate": state + moment.total,
        "followed": peak,
        "followed_parts": parts,
        "estimate_to_followed": (state + moment.total) / peak,
        "reserved": replay(trace).highest,
        "least": least_limit(trace, peak),
        "estimate_lost": lost_bytes(step, moment),
    }
    if on_gpu:
        figures["measured"] = _measured(work, figures["estimate"] + UNMEASURED.workspace)
    return figures


def _measured(work: Work, estimate: int) -> dict[str, Any]:
    try:
        found = measure(work)
    except torch.OutOfMemoryError as error:
        return {"failed": str(error).splitlines()[0]}
    return {**asdict(found), "estimate_to_measured": estimate / found.allocated}


def main() -> None:
    """Look at every way, print a line for each, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", action="append", choices=list(SHAPES))
    parser.add_argument("--measure", action="store_true", help="run the steps on this GPU too")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    if given.measure and not torch.cuda.is_available():
        raise SystemExit("--measure needs a GPU, and torch sees none; leave it out")
    rows = []
    for shape, work in works(given.shape or ["qwen2.5-0.5b", "qwen2.5-1.5b"]):
        found = look(work, on_gpu=given.measure)
        way = {
            "shape": shape,
            "precision": "bfloat16 or stochastic"
            if work.precision in (BFLOAT16, STOCHASTIC)
            else work.precision.name,
            "checkpointing": work.checkpointing,
            "tokens": work.tokens,
            "method": work.method,
            "projection": work.projection.value,
        }
        rows.append({**way, **found})
        print(
            *way.values(),
            *(
                f"{name} {found[name] / GIB:.2f}"
                for name in ("estimate", "followed", "reserved", "least")
            ),
            found.get("measured", ""),
            flush=True,
        )
    note = "measured on a GPU" if given.measure else "followed on fake tensors, on no GPU"
    gpu = torch.cuda.get_device_name() if given.measure else None
    document = {"how": note, "gpu": gpu, "torch": torch.__version__, "bytes": rows}
    given.out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
