"""The name that a person may have meant."""

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean strict?`, with up to three near names; empty where none is near."""
    near = difflib.get_close_matches(name.lower(), list(known), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def near(wrong: str, known: Iterable[str], otherwise: str) -> str:
    """The nearest valid name as a question, or where the names are listed."""
    known = list(known)
    last = wrong.rsplit(".", 1)[-1]
    found = [name for name in known if name.rsplit(".", 1)[-1] == last]
    found = found or difflib.get_close_matches(wrong, known, n=1, cutoff=0.4)
    if "." not in wrong:
        ends = {name.rsplit(".", 1)[-1]: name for name in known}
        close = difflib.get_close_matches(last, ends, n=1, cutoff=0.6)
        found = [ends[end] for end in close] or found
    if found:
        return f"did you mean {' or '.join(map(repr, found[:3]))}?"
    return f"{otherwise} lists them"
