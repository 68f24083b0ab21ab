"""From the options of `a5ctl run` to validated configs: where weights come from, and matrices."""

import copy
import itertools
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from a5ctl.defaults import BUDGETS, Defaults, find_defaults, put_beneath
from a5ctl.options import open_workspace_and_registry
from core.config.flat import flatten
from core.config.load import assign, build_config, parse_assignment, read_toml
from core.config.schema import RunConfig
from core.errors import UserError

_UNSET: Any = object()


@dataclass(frozen=True, slots=True)
class WeightSource:
    """Where the weights come from.

    Attributes:
        settings: Dotted settings that say so.
        inherited: Settings of the run the weights come from that hold unless others are given.
    """

    settings: dict[str, Any]
    inherited: dict[str, Any] = field(default_factory=dict)


class Tree(dict[str, Any]):
    """Nested settings that know which of them are defaults, and of what.

    Attributes:
        defaults: What the workspace and the environment say.
        origins: Of each setting that is still as they say: the file or the variable.
    """

    def __init__(self, settings: Mapping[str, Any], defaults: Defaults) -> None:
        super().__init__(settings)
        self.defaults = defaults
        self.origins: dict[str, str] = {}


class Cells(list[RunConfig]):
    """Configs to run, and what of them came from a defaults file or from the environment.

    Attributes:
        provenance: For the record of each run; empty where no default was used.
    """

    provenance: Mapping[str, Any] = {}


def start_tree(
    kind: str, config: Path | None, source: WeightSource, home: Path | None = None
) -> Tree:
    """The settings that a run of this kind begins with.

    They are a config file's, or inherited ones, and beneath them the defaults of the workspace.

    Raises:
        UserError: a file cannot be read, or is for another kind of run.
    """
    tree = read_toml(config) if config is not None else copy.deepcopy(source.inherited)
    if config is None and kind != "eval":
        tree.pop("evaluation", None)
    if "model.run" in source.settings:  # the file's choice was made for another run
        take_away(tree, ("model.run_step", "model.run_choice", "model.selected_on"))
    if tree.setdefault("kind", kind) != kind:
        raise UserError(
            f"config file {config} has kind {tree['kind']!r}; "
            f"start it with a5ctl run {tree['kind']}"
        )
    grown = Tree(tree, find_defaults(kind, home))
    named = [key for key, value in source.settings.items() if value is not None]
    grown.origins = put_beneath(grown, grown.defaults, named, inherited=config is None)
    return grown


def parse_filter(filter_: str | None, solved_run: str | None) -> tuple[str | None, str | None]:
    """Name of the filter, and the run that decides for solved-by.

    Raises:
        UserError: a run is missing, or named without need.
    """
    if filter_ == "solved-by":
        if solved_run is None:
            raise UserError("--filter solved-by needs a run: --filter solved-by sft-256-k3f9")
        return filter_, solved_run
    if solved_run is not None:
        raise UserError(
            f"unexpected argument {solved_run!r}; a run is named only after --filter solved-by"
        )
    return filter_, None


def model_source(
    model: str | None, init: str | None, home: Path | None, registry: str | None
) -> WeightSource:
    """`--init` names a run of the registry, unless it looks like a model.

    Raises:
        UserError: model and init are both given, or there is no such run.
    """
    if init is None:
        return WeightSource({"model.source": model})
    if model is not None:
        raise UserError("--model and --init both name what to start from; give only one of them")
    if init == "builtin" or "/" in init or Path(init).is_dir():
        return WeightSource({"model.source": init})
    return run_source(init, None, home, registry)


def run_source(
    run: str,
    step: int | None,
    home: Path | None,
    registry: str | None,
    *,
    only_evaluates: bool = False,
) -> WeightSource:
    """A run's checkpoint; its data, prompt and evaluation settings hold unless others are given.

    Args:
        run: `RUN`, `RUN:STEP`, `RUN:last` or `RUN:best`.
        step: Which checkpoint, where the option for it was given.
        home: Value of `--home`.
        registry: Value of `--registry`.
        only_evaluates: The run that it is for does not train.

    Raises:
        UserError: there is no such run, or its checkpoint is named twice or by no known word.
    """
    name, which = _split_reference(run, "--run" if only_evaluates else "--init")
    if which and step is not None:
        raise UserError(f"--run {run} and --step {step} both name a checkpoint; give one of them")
    _, store = open_workspace_and_registry(home, registry)
    record = store.find_run(name)
    inherited: dict[str, Any] = {
        key: record.config[key] for key in ("prompt", "evaluation") if key in record.config
    }
    data = record.config.get("data", {})
    asked = data.get("evaluation_source") if only_evaluates else None
    inherited["data"] = {"source": asked or data.get("source", "builtin")}
    chosen = {
        "model.run_step": int(which) if which.isdecimal() else step,
        "model.run_choice": "best" if which == "best" else None,
    }
    return WeightSource({"model.run": record.id, **chosen}, inherited)


def _split_reference(reference: str, option: str) -> tuple[str, str]:
    name, _, which = reference.partition(":")
    if which in ("", "last", "best") or which.isdecimal():
        return name, which
    raise UserError(f"{option} {reference!r}: after the colon stands a step, last or best")


def build_cells(
    tree: Tree,
    given: dict[str, Any],
    assignments: list[str] | None,
    sizes: str | None,
    seeds: str | None,
) -> Cells:
    """The product of sizes and seeds as validated configs under one group.

    Args:
        tree: Settings to begin with; changed in place.
        given: Dotted settings from options of their own; None means not given.
        assignments: `key=value` texts, which win over options.
        sizes: `256`, or several: `128,256,full`.
        seeds: `0`, or several: `0,1,2`.

    Raises:
        UserError: a setting, size or seed is not valid.
    """
    kind = tree["kind"]
    wanted = [(key, value) for key, value in given.items() if value is not None]
    wanted += [parse_assignment(text) for text in assignments or []]
    if any(key in BUDGETS for key, _ in wanted):
        _forget_budget(tree)
    for key, value in wanted:
        assign(tree, key, value)
    size_axis = _sizes(sizes) if sizes is not None else [_UNSET]
    seed_axis = _seeds(seeds) if seeds is not None else [_UNSET]
    cells = list(itertools.product(size_axis, seed_axis))
    if len(cells) > 1 and "group" not in tree:
        tree["group"] = _group_name()
    if tree["kind"] != kind:
        raise UserError(f"--set kind={tree['kind']} changes the command; use a5ctl run eval or sft")
    configs = Cells()
    configs.provenance = _used_defaults(tree, [key for key, _ in wanted], sizes, seeds)
    for size, seed in cells:
        cell = copy.deepcopy(tree)
        if size is not _UNSET:
            cell.setdefault("data", {})["size"] = size
        if seed is not _UNSET:
            cell["seed"] = seed
        configs.append(build_config(cell))
    return configs


def _used_defaults(
    tree: Tree, given: Iterable[str], sizes: str | None, seeds: str | None
) -> dict[str, Any]:
    """What the record of a run says of the defaults that it uses."""
    replaced = {*given, *(["data.size"] if sizes else []), *(["seed"] if seeds else [])}
    flat = flatten(tree)
    used = {key: origin for key, origin in tree.origins.items() if key in flat.keys() - replaced}
    if not used:
        return {}
    file = tree.defaults.file
    from_file = file is not None and str(file) in used.values()
    sha256 = {"file": str(file), "sha256": tree.defaults.sha256} if from_file else {}
    return {"defaults": {**sha256, "settings": used}}


def take_away(tree: dict[str, Any], keys: Iterable[str]) -> None:
    """Take inherited settings out, so that their defaults hold; keys are dotted."""
    for key in keys:
        section, _, leaf = key.partition(".")
        if isinstance(tree.get(section), dict):
            tree[section].pop(leaf, None)


def _forget_budget(tree: dict[str, Any]) -> None:
    """An option replaces the budget of a config file, whichever kind it is."""
    take_away(tree, BUDGETS)


def _sizes(text: str) -> list[int | None]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part == "full" or (part.isdecimal() and int(part) > 0) for part in parts):
        raise UserError(f"--size {text!r}: give positive numbers or full, such as 128,256,full")
    return [None if part == "full" else int(part) for part in dict.fromkeys(parts)]


def _seeds(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise UserError(f"--seed {text!r}: give whole numbers from 0, such as 0,1,2")
    return [int(part) for part in dict.fromkeys(parts)]


def _group_name() -> str:
    alphabet = "abcdefghjkmnpqrstuvwxyz23456789"
    return "matrix-" + "".join(secrets.choice(alphabet) for _ in range(4))
