"""Defaults of runs: the file `a5ctl.toml` of a workspace, and `A5CTL_*` variables.

What holds, from the strongest: `--set`, options, the `--config` file (or what `--init`, `--run` or
`--protocol` take over from a run), variables, `a5ctl.toml`, built-in defaults. So what a person
names wins over what only happens to be around. Engine, device and threads belong to the machine:
a default of theirs wins over what a run on some other machine had.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.config.flat import flatten
from core.config.load import assign, build_config
from core.config.older import tree_of_today
from core.config.schema import OPTIONAL_SECTIONS, RunKind
from core.errors import UserError
from core.given_files import read_given
from core.given_toml import parse_toml

FILE_NAME = "a5ctl.toml"
VARIABLES = {
    "A5CTL_MODEL": "model.source",
    "A5CTL_DATA": "data.source",
    "A5CTL_PROMPT": "prompt.template",
    "A5CTL_ENGINE": "evaluation.engine",
    "A5CTL_GRADER": "evaluation.grader",
    "A5CTL_DEVICE": "model.device",
    "A5CTL_THREADS": "train.threads",
    "A5CTL_ON_ALARM": "train.on_alarm",
    "A5CTL_KEEP_ROLLOUTS": "rollout.keep",
    "A5CTL_GROUP": "group",
}
"""The setting that each variable is a default of."""

BUDGETS = ("train.epochs", "train.steps", "train.tokens")
_NUMBERS = ("train.threads",)
_OF_THE_MACHINE = ("evaluation.engine", "model.device", "train.threads")
_PATHS = ("model.source", "data.source", "data.evaluation_source", "prompt.template", "dpo.pairs")
_OF_TRAINING_DATA = ("data.size", "data.seed", "data.filter", "data.solved_by")
_OF_ONE_RUN = ("kind", "name", "model.run", "model.run_step", "model.run_choice",
               "model.selected_on", "data.evaluation_hash", "prompt.text")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds where nothing else is said.

    Attributes:
        settings: Dotted settings.
        origins: The file or variable that each of them comes from.
        file: The file that was read, if there is one.
        sha256: Of that file, 64 hex digits.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    file: Path | None = None
    sha256: str | None = None


def find_defaults(kind: str, home: Path | None) -> Defaults:
    """Defaults of a run of this kind in this workspace; those of other kinds are left out.

    Raises:
        UserError: the file cannot be read or understood, or a value is not valid.
    """
    root = Path(home or os.environ.get("A5CTL_HOME") or Path.cwd()).expanduser().absolute()
    path = root / FILE_NAME
    content = _read(path)
    from_file = {} if content is None else _checked(path, content, kind)
    settings = {**from_file, **_from_variables(kind)}
    origins = dict.fromkeys(from_file, str(path))
    origins |= {key: name for name, key in VARIABLES.items() if os.environ.get(name)}
    digest = None if content is None else hashlib.sha256(content).hexdigest()
    used = None if content is None else path
    return Defaults(settings, {key: origins[key] for key in settings}, used, digest)


def put_beneath(
    tree: dict[str, Any], defaults: Defaults, named: Iterable[str] = (), *, inherited: bool
) -> dict[str, str]:
    """Fill in what a tree of settings leaves open.

    Args:
        tree: Settings; changed in place.
        defaults: What to fill in.
        named: Further settings that are not open.
        inherited: The tree comes from another run, perhaps from another machine.

    Returns:
        Origin of each setting that was filled in, by its name.
    """
    closed = set(flatten(tree)) - set(_OF_THE_MACHINE if inherited else ()) | set(named)
    if closed & set(BUDGETS):
        closed |= set(BUDGETS)
    if "model.run" in closed:
        closed.add("model.source")
    if "prompt.text" in closed:
        closed.add("prompt.template")
    filled = {key: value for key, value in defaults.settings.items() if key not in closed}
    for key, value in filled.items():
        assign(tree, key, value)
    return {key: defaults.origins[key] for key in filled}


def read_file(path: Path) -> dict[str, Any]:
    """All settings of a defaults file by dotted name.

    Raises:
        UserError: one sentence that names the file and what is wrong with it.
    """
    content = _read(path)
    if content is None:
        raise UserError(f"there is no {path}; make it with: a5ctl init")
    settings = _settings(path, content)
    for kind in RunKind:
        _validate(_fitting(settings, kind), kind, str(path))
    return settings


def _read(path: Path) -> bytes | None:
    try:
        return read_given(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UserError(
            f"defaults file {path} cannot be read: {error.strerror}; repair or delete it"
        ) from error


def _checked(path: Path, content: bytes, kind: str) -> dict[str, Any]:
    fitting = _fitting(_settings(path, content), RunKind(kind))
    _validate(fitting, RunKind(kind), str(path))
    return fitting


def _settings(path: Path, content: bytes) -> dict[str, Any]:
    try:
        flat = flatten(tree_of_today(parse_toml(content.decode("utf-8"))))
    except ValueError as error:  # of the encoding, too
        raise UserError(f"defaults file {path} is not valid TOML: {error}") from error
    for key in flat:
        if key in _OF_ONE_RUN:
            raise UserError(f"{path}: {key!r} belongs to one run; take it out, or use --config")
    scratch: dict[str, Any] = {}
    for key, value in flat.items():
        try:
            assign(scratch, key, value)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
    return {key: _placed(path.parent, key, value) for key, value in flat.items()}


def _placed(root: Path, key: str, value: Any) -> Any:
    """A path that means something beside the file means that wherever the program is started."""
    if key not in _PATHS or not isinstance(value, str) or root == Path.cwd():
        return value
    place = root / value
    return str(place) if "\0" not in value and place.exists() else value


def _from_variables(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, key in VARIABLES.items():
        text = os.environ.get(name)
        if not text:
            continue
        if key in _NUMBERS and not text.isdecimal():
            raise UserError(
                f"{name}={text!r} is no whole number from 0 on; set it to one, or unset it"
            )
        value = int(text) if key in _NUMBERS else text
        fitting = _fitting({key: value}, RunKind(kind))
        _validate(fitting, RunKind(kind), f"variable {name}")
        found |= fitting
    return found


def _fitting(settings: Mapping[str, Any], kind: RunKind) -> dict[str, Any]:
    """Without the sections of other methods; a run that only evaluates has no use for training."""
    foreign = OPTIONAL_SECTIONS - kind.sections | (set() if kind.trains else {"train"})
    unused = () if kind.trains else _OF_TRAINING_DATA
    return {
        key: value
        for key, value in settings.items()
        if key.partition(".")[0] not in foreign and key not in unused
    }


def _validate(settings: Mapping[str, Any], kind: RunKind, origin: str) -> None:
    tree: dict[str, Any] = {"kind": kind.value}
    for key, value in settings.items():
        assign(tree, key, value)
    build_config(tree, origin)
