"""How long grading takes: every test item of GSM8K under every grader, beside math-verify.

    python benchmarks/grading.py --data ../shared/data/gsm8k/test.jsonl --repeat 7

Each worked solution of the file is made a response in the tagged format, so that all are right.
Every measurement is a fresh process with cold caches; imports and reading the file do not count.
math-verify (left out when it is not installed) parses and compares the same responses, and once
more the bare answers, which spares it the search for the answer.
"""

import argparse
import importlib.util
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.timing import python, rounds, write  # noqa: E402
from core.engines.base import FinishReason  # noqa: E402
from core.responses.grade import GraderName, GradingItem, grade_responses  # noqa: E402


def read_items(path: Path) -> list[GradingItem]:
    """Responses made of the worked solutions of a GSM8K file."""
    items = []
    for line in path.read_text(encoding="utf-8").splitlines():
        reasoning, _, truth = json.loads(line)["answer"].partition("#### ")
        text = f" {reasoning}</think> <answer> {truth} </answer>"
        items.append(GradingItem(text, truth, FinishReason.STOP_STRING))
    return items


def all_graders(items: list[GradingItem]) -> int:
    """Grade with the project; how many are right under the strict grader."""
    graded = grade_responses(items)
    return sum(one.verdicts[GraderName.STRICT].right for one in graded)


def math_verify(items: list[GradingItem], *, bare: bool) -> int:
    """Grade with math-verify at its defaults; how many it calls right."""
    peer = importlib.import_module("math_verify")
    right = 0
    for item in items:
        given = f"${item.truth}$" if bare else item.text
        right += peer.verify(peer.parse(f"${item.truth}$"), peer.parse(given))
    return right


CONTENDERS: dict[str, Callable[[list[GradingItem]], int]] = {
    "a5ctl, five graders": all_graders,
    "math-verify, responses": partial(math_verify, bare=False),
    "math-verify, bare answers": partial(math_verify, bare=True),
}


def once(name: str, data: Path) -> tuple[float, int]:
    """Seconds of one grading in this process, and how many items are right."""
    items = read_items(data)
    if name.startswith("math-verify"):
        importlib.import_module("math_verify")
    started = time.perf_counter()
    right = CONTENDERS[name](items)
    return time.perf_counter() - started, right


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/gsm8k/test.jsonl")
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--once", choices=CONTENDERS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.once:
        print(json.dumps(once(given.once, given.data)))
        return
    compare(given.data, given.repeat)


def compare(data: Path, repeat: int) -> None:
    """Run the contenders that are installed in turn, each in fresh processes."""
    peer = importlib.util.find_spec("math_verify") is not None
    names = [name for name in CONTENDERS if peer or not name.startswith("math-verify")]
    right: dict[str, int] = {}

    def measure(name: str) -> float:
        seconds, right[name] = json.loads(python([__file__, "--once", name, "--data", str(data)]))
        return float(seconds)

    figures = rounds({name: partial(measure, name) for name in names}, repeat)
    n, own = len(read_items(data)), figures[names[0]]["median"]
    for name, figure in figures.items():
        figure |= {"us_per_item": 1e6 * figure["median"] / n, "ratio": figure["median"] / own}
        print(
            f"{name:26} median {figure['median']:.3f} s   min {figure['min']:.3f} s   "
            f"{figure['us_per_item']:6.0f} us per item   x {figure['ratio']:.1f}   "
            f"{right[name]} of {n} right"
        )
    if not peer:
        print("math-verify is not installed: nothing to compare with")
    write("grading", {"items": n, "repeat": repeat, "right": right, "seconds": figures})


if __name__ == "__main__":
    main()
