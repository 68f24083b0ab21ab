"""The worker process that compares answers with sympy and math-verify: one JSON line each way.

Started by `core.responses.symbolic` as `python -m core.responses.symbolic_worker`. It may hang or
die on hostile input: the parent kills it at the time limit and starts another. Output: first
`{"ready": true}`, then for every `{"prepare", "limit"}` one `{"ready": true}`, and for every
`{"ask", "given", "truth", "limit"}` one `{"equal": bool}`.
"""

import json
import logging
import math
import re
import sys
from typing import Any, TextIO

from core.responses.equality import course_equal
from core.responses.expressions import same_value

MEMORY_LIMIT_BYTES = 4 << 30
_BACKSTOP_SECONDS = 2
# What could reach beyond arithmetic once sympy's parser turns the text into Python: quotes,
# attribute access, statements; and integers that Python refuses to read. The course's grader gets
# an error, thus 'not equal', from all of these.
_NOT_ARITHMETIC = re.compile(
    r"[\"'`\\:;@#\x00]|_(?![0-9])|(?<![0-9])_|(?<![0-9])\.\s*[^\W0-9]|[0-9]{4301}"
)
_LATEX_LETTERS = {"√": "sqrt", "π": "pi", "∞": "inf", "∪": "U", "·": "*", "×": "*"}


class SympySymbolic:
    """Answers with pylatexenc and sympy; anything they cannot read is 'as it was' or 'not zero'."""

    def latex_to_text(self, text: str) -> str:
        """Unicode text for LaTeX source, with a few symbols in the words that sympy reads."""
        from pylatexenc.latex2text import LatexNodes2Text

        source = text.replace(r"\tfrac", r"\frac").replace(r"\dfrac", r"\frac")
        try:
            plain = LatexNodes2Text().latex_to_text(source.replace(r"\frac", r" \frac"))
        except Exception:
            return text
        for symbol, word in _LATEX_LETTERS.items():
            plain = plain.replace(symbol, word)
        return plain.strip()

    def is_zero(self, expression: str) -> bool:
        """Whether sympy simplifies the expression to zero."""
        if _NOT_ARITHMETIC.search(expression) is not None:
            return False
        import sympy
        from sympy.parsing import sympy_parser

        rules = (
            *sympy_parser.standard_transformations,
            sympy_parser.implicit_multiplication_application,
        )
        try:
            difference = sympy_parser.parse_expr(
                expression.replace("^", "**"), transformations=rules
            )
            return bool(sympy.simplify(difference) == 0)
        except Exception:
            return False


def serve(requests: TextIO, replies: TextIO) -> None:
    """Answer until the parent closes the pipe."""
    _reply(replies, {"ready": True})
    for line in requests:
        request = json.loads(line)
        _limit_cpu(float(request["limit"]))
        if "prepare" in request:
            # The first comparison imports the libraries and is the slow one.
            _equal(request["prepare"], r"\frac{1}{2}", "(2)/4")
            _reply(replies, {"ready": True})
        else:
            equal = _equal(request["ask"], request["given"], request["truth"])
            _reply(replies, {"equal": equal})


def _equal(question: str, given: str, truth: str) -> bool:
    try:
        if question == "value":
            return same_value(given, truth)
        return course_equal(given, truth, SympySymbolic())
    except (RecursionError, MemoryError, OverflowError):
        return False


def _reply(replies: TextIO, message: dict[str, Any]) -> None:
    replies.write(json.dumps(message) + "\n")
    replies.flush()


def _limit_memory() -> None:
    if sys.platform == "win32":
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or hard > MEMORY_LIMIT_BYTES:
        try:
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, hard))
        except (ValueError, OSError):
            return  # macOS refuses this limit; the parent's time limit still holds


def _limit_cpu(seconds: float) -> None:
    """Let the system end this process soon after the limit, should the parent be gone by then."""
    if sys.platform == "win32":
        return
    import resource

    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    wanted = math.ceil(usage.ru_utime + usage.ru_stime + seconds) + _BACKSTOP_SECONDS
    if hard == resource.RLIM_INFINITY or wanted < hard:
        resource.setrlimit(resource.RLIMIT_CPU, (wanted, hard))


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    _limit_memory()
    serve(sys.stdin, sys.stdout)
