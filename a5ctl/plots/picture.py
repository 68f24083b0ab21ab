"""Panels as a picture: PNG, SVG or PDF, as bytes or in a file."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

from a5ctl.plots.drawing import draw_panels
from a5ctl.plots.panels import Axis, Panel
from a5ctl.plots.sizes import SIZES, PictureSize
from core.errors import UserError
from core.whole_files import replacing

SUFFIXES = (".png", ".svg", ".pdf")
_DOTS = {True: 300, False: 200}
_STYLE = {
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titleweight": "normal",
    "grid.alpha": 0.3,
    "grid.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.handlelength": 2.6,
    "hatch.linewidth": 0.5,
    "pdf.fonttype": 42,  # letters that can be searched for and that publishers accept
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


def picture_bytes(
    panels: Sequence[Panel],
    axis: Axis,
    form: str,
    *,
    size: PictureSize = SIZES["page"],
    title: str = "",
    transparent: bool = False,
) -> bytes:
    """Draw panels, and return what a picture file would hold; the same for the same panels.

    Args:
        panels: As `read_panels` and `with_seeds_merged` make them; at least one.
        axis: What runs along the bottom.
        form: `png`, `svg` or `pdf`.
        size: In inches, with the letters that go with it.
        title: Over everything; none when empty.
        transparent: Without a white background.

    Raises:
        UserError: Matplotlib is missing.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise UserError(
            "pictures need the package matplotlib; pip install matplotlib, or leave out --out"
        ) from error
    letters = {"font.size": size.font, "axes.titlesize": size.font, "legend.fontsize": size.font}
    file = io.BytesIO()
    with matplotlib.rc_context(_STYLE | letters), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # characters that no font here has
        draw_panels(panels, axis, size, title).savefig(
            file,
            format=form,
            dpi=_DOTS[size.width == SIZES["column"].width],
            transparent=transparent,
            metadata=_metadata(panels, form),
        )
    return file.getvalue()


def write_picture(
    path: Path,
    panels: Sequence[Panel],
    axis: Axis,
    *,
    size: PictureSize = SIZES["page"],
    title: str = "",
) -> None:
    """Draw into a file, which is replaced whole or stays as it is.

    Raises:
        UserError: Matplotlib is missing, or the file cannot be written.
    """
    check_suffix(path)
    try:
        drawn = picture_bytes(panels, axis, path.suffix[1:].lower(), size=size, title=title)
        with replacing(path) as file:
            file.write(drawn)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"--out {path} cannot be written: {reason}; name another file") from error


def _metadata(panels: Sequence[Panel], form: str) -> dict[str, str | None]:
    """Which runs it shows, so that a picture can be followed back; no time of drawing."""
    lines = [line for panel in panels for line in panel.lines]
    runs = dict.fromkeys(part.run for line in lines for part in (line.seeds or (line,)))
    metrics = dict.fromkeys(panel.metric for panel in panels)
    text = f"a5ctl plot {','.join(metrics)} {' '.join(runs)}"
    kept = "".join(char if char.isprintable() else "?" for char in text)
    if form == "pdf":
        return {"Subject": kept, "CreationDate": None}
    return {"Description": kept} | ({"Date": None} if form == "svg" else {})
