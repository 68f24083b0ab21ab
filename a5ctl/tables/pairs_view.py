"""What `a5ctl pairs` has made, as figures for people and as JSON."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console

from a5ctl.console import plain
from a5ctl.format import count, counted
from core.pairing import Candidate, Pairing
from core.recorded_candidates import Collected, CollectSettings, LeftOut


def pairs_json(
    pairing: Pairing, found: Collected, settings: CollectSettings, out: Path
) -> dict[str, Any]:
    """Every figure, JSON-ready."""
    chosen, rejected = _sides(pairing)
    return {
        "file": str(out),
        "pairs": len(pairing.pairs),
        "pairs_by_run": _by_run(pairing),
        "grader": settings.grader.value,
        "responses": pairing.responses,
        "duplicates": pairing.duplicates,
        "right": pairing.right,
        "wrong": pairing.wrong,
        "ungraded": found.ungraded,
        "problems": pairing.problems,
        "problems_with_both": pairing.mixed,
        "problems_unbalanced": pairing.unbalanced,
        "chosen_tokens": _mean_tokens(chosen),
        "rejected_tokens": _mean_tokens(rejected),
        "rejected_truncated": sum(candidate.truncated for candidate in rejected),
        "responses_of_other_splits": found.tested,
        "left_out": [
            {"run": left.run, "step": left.step, "split": left.split, "responses": left.responses}
            for left in found.left_out
        ],
    }


def print_pairs(
    console: Console, pairing: Pairing, found: Collected, settings: CollectSettings, out: Path
) -> None:
    """Print what was made, from what, and what was left out and why."""
    chosen, rejected = _sides(pairing)
    mixed = pairing.mixed - pairing.unbalanced
    lines = [
        f"wrote {out}: {counted(len(pairing.pairs), 'pair')} of {counted(mixed, 'problem')}",
        f"from {counted(pairing.responses, 'response')} to {counted(pairing.problems, 'problem')}; "
        f"under grader {settings.grader} {count(pairing.right)} are right and "
        f"{count(pairing.wrong)} wrong, {count(pairing.duplicates)} copies left out",
        f"{counted(pairing.problems - pairing.mixed, 'problem')} with only right or only wrong "
        "responses, which give no pair",
        f"mean length in tokens: chosen {_mean_tokens(chosen):.0f}, rejected "
        f"{_mean_tokens(rejected):.0f}, of which the cap has cut "
        f"{count(sum(candidate.truncated for candidate in rejected))}",
    ]
    if pairing.unbalanced:
        lines.append(
            f"{counted(pairing.unbalanced, 'problem')} without two responses of similar length"
        )
    for line in lines:
        console.print(plain(line), soft_wrap=True)
    for line in _warnings(found):
        console.print(plain(line, style="yellow"), soft_wrap=True)
    console.print(plain(f"learn from them with: a5ctl run dpo --init RUN --pairs {out}"))


def _warnings(found: Collected) -> list[str]:
    lines = []
    if found.left_out:
        lines.append(
            f"left out, because what learns from them cannot be tested on them: "
            f"{_listed(found.left_out)}"
        )
    if found.tested:
        lines.append(
            f"{counted(found.tested, 'response')} to problems of other splits than train: accuracy "
            "on these splits means nothing for a policy that learns from this file"
        )
    if found.ungraded:
        lines.append(f"{counted(found.ungraded, 'response')} never judged by this grader")
    return lines


def _listed(left_out: Sequence[LeftOut]) -> str:
    splits = Counter((left.run, left.split) for left in left_out)
    return ", ".join(
        f"{counted(number, 'evaluation')} of {run} on {split}"
        for (run, split), number in splits.items()
    )


def _sides(pairing: Pairing) -> tuple[list[Candidate], list[Candidate]]:
    return [pair.chosen for pair in pairing.pairs], [pair.rejected for pair in pairing.pairs]


def _mean_tokens(side: Sequence[Candidate]) -> float:
    return fmean(candidate.tokens for candidate in side)


def _by_run(pairing: Pairing) -> dict[str, int]:
    """Pairs by the run of their chosen response."""
    return dict(Counter(pair.chosen.run for pair in pairing.pairs))
