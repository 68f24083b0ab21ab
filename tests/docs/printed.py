"""Every command line that README and docs print: in fences, indented, and within sentences."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
    ROOT / "benchmarks" / "README.md",
]
_FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
_INDENTED = re.compile(r"(?<=\n\n)((?: {4}.+\n)+)")
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_COLUMNS = re.compile(r"\s{2,}(?![-#\"'])\S.*")
"""Some pages explain commands in a column of their own."""
_PROGRAMS = frozenset(
    (
        *("a5ctl", "python", "python3", "pip", "PEER/bin/pip", "sh", "make", "mkdocs", "nice"),
        *("timeout", "cp", "rm", ".", "export", "module", "createuser", "createdb", "sqlite3"),
    )
)
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*=")
_ASSIGNED = re.compile(r"^(?:[A-Z_][A-Z0-9_]*=(?:\"[^\"]*\"|\S)* )+")
_BETWEEN = frozenset({";", "&", "&&", "(", ")", ");"})
_OF_SHELLS = frozenset({"for", "wait", "ulimit", "echo"})
_LOOP = re.compile(r"\bfor (\w+) in (\w+)")
OTHER_LANGUAGES = frozenset({"toml", "python", "diff", "json", "csv"})
"""Blocks in these are files; in a `text` block, only what follows a prompt sign is a command."""


@dataclass(frozen=True, slots=True)
class Line:
    """A command line as it is printed.

    Attributes:
        page: Its page, from the root of the repository.
        text: The line, without a prompt sign, explanations and line breaks.
        spoken: Whether it stands within a sentence or a table.
    """

    page: str
    text: str
    spoken: bool = False

    def words(self) -> list[str]:
        """The words of the command, without variables before it and redirections behind it."""
        found = shlex.split(self.text, comments=True)
        while _VARIABLE.match(found[0]):
            found = found[1:]
        return found[: found.index(">")] if ">" in found else found

    def variables(self) -> dict[str, str]:
        """What is set before the command."""
        found = {}
        for word in shlex.split(self.text, comments=True):
            name, equals, value = word.partition("=")
            if not equals or not _VARIABLE.match(word):
                break
            found[name] = value
        return found


@cache
def lines() -> tuple[Line, ...]:
    """All of them, each once a page."""
    found = [line for page in PAGES for line in _of(page)]
    return tuple(dict.fromkeys(found))


def is_command(text: str) -> bool:
    """Whether a line calls a program."""
    return _ASSIGNED.sub("", text).partition(" ")[0] in _PROGRAMS


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """Blocks in a language, with their pages."""
    for page in PAGES:
        for _, found, body in _FENCE.findall(page.read_text(encoding="utf-8")):
            if found == language:
                yield _name(page), body


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def _of(page: Path) -> Iterator[Line]:
    name, text = _name(page), page.read_text(encoding="utf-8")
    for _, language, body in _FENCE.findall(text):
        if language in OTHER_LANGUAGES:
            continue
        for command in _in_block(name, language, body):
            yield Line(name, command)
    rest = _FENCE.sub("", text)
    for body in _INDENTED.findall(rest):
        for command in _whole(body.splitlines()):
            if is_command(command):
                yield Line(name, _plain(command))
    for span in _SPAN.findall(rest):
        if is_command(span) and len(span.split()) > 1:
            yield Line(name, span, spoken=True)


def _in_block(page: str, language: str, body: str) -> Iterator[str]:
    found = body.splitlines()
    asked = [line[2:] for line in found if line.startswith("$ ")]
    typed = asked if asked or language == "text" else _whole(found)
    for line in typed:
        for command in _parts(_plain(line)):
            assert is_command(command), f"{page}: not known to be a command: {command}"
            yield command


def _parts(line: str) -> Iterator[str]:
    """The commands of a line that has several; a loop is gone through once."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&()")
    lexer.whitespace_split = True
    tokens = list(lexer)
    if not _BETWEEN & set(tokens):
        yield line
        return
    loops = dict(_LOOP.findall(line))
    part: list[str] = []
    for token in (*tokens, ";"):
        if token not in _BETWEEN:
            part.append(token)
            continue
        while part and part[0] in ("do", "done"):
            part = part[1:]
        if part and part[0] not in _OF_SHELLS:
            text = shlex.join(part)
            for name, value in loops.items():
                text = re.sub(rf"\${name}\b", value, text)
            yield text
        part = []


def _whole(found: list[str]) -> Iterator[str]:
    """Lines with what is written over several joined."""
    begun = ""
    for line in found:
        begun = f"{begun} {line.strip()}" if begun else line.strip()
        if begun.endswith("\\"):
            begun = begun[:-1].rstrip()
        elif begun.partition(" # ")[0].count('"') % 2 == 0:
            if begun:
                yield begun
            begun = ""
    assert not begun, begun


def _plain(line: str) -> str:
    return re.sub(r"\s+#\s.*", "", _COLUMNS.sub("", line)).strip()
