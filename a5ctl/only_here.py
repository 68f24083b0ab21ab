"""Says of which runs something is kept in the registry alone."""

from collections.abc import Sequence

from a5ctl.console import err, plain


def say_only_in_the_registry(run_ids: Sequence[str]) -> None:
    """One line on stderr; no run folder here means that no repair could bring it back."""
    text = "only in the registry, because there is no run folder here: "
    err().print(plain(text + ", ".join(run_ids), "dim"), soft_wrap=True)
