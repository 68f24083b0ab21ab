"""Settings that runs may differ in and still be one: each seed's own file of pairs, say."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from a5ctl.tables.entries import Entry
from a5ctl.tables.settings import Settings
from core.errors import UserError


def take_as_one(entries: Sequence[Entry], names: Sequence[str]) -> list[Entry]:
    """The entries without these settings, so that runs which differ only there are one setting.

    Args:
        entries: Runs with all their settings.
        names: Settings as `--json` calls them (`dpo.pairs`), or by the last part (`pairs`).

    Raises:
        UserError: no run has such a setting, several are called so, or runs of one seed would
            become one setting although they differ.
    """
    if not names:
        return list(entries)
    dropped = {_setting(name, entries) for name in names}
    merged = [
        replace(entry, settings=Settings(_without(entry.settings, dropped))) for entry in entries
    ]
    _refuse_doubles(entries, merged, dropped)
    return merged


def _without(settings: Mapping[str, Any], dropped: Collection[str]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in dropped}


def _setting(name: str, entries: Sequence[Entry]) -> str:
    known = {key for entry in entries for key in entry.settings}
    if name in known:
        return name
    found = sorted(key for key in known if key.rpartition(".")[2] == name)
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"--same {name} can mean {' or '.join(found)}; give the whole name")
    differ = sorted(k for k in known if len({repr(e.settings.get(k)) for e in entries}) > 1)
    raise UserError(
        f"--same {name}: these runs have no such setting; "
        f"they differ in {', '.join(differ) or 'none'}"
    )


def _refuse_doubles(
    entries: Sequence[Entry], merged: Sequence[Entry], dropped: Collection[str]
) -> None:
    """Of two runs of one seed one would stand for both, though they are not alike."""
    first: dict[tuple[str, int | None], Entry] = {}
    for before, after in zip(entries, merged, strict=True):
        other = first.setdefault((after.setting, after.run.seed), before)
        if other.setting != before.setting:
            raise UserError(
                f"--same {', '.join(sorted(dropped))} would make {other.run.id} and "
                f"{before.run.id} one setting, but both are of seed {before.run.seed}; "
                "name the runs to compare, one of each seed"
            )
