"""How figures are written everywhere: one way each for shares, times, bytes and counts."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise

BLOCKS = "▁▂▃▄▅▆▇█"


def percent(share: float | None, digits: int = 1) -> str:
    """`0.1234` as `12.3%`; a dash where there is no figure."""
    return "-" if share is None else f"{100 * share:.{digits}f}%"


def interval(bounds: tuple[float, float]) -> str:
    """Two shares as `[10.1, 14.9]`, in percent."""
    low, high = bounds
    return f"[{100 * low:.1f}, {100 * high:.1f}]"


def points(difference: float) -> str:
    """A difference of shares in percentage points, with its sign."""
    return f"{100 * difference:+.1f}"


def gap(difference: float) -> str:
    """How far two shares are apart, in percentage points without a sign."""
    return f"{100 * abs(difference):.1f} points"


def deviation(error: float) -> str:
    """The standard error of a share, in percentage points."""
    return f"± {100 * error:.1f}"


def count(number: float) -> str:
    """An integer with thousands separators."""
    return f"{round(number):,}"


def counted(number: int, thing: str) -> str:
    """`1 run`, `2 runs`, `1,000 runs`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def first_of(names: Sequence[str], most: int) -> str:
    """`a, b and 3 more`: all of them where there are no more than `most`."""
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if names[most:] else "")


def size(count: float) -> str:
    """Bytes on a disk as `512 B`, `3.4 MB` or `120 GB`, in powers of a thousand."""
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= limit:
            number = count / limit
            return f"{number:.0f} {unit}" if number >= 100 else f"{number:.1f} {unit}"
    return f"{count:.0f} B"


def compact(number: float) -> str:
    """A large count in three digits, such as `1.23M`."""
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= limit:
            return f"{number / limit:.3g}{unit}"
    return f"{number:.3g}"


def duration(seconds: float | None) -> str:
    """Seconds as `42s`, `3m 07s` or `2h 05m`."""
    if seconds is None:
        return "-"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02d}m"


def age(seconds: float) -> str:
    """A rough age: `12s`, `5m`, `3h`, `9d`."""
    for limit, unit, whole in ((60, "s", 1), (3600, "m", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{max(0, int(seconds // whole))}{unit}"
    return f"{int(seconds // 86_400)}d"


def iso(seconds: float | None) -> str | None:
    """Seconds since the epoch in ISO 8601, UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def moment(seconds: float) -> str:
    """Seconds since the epoch as `2026-11-22 10:36:28 UTC`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def p_value(p: float) -> str:
    """A p value, never rounded to zero."""
    return "<0.0001" if p < 1e-4 else f"{p:.4f}" if p < 0.01 else f"{p:.3f}"


def noise_words(detectable: float, seeds_needed: int | None = None, seeds: int = 1) -> str:
    """How large a difference has to be, and what would find the one that there is.

    Args:
        detectable: The difference found with 80% power, a share.
        seeds_needed: To find the difference at hand; None where that is not known.
        seeds: That there are, where seeds are counted.
    """
    text = f"differences under {gap(detectable)} cannot be told from noise"
    if seeds_needed is None or seeds_needed <= seeds:
        return text
    return f"{text}; one as large as this would take about {seeds_needed} seeds"


def figure(value: float, unit: str = "") -> str:
    """A value in few characters; shares in percent."""
    if unit == "share":
        return f"{100 * value:.1f}%"
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.4g}"
    return compact(value) if 1e4 <= abs(value) < 1e12 else f"{value:.2g}"


def tail(name: str) -> str:
    """The last part of a path or hub id, which is what tells models and data apart."""
    return name.rstrip("/").rsplit("/", 1)[-1]


def sparkline(values: list[float], width: int) -> str:
    """Values as block characters, averaged down to at most `width` cells."""
    finite = [value for value in values if value == value and abs(value) != float("inf")]
    if not finite or width < 1:
        return ""
    cells = _averaged(finite, min(width, len(finite)))
    low, high = min(cells), max(cells)
    span = (high - low) or 1.0
    return "".join(BLOCKS[min(7, int(8 * (cell - low) / span))] for cell in cells)


def _averaged(values: list[float], cells: int) -> list[float]:
    edges = [round(index * len(values) / cells) for index in range(cells + 1)]
    return [sum(values[start:end]) / (end - start) for start, end in pairwise(edges)]
