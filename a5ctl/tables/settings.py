"""What decides a run's figures besides its seed: the settings that tables compare."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, cached_property
from pathlib import PurePath
from typing import Any

from core.config.flat import flatten
from core.config.older import tree_of_today
from core.registry.records import RunRecord

_LABELS = frozenset({"kind", "name", "group", "note", "tags", "seed"})
# labels, and choices of the machine that cannot change what is measured
_NOT_SETTINGS = frozenset(
    {
        *_LABELS,
        *("train.threads", "train.microbatch_tokens", "data.evaluation_hash"),
        *("train.keep_best", "train.max_rollbacks"),
        *("model.run_choice", "model.selected_on"),  # told by what a run started from
    }
)
_BEHIND_LABELS = ', "model": {'
ONE_RUN = frozenset({"model.run", "model.run_step"})
"""Settings that name the run and the step that weights came from."""
# as the configuration is written; in JSON no text holds such quotes
_NAMED_RUN = re.compile(r'"run": ("(?:[^"\\]|\\.)*"), "run_step": (\d+), ')
_FIRST_SETTINGS = ("kind", "data.size", "train.lr", "train.epochs", "train.supervise")


class Settings(dict[str, Any]):
    """Settings by dotted name; not changed once they are made, for runs may share them."""

    @cached_property
    def text(self) -> str:
        """The same for equal settings."""
        return repr(sorted(self.items()))


def run_settings(run: RunRecord) -> Settings:
    """What decides a run's figures besides its seed, as dotted keys; `kind` among them."""
    shared, one = _shared_settings(run)
    return Settings({**shared, **one}) if one else shared


def settings_without_run(run: RunRecord) -> Settings:
    """The same without the one run that it started from; one object for runs that are alike."""
    shared, _ = _shared_settings(run)
    if ONE_RUN.isdisjoint(shared):
        return shared
    return Settings({k: v for k, v in shared.items() if k not in ONE_RUN})


def _shared_settings(run: RunRecord) -> tuple[Settings, dict[str, Any]]:
    """Settings that seeds share, parsed once for all of them, and those that name one run."""
    try:
        return _parsed_settings(run)
    except (ValueError, TypeError, AttributeError, RecursionError):
        assert run.config  # it says what is wrong with them
        raise


def _parsed_settings(run: RunRecord) -> tuple[Settings, dict[str, Any]]:
    text = _without_labels(run.config_json)
    found = _NAMED_RUN.search(text)
    if found is None:
        return _settings(run.kind, text), {}
    one = {"model.run": json.loads(found[1]), "model.run_step": json.loads(found[2])}
    return _settings(run.kind, text[: found.start()] + text[found.end() :]), one


def varying_settings(settings: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The settings that are not the same for all, the most telling ones first."""
    unlike = list({id(one): one for one in settings}.values())  # runs that are alike share theirs
    keys = {key for one in unlike for key in one}
    varying = {key for key in keys if _differ([one.get(key) for one in unlike])}
    leading = [key for key in _FIRST_SETTINGS if key in varying]
    return (*leading, *sorted(varying.difference(leading)))


def short_name(key: str, others: Iterable[str] = ()) -> str:
    """The last part of a setting's name, or all of it where others end alike."""
    short = key.rsplit(".", 1)[-1]
    alike = any(other != key and other.rsplit(".", 1)[-1] == short for other in others)
    return key if alike else short


def value_text(key: str, value: Any) -> str:
    """The value of a setting in few characters; `-` for none."""
    if isinstance(value, float):
        return f"{value:g}"
    text = "-" if value is None else str(value)
    return PurePath(text).name if key == "prompt.template" else text


def _differ(values: list[Any]) -> bool:
    """As they are written: 1, 1.0 and true are three settings."""
    if values.count(values[0]) == len(values) and len(set(map(type, values))) == 1:
        return False
    return len(set(map(repr, values))) > 1


def _without_labels(config: str) -> str:
    """The configuration behind its labels, which is the same text for all seeds of a setting.

    In JSON no text holds the mark, whose quotes would be escaped there.
    """
    head, mark, tail = config.partition(_BEHIND_LABELS)
    if not mark or not json.loads(head + "}").keys() <= _LABELS:
        return config
    return "{" + mark.removeprefix(", ") + tail


@cache
def _settings(kind: str, text: str) -> Settings:
    config = _with_reward_as_text(tree_of_today(json.loads(text)))
    flat = {k: v for k, v in flatten(config).items() if k not in _NOT_SETTINGS}
    if flat.get("train.on_alarm") == "warn":  # as runs behave that never heard of it
        del flat["train.on_alarm"]
    if "prompt.text" in flat:  # a column is no place for a whole template
        digest = hashlib.sha256(str(flat["prompt.text"]).encode()).hexdigest()
        flat["prompt.text"] = digest[:8]
    if kind != "eval":
        flat.setdefault("data.size", "full")
    return Settings({"kind": kind, **flat})


def _with_reward_as_text(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The weights of a reward as one setting, as --reward takes them, in one order for all."""
    method = config.get("grpo", {})
    weights = method.get("reward")
    if not isinstance(weights, Mapping):
        return config
    text = ",".join(f"{part}={weight:g}" for part, weight in sorted(weights.items()))
    return {**config, "grpo": {**method, "reward": text}}
