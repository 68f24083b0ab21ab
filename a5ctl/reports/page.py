"""A report as one HTML page: nothing is fetched, and nothing runs but the page's own script.

Every value passes `printable` and then the escaping of Jinja, whatever template it is used in; the
page's policy lets only one script and one style sheet run, told by their hashes.
"""

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from a5ctl.console import printable
from a5ctl.reports import drawing
from a5ctl.reports.excerpts import RIGHT
from a5ctl.reports.mix import BAR, Family
from a5ctl.reports.report import Report

GENERATOR = "a5ctl report"
"""What the head of every page names as its maker."""
_UNFOLDED = 3
_TEMPLATES = Path(__file__).parent / "templates"


def render_page(report: Report) -> str:
    """The whole page."""
    style, script = _part("report.css"), _part("report.js")
    template = _environment().get_template("report.html")
    return template.render(
        report=report,
        generator=GENERATOR,
        policy=_policy(style, script),
        style=Markup(style),
        script=Markup(script),
        families=list(Family),
        bar=BAR,
        drawing=drawing,
        outcomes=_outcomes(report),
        unfolded=_unfolded(report),
    )


def is_report(path: Path) -> bool:
    """Whether a file is a page that this made, so that a newer one may take its place."""
    with path.open("rb") as file:
        return f'name="generator" content="{GENERATOR}'.encode() in file.read(4096)


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        finalize=_harmless,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _harmless(value: Any) -> Any:
    """What is printed: characters that act on a reader stand as escapes."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return printable(str(value))
    return value


def _policy(style: str, script: str) -> str:
    parts = {
        "default-src": "'none'",
        "script-src": _hash(script),
        "style-src": _hash(style),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in parts.items())


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _part(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _unfolded(report: Report) -> set[int]:
    """Places of the first response of each of the first classes, from 1."""
    first: dict[str, int] = {}
    for place, example in enumerate(report.examples, start=1):
        first.setdefault(example.outcome, place)
    return set(list(first.values())[:_UNFOLDED])


def _outcomes(report: Report) -> list[tuple[str, int]]:
    """Classes of the responses on the page, wrong ones first, with how many there are."""
    found: dict[str, int] = {}
    for example in report.examples:
        found[example.outcome] = found.get(example.outcome, 0) + 1
    return sorted(found.items(), key=lambda pair: (pair[0] == RIGHT, -pair[1], pair[0]))
