r"""The result of a worked solution in LaTeX: what its last `\boxed{...}` or `\fbox{...}` holds.

This reads data, so it understands every spelling that the MATH files have. Graders read boxes by
rules of their own (`core.responses.equality`).
"""

import re

_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*")
_UNIT = re.compile(r"\\.|[^\\]|\\", re.DOTALL)  # an escaped brace is no brace
_ENDS_BARE = frozenset(" \t\r\n$")


def boxed_result(solution: str) -> str | None:
    r"""Content of the last box, stripped; None when there is none, or it is empty.

    Braces nest. `\boxed 5` without braces holds everything up to a space or a dollar sign that
    stands outside braces. A box that never closes does not count.
    """
    for match in reversed(list(_BOX.finditer(solution))):
        rest = solution[match.end() :]
        found = _braced(rest) if rest.startswith("{") else _bare(rest)
        if found is not None and found.strip():
            return found.strip()
    return None


def _braced(text: str) -> str | None:
    """What the braces that the text begins with hold."""
    depth = 0
    for unit in _UNIT.finditer(text):
        depth += _depth_change(unit.group())
        if depth == 0:
            return text[1 : unit.start()]
    return None


def _bare(text: str) -> str | None:
    """The text up to its first space or dollar sign outside braces."""
    depth, end = 0, 0
    for unit in _UNIT.finditer(text):
        depth += _depth_change(unit.group())
        if depth < 0 or (depth == 0 and unit.group() in _ENDS_BARE):
            break
        end = unit.end()
    return text[:end].rstrip(".,;")


def _depth_change(unit: str) -> int:
    return {"{": 1, "}": -1}.get(unit, 0)
