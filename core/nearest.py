"""The name that a person may have meant."""

import difflib
from collections.abc import Iterable

_ELSEWHERE = {
    "learning_rate": "lr",
    "lr_scheduler_type": "schedule",
    "max_new_tokens": "max_tokens",
    "max_seq_length": "max_length",
    "max_steps": "steps",
    "num_generations": "per_question",
    "num_train_epochs": "epochs",
    "per_device_train_batch_size": "batch_size",
    "warmup_ratio": "warmup",
}
"""What other trainers call settings, with the last part of their names here."""


def named_alike(wrong: str, known: Iterable[str]) -> list[str]:
    """Dotted names that end as the wrong one does, or in what it is called here."""
    last = wrong.rsplit(".", 1)[-1]
    ends = {last, _ELSEWHERE.get(last, last)}
    return [name for name in known if name.rsplit(".", 1)[-1] in ends]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean strict?`, with up to three near names; empty where none is near."""
    near = difflib.get_close_matches(name.lower(), list(known), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def near(wrong: str, known: Iterable[str], otherwise: str) -> str:
    """The nearest valid name as a question, or where the names are listed."""
    known = list(known)
    found = named_alike(wrong, known)
    if not found and "." not in wrong:
        ends = {name.rsplit(".", 1)[-1]: name for name in known}
        found = [ends[end] for end in difflib.get_close_matches(wrong, ends, n=1, cutoff=0.6)]
    if found := found or difflib.get_close_matches(wrong, known, n=1, cutoff=0.4):
        return f"did you mean {' or '.join(map(repr, found[:3]))}?"
    return f"{otherwise} lists them"
