"""Tables for other programs: Markdown, CSV, LaTeX and HTML, with every text escaped for each."""

import csv
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from a5ctl.console import printable

_MARKDOWN = str.maketrans(
    {**{char: f"\\{char}" for char in "\\`*_{}[]#|~"}, "<": "&lt;", ">": "&gt;", "&": "&amp;"}
)
_LATEX = str.maketrans(
    {
        **{char: f"\\{char}" for char in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': r"\textquotedbl{}",
        "[": "{[}",  # behind a line break it would begin an option
        "★": r"$\star$",
        "†": r"$\dagger$",
        "±": r"$\pm$",
        "−": "$-$",
        "…": r"\ldots{}",
    }
)


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of texts, as they are.

    Attributes:
        right: Which columns are aligned to the right.
        strong: Number of a row to set off; None for none.
        warnings: What to know before reading it.
        notes: What to know about its columns.
    """

    titles: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Sequence[bool]
    strong: int | None = None
    warnings: Sequence[str] = ()
    notes: Sequence[str] = ()


def markdown(grid: Grid) -> str:
    """As GitHub and most others read it; warnings are quoted, notes a list."""
    lines = [f"> {_md(warning)}  " for warning in grid.warnings]
    lines += [""] if lines else []
    lines.append(_md_row([_md(title) for title in grid.titles]))
    lines.append(_md_row(["---:" if right else ":---" for right in grid.right]))
    for number, row in enumerate(grid.rows):
        cells = [_md(cell) for cell in row]
        strong = number == grid.strong
        lines.append(_md_row([f"**{c}**" if strong and c.strip() else c for c in cells]))
    lines += ["", *(f"- {_md(note)}" for note in grid.notes)] if grid.notes else []
    return "\n".join(lines) + "\n"


def latex(grid: Grid) -> str:
    """A `tabular` for the package booktabs; warnings and notes are comments."""
    comments = [f"% ! {_line(warning)}" for warning in grid.warnings]
    comments += [f"% {_line(note)}" for note in grid.notes]
    layout = "".join("r" if right else "l" for right in grid.right)
    lines = [*comments, rf"\begin{{tabular}}{{{layout}}}", r"\toprule"]
    lines += [_latex_row(map(_tex, grid.titles)), r"\midrule"]
    for number, row in enumerate(grid.rows):
        cells = [_tex(cell) for cell in row]
        strong = number == grid.strong
        lines.append(_latex_row(rf"\textbf{{{c}}}" if strong and c else c for c in cells))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def html_table(grid: Grid) -> str:
    """A `table` without styles of its own but the alignment, to be put into a page."""
    lines = [f'<p role="note">{_html(warning)}</p>' for warning in grid.warnings]
    lines += ["<table>", "<thead>", "<tr>"]
    for title, right in zip(grid.titles, grid.right, strict=True):
        lines.append(f'<th scope="col"{_aligned(right)}>{_html(title)}</th>')
    lines += ["</tr>", "</thead>", "<tbody>"]
    for number, row in enumerate(grid.rows):
        lines.append("<tr>")
        for cell, right in zip(row, grid.right, strict=True):
            text = _html(cell)
            text = f"<strong>{text}</strong>" if number == grid.strong and text else text
            lines.append(f"<td{_aligned(right)}>{text}</td>")
        lines.append("</tr>")
    lines += ["</tbody>", "</table>"]
    if grid.notes:
        lines += ["<ul>", *(f"<li>{_html(note)}</li>" for note in grid.notes), "</ul>"]
    return "\n".join(lines) + "\n"


def csv_table(titles: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Figures as they are, and texts that no spreadsheet program runs."""
    from a5ctl.tables.export import csv_cell

    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([csv_cell(title) for title in titles])
    for row in rows:
        plain = [printable(value) if isinstance(value, str) else value for value in row]
        writer.writerow([_csv(csv_cell(value)) for value in plain])
    return file.getvalue()


def _csv(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _line(text: str) -> str:
    """Text on one line, without characters that a terminal or a reader acts on."""
    return " ".join(printable(text).split())


def _md(text: str) -> str:
    return _line(text).translate(_MARKDOWN)


def _md_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _tex(text: str) -> str:
    return _line(text).translate(_LATEX)


def _latex_row(cells: Any) -> str:
    return " & ".join(cells) + r" \\"


def _html(text: str) -> str:
    return html.escape(_line(text))


def _aligned(right: bool) -> str:
    return ' style="text-align: right"' if right else ""
