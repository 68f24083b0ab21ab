"""How long grading takes, beside math-verify, and where the two disagree.

    python benchmarks/grading.py --data ../shared/data/gsm8k --n 100000

Grades ordinary responses to GSM8K problems (see ordinary.py) under all five graders with classes
and flags, and with math-verify as GRPO users call it: `verify(parse(truth), parse(response))`. One
process does both, chunk by chunk and in turn (A B, B A, ...), so that noise falls on both; neither
gets a second core. Reading the file and importing do not count. The 1,319 responses of a usual
evaluation are also graded in fresh processes with cold caches.
"""

import argparse
import importlib
import importlib.util
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.ordinary import Ordinary, ordinary_responses, read_solved  # noqa: E402
from benchmarks.timing import python, rounds, write  # noqa: E402
from core.engines.base import FinishReason  # noqa: E402
from core.responses.grade import (  # noqa: E402
    GradedText,
    GraderName,
    GradingItem,
    grade_responses,
)

FILES = ("test.jsonl", "train.jsonl")
CHUNK = 5_000
USUAL = 1_319
BELONGS_TO_LENIENT = {
    (
        True,
        True,
    ): "cut by the cap: math-verify works out an unfinished sum (`5 + 2 =`) or takes the "
    "number at the cut; ours takes the last number that was written to its end",
    (
        True,
        False,
    ): "cut by the cap: ours leaves out the number at the cut and takes the one before, "
    "math-verify takes the cut one",
    (False, True): "math-verify finds the truth in another place than the last number",
    (False, False): "the last number is the truth, math-verify extracts another one",
}
"""(Cut by the cap, right by math-verify alone) -> why `lenient` and math-verify differ."""


@dataclass
class Tally:
    """What was measured: seconds per item of every chunk, verdicts, differences."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: {"ours": [], "peer": []})
    right: Counter[str] = field(default_factory=Counter)
    differences: dict[str, Counter[str]] = field(
        default_factory=lambda: {"lenient": Counter(), "r1_zero": Counter()}
    )
    examples: dict[str, dict[str, str]] = field(default_factory=dict)


def peer_verdicts(items: list[GradingItem]) -> list[bool]:
    """math-verify at its defaults."""
    peer = importlib.import_module("math_verify")
    return [
        bool(peer.verify(peer.parse(f"${item.truth}$"), peer.parse(item.text))) for item in items
    ]


def timed(work: Callable[[list[GradingItem]], Any], items: list[GradingItem]) -> tuple[Any, float]:
    """What `work` returns, and its seconds per item."""
    started = time.perf_counter()
    result = work(items)
    return result, (time.perf_counter() - started) / len(items)


def measure(responses: list[Ordinary], with_peer: bool) -> Tally:
    """Grade every chunk by both, the one that goes first changing from chunk to chunk."""
    tally = Tally()
    for number, start in enumerate(range(0, len(responses), CHUNK)):
        chunk = responses[start : start + CHUNK]
        items = [response.item for response in chunk]
        if with_peer and number % 2:
            theirs, peer_seconds = timed(peer_verdicts, items)
        ours, seconds = timed(grade_responses, items)
        if with_peer and not number % 2:
            theirs, peer_seconds = timed(peer_verdicts, items)
        tally.seconds["ours"].append(seconds)
        count_right(tally, ours)
        if with_peer:
            tally.seconds["peer"].append(peer_seconds)
            compare(tally, chunk, ours, theirs)
    return tally


def count_right(tally: Tally, graded: list[GradedText]) -> None:
    """Add up what each grader calls right."""
    for one in graded:
        tally.right.update(name for name, verdict in one.verdicts.items() if verdict.right)


def compare(
    tally: Tally, chunk: list[Ordinary], ours: list[GradedText], theirs: list[bool]
) -> None:
    """Count the differing verdicts by kind, with one example of each."""
    tally.right["math-verify"] += sum(theirs)
    for response, graded, peer in zip(chunk, ours, theirs, strict=True):
        for grader in (GraderName.LENIENT, GraderName.R1_ZERO):
            if graded.verdicts[grader].right != peer:
                kind = kind_of(response, graded, grader, peer)
                tally.differences[grader][kind] += 1
                tally.examples.setdefault(grader, {}).setdefault(
                    kind, f"truth {response.item.truth}: ...{response.item.text[-90:]}"
                )


def kind_of(response: Ordinary, graded: GradedText, grader: GraderName, peer: bool) -> str:
    """Why a verdict differs from math-verify's, in words."""
    failure = graded.failures[grader]
    if grader is GraderName.R1_ZERO and failure is not None:
        return f"{failure}: r1_zero refuses it, math-verify takes any number of the response"
    capped = response.item.finish is FinishReason.LENGTH
    return BELONGS_TO_LENIENT[capped, peer]


def report(tally: Tally, n: int) -> dict[str, Any]:
    """Print the table and return it for the file."""
    figures: dict[str, Any] = {}
    for name, values in tally.seconds.items():
        if values:
            figures[name] = {
                "us_per_item_median": 1e6 * statistics.median(values),
                "us_per_item_mean": 1e6 * statistics.mean(values),
            }
            median, mean = figures[name].values()
            print(f"{name:5} median {median:7.1f} us per response   mean {mean:7.1f} us")
    if "peer" in figures:
        figures["ratio"] = (
            figures["peer"]["us_per_item_median"] / figures["ours"]["us_per_item_median"]
        )
        print(f"five graders of ours are {figures['ratio']:.1f} times as fast as math-verify")
    for grader, kinds in tally.differences.items():
        share = kinds.total() / n
        print(f"{grader} differs from math-verify on {kinds.total()} of {n} ({share:.2%})")
        for kind, count in kinds.most_common():
            print(f"  {count:6}  {count / n:6.2%}  {kind}")
    return {
        **figures,
        "right": dict(tally.right),
        "differences": {
            grader: {
                "share": kinds.total() / n,
                "kinds": [
                    {"kind": kind, "count": count, "example": tally.examples[grader][kind]}
                    for kind, count in kinds.most_common()
                ],
            }
            for grader, kinds in tally.differences.items()
        },
    }


def responses_of(folder: Path, n: int) -> list[Ordinary]:
    """`n` ordinary responses to the problems of a GSM8K folder."""
    return ordinary_responses(read_solved([folder / name for name in FILES]), n)


def cold_seconds(folder: Path) -> float:
    """Seconds for the responses of one evaluation in a fresh process."""
    return float(python([__file__, "--cold", "--data", str(folder)]))


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/gsm8k")
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=7, help="fresh processes for the 1,319")
    parser.add_argument("--cold", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.cold:
        items = [response.item for response in responses_of(given.data, USUAL)]
        print(json.dumps(timed(grade_responses, items)[1] * USUAL))
        return
    with_peer = importlib.util.find_spec("math_verify") is not None
    if not with_peer:
        print("math-verify is not installed: nothing to compare with")
    responses = responses_of(given.data, given.n)
    lengths = statistics.quantiles([len(response.item.text) for response in responses], n=20)
    figures = report(measure(responses, with_peer), given.n)
    cold = rounds({"cold": lambda: cold_seconds(given.data)}, given.repeat)["cold"]
    print(f"{USUAL} responses, cold, one process: median {cold['median']:.3f} s")
    forms = Counter(response.form for response in responses)
    write(
        "grading",
        {
            "items": given.n,
            "processes": 1,
            "characters_p5_p50_p95": [lengths[0], lengths[9], lengths[18]],
            "forms": dict(forms.most_common()),
            **figures,
            "seconds_for_1319_cold": cold,
        },
    )


if __name__ == "__main__":
    main()
