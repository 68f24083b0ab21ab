"""Rows by chosen settings: what `--by` means, and what runs of one row still differ in."""

import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from a5ctl.tables.settings import value_text, varying_settings
from core.errors import UserError

_SHOWN = 4


def grouping_keys(names: str, settings: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The settings that `--by` names, as dotted keys.

    Args:
        names: With commas between; the last part of a setting's name is enough (`size`).
        settings: Of all runs.

    Raises:
        UserError: no run has such a setting, or a short name means several that differ.
    """
    known = sorted({key for one in settings for key in one})
    varying = varying_settings(settings)
    wanted = [name.strip() for name in names.split(",")]
    if not all(wanted):
        raise UserError(f"--by {names!r} has an empty name; write for example size,supervise")
    return tuple(dict.fromkeys(_key(name, known, varying) for name in wanted))


def mixed_settings(
    settings: Sequence[Mapping[str, Any]], ignored: Collection[str]
) -> dict[str, tuple[str, ...]]:
    """The settings in which the runs of one row differ, with their values."""
    found = {}
    for key in varying_settings(settings):
        if key not in ignored:
            values = [value_text(key, one.get(key)) for one in settings]
            found[key] = tuple(dict.fromkeys(values))
    return found


def mixed_words(mixed: Mapping[str, Sequence[str]]) -> str:
    """The differences in one phrase: `train.lr (0.0001, 0.001) and 2 more`."""
    parts = []
    for key, values in list(mixed.items())[:_SHOWN]:
        more = ", ..." if values[_SHOWN:] else ""
        parts.append(f"{key} ({', '.join(values[:_SHOWN])}{more})")
    rest = len(mixed) - len(parts)
    return ", ".join(parts) + (f" and {rest} more" if rest else "")


def _key(name: str, known: Sequence[str], varying: Collection[str]) -> str:
    if name in known:
        return name
    found = [key for key in known if key.rpartition(".")[2] == name]
    # where one of several is all that differs, that one is meant
    differ = [key for key in found if key in varying]
    if len(found) == 1 or len(differ) == 1:
        return (differ or found)[0]
    if found:
        raise UserError(f"--by {name} can mean {' or '.join(found)}; give the whole name")
    shorts = {key.rpartition(".")[2] for key in known}
    near = difflib.get_close_matches(name, sorted({*shorts, *known}), n=3, cutoff=0.5)
    differing = ", ".join(key for key in varying if key in known) or "nothing"
    hint = f"did you mean {' or '.join(near)}?" if near else f"they differ in {differing}"
    raise UserError(f"--by {name}: these runs have no such setting; {hint}")
