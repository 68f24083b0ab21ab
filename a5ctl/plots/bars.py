"""Parts of a whole in the terminal: one bar for every evaluation."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from a5ctl.console import plain
from a5ctl.plots.axes import Bottom, figure
from a5ctl.plots.panels import Panel, Spot

_LOOKS = {"type1": ("█", "green"), "type2": ("▒", "yellow"), "type3": ("░", "red")}
_MOST = 24
_SHORTEST = 8


def print_bars(console: Console, panel: Panel, bottom: Bottom, width: int) -> None:
    """Bars from the first to the last evaluation, with the shares in percent behind them."""
    console.print(plain(panel.title, "bold").append_text(plain(panel.remark, "not bold")))
    rows = _rows(panel)
    heads = [figure(spots[0].x / bottom.unit) for spots in rows]
    margin = max(map(len, heads))
    space = max(_SHORTEST, width - margin - 2 - 6 * len(panel.lines))
    for head, spots in zip(heads, rows, strict=True):
        shares = [spot.y for spot in spots]
        line = Text(f"{head.rjust(margin)} ", style="dim")
        parts = zip(_cells(shares, space), panel.lines, strict=True)
        for cells, one in parts:
            sign, style = _LOOKS[one.part]
            line.append(sign * cells, style=f"not dim {style}")
        figures = "".join(f"{100 * share:6.1f}" for share in shares)
        console.print(line.append(figures, "not dim"), crop=True)
    legend = Text(f"{bottom.title.split(' (')[0]}; %: ", style="dim")
    for number, one in enumerate(panel.lines):
        sign, style = _LOOKS[one.part]
        legend.append("  " if number else "").append(sign * 2, style=f"not dim {style}")
        legend.append(f" {one.part}")
    console.print(legend)


def _rows(panel: Panel) -> list[tuple[Spot, ...]]:
    rows = list(zip(*(line.spots for line in panel.lines), strict=True))
    if len(rows) <= _MOST:
        return rows
    return [rows[round(n * (len(rows) - 1) / (_MOST - 1))] for n in range(_MOST)]


def _cells(shares: Sequence[float], space: int) -> list[int]:
    """Cells of every part; together exactly the space, whatever is rounded."""
    ends = [round(space * sum(shares[: number + 1])) for number in range(len(shares))]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]
