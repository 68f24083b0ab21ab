"""How long responses are, right against wrong: small histograms over shared bins."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from rich.text import Text

from a5ctl.format import BLOCKS
from core.registry.records import StoredResponse
from core.statistics import LengthSummary, length_summary

_FIGURE = 7


@dataclass(frozen=True, slots=True)
class LengthContrast:
    """One kind of length over the right and over the wrong responses, in tokens.

    Attributes:
        name: What is measured.
        edges: Ascending edges of the shared bins.
        right: Figures of the right responses that have this length.
        wrong: Figures of the wrong ones.
        right_counts: Right responses per bin.
        wrong_counts: Wrong responses per bin.
    """

    name: str
    edges: tuple[float, ...]
    right: LengthSummary
    wrong: LengthSummary
    right_counts: tuple[int, ...]
    wrong_counts: tuple[int, ...]


def length_contrasts(
    responses: Sequence[StoredResponse], right: Sequence[bool]
) -> tuple[LengthContrast, ...]:
    """Contrast whole response, think part, and position of the answer.

    Args:
        responses: Any responses.
        right: For each of them, whether it is right.
    """
    measures: dict[str, list[int | None]] = {
        "response": [r.tokens for r in responses],
        "think": [r.think_tokens for r in responses],
        "answer position": [r.answer_position for r in responses],
    }
    return tuple(_contrast(name, values, right) for name, values in measures.items())


def histogram_lines(contrasts: Sequence[LengthContrast]) -> list[Text]:
    """The contrasts as lines of text: blocks, then n, mean, p50, p90 and p99."""
    bins = max((len(c.right_counts) for c in contrasts), default=0)
    head = "".join(f"{title:>{_FIGURE}}" for title in ("n", "mean", "p50", "p90", "p99"))
    lines = [Text(f"{'tokens':<{22 + bins}}  {head}", style="dim")]
    for contrast in contrasts:
        first = f"{contrast.name:<16}"
        lines.append(_line(first, "right", contrast.right, contrast.right_counts, bins, "green"))
        lines.append(
            _line(_range(contrast), "wrong", contrast.wrong, contrast.wrong_counts, bins, "red")
        )
    return lines


def blocks(counts: Sequence[int]) -> str:
    """Counts as block characters; every bin that holds something shows."""
    return scaled_blocks(counts, max(counts, default=0))


def scaled_blocks(values: Sequence[float], top: float) -> str:
    """Values from 0 to `top` as block characters; a dot is exactly none."""
    return "".join(
        BLOCKS[min(7, max(0, ceil(8 * value / top) - 1))] if value else "·" for value in values
    )


def _contrast(name: str, values: Sequence[int | None], right: Sequence[bool]) -> LengthContrast:
    pairs = [(v, r) for v, r in zip(values, right, strict=True) if v is not None]
    good = [v for v, r in pairs if r]
    bad = [v for v, r in pairs if not r]
    edges = length_summary(good + bad).bin_edges
    return LengthContrast(
        name=name,
        edges=edges,
        right=length_summary(good),
        wrong=length_summary(bad),
        right_counts=_counts(good, edges),
        wrong_counts=_counts(bad, edges),
    )


def _counts(values: Sequence[int], edges: Sequence[float]) -> tuple[int, ...]:
    counts = [0] * max(0, len(edges) - 1)
    for value in values:
        counts[min(bisect_right(edges, value), len(counts)) - 1] += 1
    return tuple(counts)


def _line(
    label: str, side: str, summary: LengthSummary, counts: Sequence[int], bins: int, style: str
) -> Text:
    text = Text(f"{label:<16}{side:<6}").append(f"{blocks(counts):<{bins}}", style=style)
    if not summary.n:
        return text.append(f"  {'0':>{_FIGURE}}" + f"{'-':>{_FIGURE}}" * 4)
    figures = (summary.mean, summary.p50, summary.p90, summary.p99)
    return text.append(
        f"  {summary.n:>{_FIGURE},}" + "".join(f"{figure:>{_FIGURE}.0f}" for figure in figures)
    )


def _range(contrast: LengthContrast) -> str:
    return f" 0 to {contrast.edges[-1] - 1:.0f}" if contrast.edges else ""
