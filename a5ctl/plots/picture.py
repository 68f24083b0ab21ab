"""Panels as a picture for papers: PNG, SVG or PDF through Matplotlib."""

import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from a5ctl.console import printable
from a5ctl.plots.axes import Bottom, bottom_axis
from a5ctl.plots.curves import Axis, Line, Panel
from core.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

SUFFIXES = (".png", ".svg", ".pdf")
# told apart with every common colour blindness (Okabe and Ito 2008), and in grey by their dashes
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_STYLE = {
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,  # names are other people's text, and $ is no formula
    "svg.hashsalt": "a5ctl",
}


def check_suffix(path: Path) -> None:
    """Refuse a file that no picture can be written to.

    Raises:
        UserError: another suffix than `SUFFIXES`.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"--out {path}: the name of a picture ends in {', '.join(SUFFIXES)}")


def write_picture(path: Path, panels: Sequence[Panel], axis: Axis) -> None:
    """Draw into a file, which is replaced whole or stays as it is.

    Raises:
        UserError: Matplotlib is missing, or the file cannot be written.
    """
    check_suffix(path)
    try:
        import matplotlib
    except ImportError as error:
        raise UserError(
            "pictures need the package matplotlib; pip install matplotlib, or leave out --out"
        ) from error
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # characters that no font here has
        _save(_figure(panels, axis), path)


def _save(figure: "Figure", path: Path) -> None:
    beside = None
    try:
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=".plot-", suffix=path.suffix)
        with os.fdopen(handle, "wb") as file:
            figure.savefig(file, format=path.suffix[1:].lower(), dpi=200, bbox_inches="tight")
        umask = os.umask(0)
        os.umask(umask)
        Path(beside).chmod(0o666 & ~umask)
        Path(beside).replace(path)
    except OSError as error:
        if beside is not None:
            Path(beside).unlink(missing_ok=True)
        reason = error.strerror or error
        raise UserError(f"--out {path} cannot be written: {reason}; name another file") from error


def _figure(panels: Sequence[Panel], axis: Axis) -> "Figure":
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    bottom = bottom_axis(axis, panels)
    figure = Figure(figsize=(7.0, 0.8 + 2.6 * len(panels)), layout="constrained")
    places = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    styles = {run: n for n, run in enumerate(dict.fromkeys(_runs(panels)))}
    for panel, place in zip(panels, places, strict=True):
        for line in panel.lines:
            _draw(place, panel, line, styles[line.run], bottom)
        _label(place, panel)
    places[-1].set_xlabel(bottom.title)
    if axis is Axis.TOKENS:
        places[-1].xaxis.set_major_formatter(EngFormatter(sep=""))
    marked = any(panel.evaluated for panel in panels)
    handles = [_handle(run, number, marked=marked) for run, number in styles.items()]
    figure.legend(handles=handles, loc="outside right upper", frameon=False)
    return figure


def _runs(panels: Sequence[Panel]) -> list[str]:
    return [line.run for panel in panels for line in panel.lines]


def _look(number: int, *, marked: bool) -> dict[str, Any]:
    look: dict[str, Any] = {"color": _COLOURS[number % len(_COLOURS)], "linewidth": 1.2}
    look["linestyle"] = _DASHES[number // len(_COLOURS) % len(_DASHES)]
    if marked:
        look |= {"marker": _MARKERS[number % len(_MARKERS)], "markersize": 4}
    return look


def _handle(run: str, number: int, *, marked: bool) -> "Line2D":
    from matplotlib.lines import Line2D

    return Line2D([], [], label=printable(run), **_look(number, marked=marked))


def _draw(place: Any, panel: Panel, line: Line, number: int, bottom: Bottom) -> None:
    xs = [spot.x / bottom.unit for spot in line.spots]
    ys, lows, highs = ([getattr(s, name) for s in line.spots] for name in ("y", "low", "high"))
    look = _look(number, marked=panel.evaluated or len(xs) == 1)
    if panel.evaluated:
        below = [max(0.0, y - low) for y, low in zip(ys, lows, strict=True)]
        above = [max(0.0, high - y) for y, high in zip(ys, highs, strict=True)]
        place.errorbar(xs, ys, yerr=[below, above], capsize=2.5, elinewidth=0.8, **look)
        return
    place.plot(xs, ys, **look)
    place.fill_between(xs, lows, highs, color=look["color"], alpha=0.18, linewidth=0)


def _label(place: Any, panel: Panel) -> None:
    from matplotlib.ticker import PercentFormatter

    name = printable(panel.metric)
    place.set_title(f"{name}{panel.remark}", loc="left", fontweight="bold")
    if panel.unit == "share":
        place.yaxis.set_major_formatter(PercentFormatter(1.0))
        place.set_ylabel("share, with 95% interval" if panel.evaluated else "share")
    else:
        place.set_ylabel(panel.unit or name)
    place.margins(x=0.02)
