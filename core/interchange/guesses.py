"""What a run of another tool worked on, read out of settings that anybody could have named."""

from collections.abc import Mapping, Sequence
from typing import Any

from core.interchange.limits import short_name

_MODEL = (
    *("model", "model_name", "model_name_or_path", "model_id", "model_path", "base_model"),
    *("_name_or_path", "policy", "pretrained"),
)
_DATA = ("dataset", "dataset_name", "data", "train_data", "data_path", "train_path", "task")
_SEEDS = ("seed", "random_seed")
_UNKNOWN = "unknown"


def guess_model(settings: Mapping[str, Any]) -> str:
    """The model by its usual names; `unknown` where none is there."""
    return _first_text(settings, _MODEL)


def guess_data(settings: Mapping[str, Any]) -> str:
    """The data by its usual names; `unknown` where none is there."""
    return _first_text(settings, _DATA)


def guess_seed(settings: Mapping[str, Any]) -> int | None:
    """The seed, if there is one; it also comes as text."""
    for name in _SEEDS:
        value = settings.get(name)
        if isinstance(value, str) and value.isdecimal() and value.isascii() and len(value) < 19:
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63:
            return value
    return None


def without_seed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that decide a run's figures; runs that differ only in their seed have the same."""
    return {name: value for name, value in settings.items() if name not in _SEEDS}


def _first_text(settings: Mapping[str, Any], names: Sequence[str]) -> str:
    found = (settings.get(name) for name in names)
    texts = (short_name(value) for value in found if isinstance(value, str))
    return next((text for text in texts if text), _UNKNOWN)
