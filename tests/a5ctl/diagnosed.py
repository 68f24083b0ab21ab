"""A run whose first and last evaluations fail in many ways, for `a5ctl diagnose`."""

from pathlib import Path

from tests.a5ctl import handmade
from tests.a5ctl.handmade import bad_separator, cut, evaluation, right, unclosed, wrong

LAST = [right(10), right(11), wrong(12), unclosed(13), unclosed(14), unclosed(15), cut(16)]
FIRST = [wrong(10), cut(11), right(12), unclosed(13), wrong(14), bad_separator(15), cut(16)]


def record_both(home: Path) -> None:
    """Record it as `sft-256-aaaa`, evaluated at steps 0 and 10."""
    handmade.record(home, "sft-256-aaaa", [evaluation(FIRST, step=0), evaluation(LAST, step=10)])
