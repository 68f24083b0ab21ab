"""Settings under the names and values that older versions gave them, and today's.

`model.dtype` said in what matrix products were computed, over float32 weights: its `bfloat16` is
`mixed` today, and `bfloat16` is another way to train. Files, plans and registries that have the
older name are read as what they meant; hashes are taken of the older form where there is one, so
that runs and cells recorded then are found again.
"""

from collections.abc import Mapping
from typing import Any

OLDER, TODAY = "model.dtype", "train.precision"
_OLDER_SECTION, _OLDER_LEAF = OLDER.split(".")
_SECTION, _LEAF = TODAY.split(".")
MEANT = {"float32": "float32", "bfloat16": "mixed", "auto": "auto"}
"""What each older value is called today."""
_WAS = {today: older for older, today in MEANT.items()}


def today(key: str, value: Any) -> tuple[str, Any]:
    """A dotted setting and its value, or list of values, as they are called today."""
    start, older, rest = key.partition(OLDER)
    if not older or rest or start not in ("", "start."):
        return key, value
    if isinstance(value, list):
        return f"{start}{TODAY}", [_meant(each) for each in value]
    return f"{start}{TODAY}", _meant(value)


def tree_of_today(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A nested configuration under today's names; what says both names is left as it is."""
    older, section = tree.get(_OLDER_SECTION, {}), tree.get(_SECTION, {})
    if not _has(older, _OLDER_LEAF) or not isinstance(section, Mapping) or _LEAF in section:
        return dict(tree)
    kept = {key: value for key, value in older.items() if key != _OLDER_LEAF}
    precision = {_LEAF: _meant(older[_OLDER_LEAF])}
    return {**tree, _OLDER_SECTION: kept, _SECTION: {**section, **precision}}


def plan_of_today(tree: Any) -> Any:
    """A plan under today's names, wherever in it settings stand, nested or dotted."""
    if isinstance(tree, list):
        return [plan_of_today(each) for each in tree]
    if not isinstance(tree, Mapping):
        return tree
    renamed: dict[str, Any] = {}
    for key, value in tree.items():
        named = _has(value, _OLDER_LEAF) and key in (_OLDER_SECTION, f"start.{_OLDER_SECTION}")
        if named:
            value = dict(value)
            dotted, meant = today(f"{key}.{_OLDER_LEAF}", value.pop(_OLDER_LEAF))
            renamed[dotted] = meant
        if value or not named:
            new_key, new_value = today(key, value)
            renamed[new_key] = plan_of_today(new_value)
    return renamed


def hashed_form(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A nested configuration as older versions wrote it, where they could have."""
    section = tree.get(_SECTION, {})
    if section.get(_LEAF) not in _WAS:
        return dict(tree)
    kept = {key: value for key, value in section.items() if key != _LEAF}
    older = {**tree.get(_OLDER_SECTION, {}), _OLDER_LEAF: _WAS[section[_LEAF]]}
    form = {**tree, _OLDER_SECTION: older, _SECTION: kept}
    return form if kept else {key: value for key, value in form.items() if key != _SECTION}


def _has(value: Any, leaf: str) -> bool:
    return isinstance(value, Mapping) and leaf in value


def _meant(value: Any) -> Any:
    return MEANT.get(value, value) if isinstance(value, str) else value
