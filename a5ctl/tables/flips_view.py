"""What flipped between two evaluations, on the screen and as plain data."""

from collections.abc import Sequence
from dataclasses import asdict
from fractions import Fraction
from typing import Any

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from a5ctl.console import plain
from a5ctl.format import count, noise_words, p_value, points
from a5ctl.tables.diagnosis_view import header
from a5ctl.tables.flips import Flip, Flips
from a5ctl.tables.responses import (
    answer_view,
    extracted_text,
    field_grid,
    problem_lines,
    response_json,
    spread,
)
from a5ctl.tables.word_diff import changes_json, diff_text
from core.responses.attribution import Cause
from core.responses.names import FailureClass
from core.statistics import PairedMethod

LISTED = 12
"""Flips that a list shows before it says how many more there are."""
_ANSWER_CHARS = 24
_CAUSE_MEANINGS = {
    Cause.FORMAT: "the wrong side holds the right number last",
    Cause.TRUNCATION: "the wrong side hit the length cap",
    Cause.MATH: "neither",
}


def print_flips(
    console: Console, flips: Flips, classes: Sequence[FailureClass] | None, examples: int
) -> None:
    """Print what changed from one evaluation to the other.

    Args:
        console: Where to.
        flips: What changed.
        classes: List only flips whose wrong side is of one of these classes; None lists all.
        examples: How many fixed and how many broken problems to show with both texts.
    """
    console.print(header(flips.after, full=False))
    console.print(Text("against", style="bold"))
    console.print(header(flips.before, full=False))
    for line in protocol_lines(flips):
        console.print(line)
    console.print(Padding(plain(test_sentence(flips)), (1, 0, 0, 0)))
    console.print(
        Text(
            "Each side is one checkpoint of one seed: this speaks of these checkpoints only, not "
            "of the settings behind them.",
            style="dim",
        )
    )
    console.print(Padding(attribution_table(flips), (1, 0, 0, 0)))
    for title, chosen in (("fixed", flips.fixed), ("broken", flips.broken)):
        _list(console, title, _of_classes(chosen, classes), flips, examples)


def test_sentence(flips: Flips) -> str:
    """The difference and how sure it is, in words."""
    fixed, broken = count(len(flips.fixed)), count(len(flips.broken))
    counted = f"On {count(flips.n)} problems that both answered: {fixed} fixed, {broken} broken"
    if flips.sampled:
        counted = (
            f"On {count(flips.n)} problems with several samples: {fixed} right more often than "
            f"before, {broken} less often"
        )
    if flips.test is None:
        return f"{counted}. Not tested: {flips.refused}."
    low, high = flips.test.interval
    method = (
        "exact McNemar" if flips.test.method is PairedMethod.MCNEMAR else "paired z over problems,"
    )
    text = (
        f"{counted}; difference {points(flips.test.difference)} points "
        f"[{points(low)}, {points(high)}], {method} p {p_value(flips.test.p)}."
    )
    if flips.detectable:
        text += f" With these problems {noise_words(flips.detectable)} (80% power)."
    return text


def protocol_lines(flips: Flips) -> list[Text]:
    """Which fields of the two protocols differ, with both values."""
    a, b = flips.before.evaluation.protocol, flips.after.evaluation.protocol
    lines = []
    for label, names in (
        ("different question", flips.protocols.blocking),
        ("differs", flips.protocols.warning),
    ):
        for name in names:
            values = f"{_value(a.get(name))} -> {_value(b.get(name))}"
            lines.append(plain(f"! protocol {label}: {name} {values}", style="yellow"))
    if flips.protocols.blocking:
        sides = (f"{one.run.id}:{one.evaluation.step}" for one in (flips.before, flips.after))
        lines.append(plain(f"  all of it: a5ctl protocol diff {' '.join(sides)}", style="yellow"))
    if flips.left_out:
        lines.append(
            Text(f"! {count(flips.left_out)} responses have no partner and are left out", "yellow")
        )
    return lines


def attribution_table(flips: Flips) -> Table:
    """Fixed and broken problems by cause; the net column adds up to the difference."""
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        title="where the difference comes from (descriptive)",
        title_justify="left",
        title_style="bold underline",
    )
    table.add_column("cause")
    for title in ("fixed", "broken", "net", "points"):
        table.add_column(title, justify="right")
    table.add_column("meaning", style="dim", overflow="fold")
    for row in flips.attribution.rows:
        table.add_row(
            row.cause,
            _amount(row.gained),
            _amount(row.lost),
            _signed(row.net),
            points(float(row.net / flips.n)),
            _CAUSE_MEANINGS[row.cause],
        )
    table.add_row(
        "all",
        _amount(sum((row.gained for row in flips.attribution.rows), Fraction())),
        _amount(sum((row.lost for row in flips.attribution.rows), Fraction())),
        _signed(flips.attribution.net),
        points(flips.attribution.difference),
        "samples count as parts of a problem" if flips.sampled else "",
        style="bold",
    )
    return table


def flips_json(
    flips: Flips, classes: Sequence[FailureClass] | None, examples: int
) -> dict[str, Any]:
    """What changed as plain data; every flip is listed, the examples with both texts."""
    return {
        "run": flips.before.run.id,
        "evaluation": flips.before.evaluation.uuid,
        "step": flips.before.evaluation.step,
        "accuracy": flips.before.breakdown.accuracy,
        "interval": flips.before.interval,
        "n": flips.n,
        "left_out": flips.left_out,
        "protocols": asdict(flips.protocols),
        "test": None if flips.test is None else asdict(flips.test),
        "not_tested": flips.refused or None,
        "minimum_detectable_difference": flips.detectable,
        "attribution": {
            "net": _number(flips.attribution.net),
            "difference": flips.attribution.difference,
            "rows": [
                {
                    "cause": row.cause,
                    "gained": _number(row.gained),
                    "lost": _number(row.lost),
                    "net": _number(row.net),
                    "points": 100 * float(row.net / flips.n),
                }
                for row in flips.attribution.rows
            ],
            "descriptive": True,
        },
        "fixed": _flips_json(_of_classes(flips.fixed, classes), examples),
        "broken": _flips_json(_of_classes(flips.broken, classes), examples),
        "speaks_of": "these checkpoints only",
    }


def _flips_json(flips: Sequence[Flip], examples: int) -> dict[str, Any]:
    return {
        "problems": [
            {
                "problem": flip.after.response.problem_id,
                "right_before": flip.right_before,
                "right_after": flip.right_after,
                "truth": flip.after.response.truth,
                "before": flip.before.grade.extracted,
                "after": flip.after.grade.extracted,
                "cause": flip.cause,
                "failure": flip.failure,
            }
            for flip in flips
        ],
        "examples": [
            {
                "before": response_json(flip.before.response, flip.before.grade),
                "after": response_json(flip.after.response, flip.after.grade),
                "changes": changes_json(flip.before.response.text, flip.after.response.text),
            }
            for flip in spread(flips, examples)
        ],
    }


def _of_classes(flips: Sequence[Flip], classes: Sequence[FailureClass] | None) -> Sequence[Flip]:
    return flips if classes is None else [flip for flip in flips if flip.failure in classes]


def _list(console: Console, title: str, flips: Sequence[Flip], whole: Flips, examples: int) -> None:
    console.print(Rule(f"{title}: {count(len(flips))}", align="left", style="dim"))
    if not flips:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    right = ("right",) if whole.sampled else ()
    for column in (
        "problem",
        "truth",
        *right,
        "before",
        "after",
        "cause",
        "class of the wrong one",
    ):
        table.add_column(column, overflow="fold")
    for flip in flips[:LISTED]:
        (old, of_old), (new, of_new) = flip.right_before, flip.right_after
        shares = (f"{old}/{of_old} -> {new}/{of_new}",) if whole.sampled else ()
        table.add_row(
            plain(flip.after.response.problem_id, style="cyan"),
            plain(flip.after.response.truth[:_ANSWER_CHARS]),
            *shares,
            extracted_text(flip.before.grade, _ANSWER_CHARS),
            extracted_text(flip.after.grade, _ANSWER_CHARS),
            flip.cause,
            str(flip.failure),
        )
    console.print(table)
    if len(flips) > LISTED:
        console.print(Text(f"and {len(flips) - LISTED:,} more; --json lists all", style="dim"))
    for flip in spread(flips, examples):
        console.print(problem_lines(flip.after.response))
        console.print(answer_view(flip.before.response, flip.before.grade, _side(whole, "before")))
        console.print(answer_view(flip.after.response, flip.after.grade, _side(whole, "after")))
        marked = not console.is_terminal or console.no_color
        changes = diff_text(flip.before.response.text, flip.after.response.text, marked=marked)
        grid = field_grid()
        grid.add_row("changes", changes)
        console.print(Padding(grid, (0, 0, 1, 2)))


def _amount(number: Fraction) -> str:
    return count(float(number)) if number.denominator == 1 else f"{float(number):,.2f}"


def _signed(number: Fraction) -> str:
    return f"{int(number):+,d}" if number.denominator == 1 else f"{float(number):+,.2f}"


def _number(number: Fraction) -> int | float:
    return int(number) if number.denominator == 1 else float(number)


def _side(flips: Flips, name: str) -> str:
    side = flips.before if name == "before" else flips.after
    return f"{side.run.id} step {side.evaluation.step} ({name})"


def _value(value: Any) -> str:
    text = " ".join(str(value).split())
    return repr(text if len(text) <= 40 else f"{text[:24]}...{text[-12:]}")
