r"""The result of a worked solution in LaTeX: what its last `\boxed{...}` or `\fbox{...}` holds.

This reads data, so it understands every spelling that the MATH files have. Graders read boxes by
rules of their own (`core.responses.equality`).
"""

import re

_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*")
_ESCAPED_OR_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)  # an escaped brace is no brace
_BARE_STOP = re.compile(r"\\.|[\s${}]", re.DOTALL)


def boxed_result(solution: str) -> str | None:
    r"""Content of the last box, stripped; None when there is none, or it is empty.

    Braces nest. `\boxed 5` without braces holds everything up to a space or a dollar sign that
    stands outside braces. A box that never closes does not count. Takes linear time.
    """
    closing = _closing_braces(solution)
    for match in reversed(list(_BOX.finditer(solution))):
        start = match.end()
        if solution.startswith("{", start):
            found = solution[start + 1 : closing[start]] if start in closing else ""
        else:
            found = solution[start : _bare_end(solution, start, closing)].rstrip(".,;")
        if found.strip():
            return found.strip()
    return None


def _closing_braces(text: str) -> dict[int, int]:
    """Offset of the brace that closes each opening one; those never closed are left out."""
    closing: dict[int, int] = {}
    opened: list[int] = []
    for match in _ESCAPED_OR_BRACE.finditer(text):
        if match.group() == "{":
            opened.append(match.start())
        elif match.group() == "}" and opened:
            closing[opened.pop()] = match.start()
    return closing


def _bare_end(text: str, start: int, closing: dict[int, int]) -> int:
    """Where a box without braces ends; whole groups in braces belong to it."""
    at = start
    while (stop := _BARE_STOP.search(text, at)) is not None:
        if stop.group().startswith("\\"):
            at = stop.end()
        elif stop.start() in closing:
            at = closing[stop.start()] + 1
        else:
            return stop.start()
    return len(text)
