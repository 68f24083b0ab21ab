"""Be `a5ctl run sft` or `a5ctl run grpo`, watched: when updates begin and end, and what they take.

    python benchmarks/gpu_run.py RESULT.json [--card-gib N] -- run sft --model FOLDER ...

Everything of a run takes place (preflight, recording, watchdog, engine). It ends behind its last
update, before it would save a checkpoint and evaluate; what was seen is then in RESULT.json.
`--card-gib` imitates a smaller card: torch refuses more than that, and what asks for the card's
memory is told so.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from core.units import GIB, MIB  # noqa: E402


class Watch:
    """What is seen of a run.

    Attributes:
        marks: Wall, thread CPU and process CPU seconds before and after each update.
        metrics: What each update returned.
        allocated: Bytes that torch's allocator held for tensors at the peak of the updates.
        reserved: Bytes that it held of the device, likewise.
    """

    def __init__(self, result: Path) -> None:
        self.result = result
        self.marks: list[tuple[float, float, float]] = []
        self.metrics: list[dict[str, float]] = []
        self.allocated = self.reserved = 0
        self.held: dict[str, Any] = {}

    def around(self, update: Callable[..., dict[str, float]]) -> Callable[..., dict[str, float]]:
        """An update that is watched, and the last one of which ends the process."""

        def watched(method: Any, step: int) -> dict[str, float]:
            self.mark()
            found = update(method, step)
            _synchronize()
            self.mark()
            self.metrics.append(dict(found))
            self.peaks()
            if step == method.total_steps:
                self.end(method)
            return found

        return watched

    def mark(self) -> None:
        """Now, by all clocks."""
        self.marks.append((time.perf_counter(), time.thread_time(), time.process_time()))

    def keep(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same function; its last result is held."""

        def held(*arguments: Any, **given: Any) -> Any:
            self.held[name] = call(*arguments, **given)
            return self.held[name]

        return held

    def peaks(self) -> None:
        """The allocator's peaks, before anything starts them anew."""
        import torch

        if torch.cuda.is_available():
            self.allocated = max(self.allocated, torch.cuda.max_memory_allocated())
            self.reserved = max(self.reserved, torch.cuda.max_memory_reserved())

    def end(self, method: Any) -> None:
        """Write what was seen, and end without what would follow."""
        plan, meter = self.held["plan"], self.held["meter"]
        found = {
            "marks": self.marks,
            "metrics": self.metrics,
            "how": method.policy.how,
            "allocated_mib": self.allocated / MIB,
            "reserved_mib": self.reserved / MIB,
            "measured_mib": (meter.note() or 0) / MIB,
            "estimated_mib": (plan.estimate.total + plan.beside.reference) / MIB,
            "out_of_memory": _times_out_of_memory(),
            "checkpointing": plan.checkpointing,
            "microbatch_tokens": plan.microbatch_tokens,
        }
        self.result.write_text(json.dumps(found), encoding="utf-8")
        sys.stdout.flush()
        os._exit(0)


def imitate_card(gib: float) -> None:
    """Let torch take no more than a card of that size has, and say so to whoever asks.

    What CUDA and others hold already counts as taken, as it would be there.
    """
    import torch

    size = int(gib * GIB)
    ask = torch.cuda.mem_get_info
    free, total = ask()
    torch.cuda.set_per_process_memory_fraction(max(0.0, size - (total - free)) / total)

    def told(*arguments: Any, **given: Any) -> tuple[int, int]:
        free, total = ask(*arguments, **given)
        return max(0, size - (total - free)), size

    torch.cuda.mem_get_info = told


def _times_out_of_memory() -> int:
    """How often the allocator was refused memory and could not help itself."""
    import torch

    return int(torch.cuda.memory_stats()["num_ooms"]) if torch.cuda.is_available() else 0


def _synchronize() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def main() -> None:
    """Prepare the watch and be the program."""
    cut = sys.argv.index("--")
    own, arguments = sys.argv[1:cut], sys.argv[cut + 1 :]
    watch = Watch(Path(own[0]))
    from a5ctl.process import prepare_process

    prepare_process()
    from a5ctl.__main__ import main as program
    from trainers import train
    from trainers.grpo import GRPO
    from trainers.sft import SFT

    if "--card-gib" in own:
        imitate_card(float(own[own.index("--card-gib") + 1]))
    for method in (SFT, GRPO):
        method.update = watch.around(method.update)  # type: ignore[method-assign,assignment]
    for name, function in (("plan", "settle_memory"), ("meter", "start_meter")):
        setattr(train, function, watch.keep(name, getattr(train, function)))
    sys.argv = ["a5ctl", *arguments]
    program()


if __name__ == "__main__":
    main()
