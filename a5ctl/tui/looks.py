"""How things look: signs beside colours, and colours that everybody can tell apart."""

from collections.abc import Mapping

from rich.text import Text
from textual.theme import Theme

from a5ctl.console import plain, printable
from core.registry.liveness import LOST, STALE

Cell = tuple[str, str]
"""What stands in a table: text that is safe to show, and the name of its look."""

OK, BAD, WARN, LIVE, DIM, STRONG, SPARK, PLAIN = (
    *("ok", "bad", "warn", "live", "dim", "strong", "spark", "plain"),
)
LOOKS = (OK, BAD, WARN, LIVE, DIM, STRONG, SPARK, PLAIN)

STATUS_SIGNS: Mapping[str, Cell] = {
    "queued": ("○", DIM),
    "running": ("●", LIVE),
    "finished": ("✓", OK),
    "failed": ("✗", BAD),
    "interrupted": ("■", WARN),
    STALE: ("?", WARN),
    LOST: ("!", BAD),
}
SEVERITY_SIGNS: Mapping[str, Cell] = {
    "info": ("·", DIM),
    "warning": ("▲", WARN),
    "error": ("✗", BAD),
}

# blue, orange and bluish green keep apart with every common colour blindness (Okabe and Ito 2008)
DARK = Theme(
    name="a5ctl-dark",
    primary="#5aa9e6",
    secondary="#4c7ea8",
    accent="#e0b050",
    success="#4cc2a0",
    warning="#e6a23c",
    error="#f07850",
    foreground="#d8dee6",
    background="#10151b",
    surface="#161d25",
    panel="#1e2832",
    dark=True,
)
LIGHT = Theme(
    name="a5ctl-light",
    primary="#0b62a4",
    secondary="#3f6f96",
    accent="#8a5a00",
    success="#00705a",
    warning="#8a5a00",
    error="#b03a10",
    foreground="#1c2329",
    background="#fbfaf7",
    surface="#f3f1ec",
    panel="#e6e3db",
    dark=False,
)


def status_cell(status: str) -> Cell:
    """A status with its sign, which says the same without colours."""
    sign, look = STATUS_SIGNS.get(status, ("·", PLAIN))
    return f"{sign} {status}", look


def one_line(text: str, limit: int = 200) -> str:
    """A text for one line of a table: white space is one space, nothing in it acts."""
    return printable(" ".join(text[: 4 * limit].split())[:limit])


def styled(*parts: tuple[str, str]) -> Text:
    """Hostile texts one after the other, each in its own style."""
    text = Text()
    for part, style in parts:
        text.append_text(plain(part, style))
    return text


def value_text(value: object) -> str:
    """A setting in few characters."""
    return f"{value:.6g}" if isinstance(value, float) else one_line(str(value))
