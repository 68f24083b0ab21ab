"""Markdown that is the same on every page that a script writes."""

from collections.abc import Sequence

NOTE = "<!-- Written by docs/generate.py; edit the program, not this file. -->"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; cells hold Markdown, but no HTML."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
