"""Configs from TOML and `--set key=value`, and back, with errors that a person can act on."""

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import BaseModel, ValidationError

from core.config.older import OLDER, TODAY, hashed_form, today, tree_of_today
from core.config.schema import OPTIONAL_SECTIONS, RunConfig
from core.errors import UserError
from core.given_toml import parse_toml, read_toml_text, tables_of
from core.nearest import did_you_mean
from core.tree_hash import tree_hash
from core.wrong_fields import first_wrong


def read_toml(path: Path) -> dict[str, Any]:
    """Read a config file; settings under older names have today's.

    Raises:
        UserError: the file is missing or is not TOML.
    """
    origin = f"config file {path}"
    return tree_of_today(tables_of(read_toml_text(path, origin), origin))


def parse_assignment(text: str) -> tuple[str, Any]:
    """Split `train.lr=1e-5` into key and value; a value that is not TOML is taken as a string.

    Raises:
        UserError: there is no `=` or no key.
    """
    key, separator, value = text.partition("=")
    key = key.strip()
    if not separator or not key:
        raise UserError(f"--set {text!r} is not key=value; write for example --set train.lr=1e-5")
    try:
        return today(key, parse_toml(f"value = {value}")["value"])
    except ValueError:
        return today(key, value)


def assign(tree: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key in a nested dictionary.

    Raises:
        UserError: the key names no setting.
    """
    if key not in leaf_keys():
        raise UserError(f"{key!r} is not a setting{_suggestion(key)}")
    *sections, leaf = key.split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
    tree[leaf] = value


def build_config(tree: Mapping[str, Any], origin: str = "the configuration") -> RunConfig:
    """Validate a nested dictionary.

    Raises:
        UserError: one sentence that names the first wrong setting, its value and what is allowed.
    """
    try:
        return RunConfig.model_validate(tree_of_today(tree))
    except ValidationError as error:
        raise UserError(f"{origin}: {_sentence(error)}") from error


def to_toml(config: RunConfig) -> str:
    """The config as TOML; settings that are not given are left out."""
    return tomli_w.dumps(to_tree(config))


def to_tree(config: RunConfig) -> dict[str, Any]:
    """The config as a nested JSON-ready dictionary without empty values and foreign settings."""
    foreign = set(OPTIONAL_SECTIONS - config.kind.sections)
    return _without_none(config.model_dump(mode="json", exclude=foreign))


def config_hash(config: RunConfig) -> str:
    """16 hex digits over all that can change the run's numbers.

    Name, group, tags and note are left out, and the number of GPUs, which moves only rounding.
    A configuration that an older version could write has the digits it had then.
    """
    tree = hashed_form(to_tree(config))
    tree["train"].pop("gpus")
    for label in ("name", "group", "tags", "note"):
        tree.pop(label, None)
    return tree_hash(tree, 16)


def leaf_keys() -> tuple[str, ...]:
    """Every dotted key that `--set` takes."""
    return tuple(_leaves(RunConfig, ""))


def _leaves(model: type[BaseModel], prefix: str) -> Iterable[str]:
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from _leaves(annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _without_none(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, Mapping) else value
        for key, value in tree.items()
        if value is not None
    }


def _suggestion(key: str) -> str:
    if key == OLDER:
        return f"; it is called {TODAY} now"
    keys = leaf_keys()
    last = key.rsplit(".", 1)[-1]
    near = [k for k in keys if k.rsplit(".", 1)[-1] == last]
    near = near or difflib.get_close_matches(key, keys, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(near)}?" if near else f"; settings are {', '.join(keys)}"


def _sentence(error: ValidationError) -> str:
    wrong = first_wrong(error)
    if wrong.unknown:
        return f"{wrong.place!r} is not a setting{_suggestion(wrong.place)}"
    value = f" (got {wrong.given!r})" if not isinstance(wrong.given, Mapping) else ""
    if wrong.kind in ("enum", "literal_error"):
        value += did_you_mean(str(wrong.given), re.findall(r"'([^']*)'", wrong.expected))
    return f"{wrong.place}: {wrong.message}{value}" if wrong.parts else wrong.message
