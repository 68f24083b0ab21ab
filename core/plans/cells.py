"""The cells of a plan: each one run, with an identity that is the same tomorrow."""

import copy
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from core.config.load import assign, build_config
from core.config.older import hashed_form
from core.config.schema import OPTIONAL_SECTIONS, RunConfig, RunKind
from core.errors import UserError
from core.plans.form import START, Budget, PlanForm, Same
from core.plans.wording import flat_settings
from core.tree_hash import tree_hash

MOST_CELLS = 10_000
_BUDGETS = ("epochs", "steps", "tokens")
# who, where and how fast, which moves no number or rounding at most
_MACHINE = {
    "train": (
        *("gpus", "threads", "microbatch_tokens", "activation_checkpointing"),
        *("attention", "compile", "checkpoint_every", "keep_last", "keep_best"),
    ),
    "model": ("device",),
    "evaluation": ("placement", "gpu_memory_utilization"),
    "rollout": ("keep",),
}
_LABELS = ("name", "group", "tags", "note")
# of the cells' own settings, those that the stage before them has too
_SHARED = ("model", "prompt", "evaluation")
_START_SUFFIX = "/start"


@dataclass(frozen=True)
class Cell:
    """One run of a plan.

    Attributes:
        id: 8 hex digits over the settings that define the experiment: whatever their order, and
            whatever machine it is made on.
        labels: What tells it from other cells: group, dotted settings, seed.
        config: Its configuration, with name, group and tags; weights of another cell are not in
            it, for they are named by a run that may not be there yet.
        start: Id of the cell whose weights it starts from.
        checkpoint: Which checkpoint of that cell: `last` or `best`.
    """

    id: str
    labels: Mapping[str, Any]
    config: RunConfig
    start: str | None = None
    checkpoint: str = "last"

    @property
    def title(self) -> str:
        """Its labels in a few words, such as `A size 256 seed 0`."""
        return title(self.labels)

    @property
    def tag(self) -> str:
        """The tag of its runs."""
        return f"cell:{self.id}"


@dataclass(frozen=True, slots=True)
class Cells:
    """All cells: those of the stage before, and those that the plan is about."""

    starts: tuple[Cell, ...]
    cells: tuple[Cell, ...]


def start_group(name: str) -> str:
    """Group of the runs that the cells of a plan start from."""
    return name + _START_SUFFIX


def set_tag(group: str) -> str:
    """The tag of the runs of a named group of settings."""
    return f"set:{group}"


def title(labels: Mapping[str, Any]) -> str:
    """Labels in a few words."""
    parts = []
    for key, value in labels.items():
        if key == "group":
            parts.append(str(value))
        elif key.startswith(START):
            parts.append(f"start {_short(key)} {_shown(value)}")
        else:
            parts.append(f"{_short(key)} {_shown(value)}")
    return " ".join(parts)


def expand(form: PlanForm) -> Cells:
    """All cells of a plan, in the order of its file: groups, zips, axes, seeds.

    Raises:
        UserError: a cell is no valid run, there are too many, or two are one experiment.
    """
    makers = [_Maker(form, labels, settings) for labels, settings in _points(form)]
    return collect([maker.made(seed) for maker in makers for seed in form.seeds])


def collect(made: "list[tuple[Cell | None, Cell]]") -> Cells:
    """Cells with the stages that they start from, each stage once.

    Raises:
        UserError: two cells are one experiment.
    """
    starts: dict[str, Cell] = {}
    cells: dict[str, Cell] = {}
    for start, cell in made:
        if start is not None:
            starts.setdefault(start.id, start)
        if (twin := cells.get(cell.id)) is not None:
            raise UserError(
                f"cells {twin.title!r} and {cell.title!r} are the same experiment ({cell.id}); "
                "leave one of them out"
            )
        cells[cell.id] = cell
    return Cells(tuple(starts.values()), tuple(cells.values()))


def cell_at(form: PlanForm, point: Mapping[str, Any], seed: int) -> tuple[Cell | None, Cell]:
    """The cell of a plan without axes at these settings, and the stage it starts from."""
    return _Maker(form, dict(point), dict(point)).made(seed)


def experiment_id(config: RunConfig, start: str | None = None, checkpoint: str = "last") -> str:
    """8 hex digits over what a configuration says that is no default, no label and no machine.

    Defaults are left out, so that a setting that a later version knows changes no identity.

    Args:
        config: Of the run.
        start: Identity of the experiment it starts from.
        checkpoint: Which checkpoint of that one.
    """
    foreign = set(OPTIONAL_SECTIONS - config.kind.sections)
    tree = config.model_dump(
        mode="json", exclude_defaults=True, exclude={*foreign, *_LABELS, "kind"}
    )
    tree = without_machine(hashed_form(tree)) | {"kind": config.kind.value}
    if start is not None:
        tree |= {"start": start, "checkpoint": checkpoint}
    return tree_hash(tree, 8)


def without_machine(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A nested configuration without its labels, and without who, where and how fast."""
    kept: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            away = _MACHINE.get(key, ())
            value = {name: inner for name, inner in value.items() if name not in away}
        if key not in _LABELS and value != {}:
            kept[key] = value
    return kept


def _points(form: PlanForm) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Labels and settings of every combination of values, seeds apart."""
    axes: list[list[tuple[dict[str, Any], dict[str, Any]]]] = []
    if form.groups:
        axes.append([({"group": name}, dict(given)) for name, given in form.groups.items()])
    for moving in form.zip:
        rows = [dict(zip(moving, row, strict=True)) for row in zip(*moving.values(), strict=True)]
        axes.append([(row, row) for row in rows])
    axes += [[({key: value},) * 2 for value in values] for key, values in form.axes.items()]
    number = len(form.seeds)
    for axis in axes:
        number *= len(axis)
    if number > MOST_CELLS:
        raise UserError(f"the plan has {number:,} cells; {MOST_CELLS:,} is most")
    for combination in itertools.product(*axes):
        labels: dict[str, Any] = {}
        settings: dict[str, Any] = {}
        for said, given in combination:
            labels |= said
            settings |= given
        yield labels, settings


class _Maker:
    """Makes the cells of one combination of values."""

    def __init__(self, form: PlanForm, labels: dict[str, Any], settings: dict[str, Any]) -> None:
        self._form = form
        self._labels = labels
        wants_start = settings.pop("start", True) if form.start is not None else False
        self._own = {k: v for k, v in settings.items() if not k.startswith(START)}
        before = {k.removeprefix(START): v for k, v in settings.items() if k.startswith(START)}
        self._before = before if wants_start else None

    def made(self, seed: int) -> tuple[Cell | None, Cell]:
        start = self._start(seed)
        tree = copy.deepcopy(self._form.base)
        _forget_foreign(tree, self._own.get("kind"))
        for key, value in self._own.items():
            _put(tree, key, value)
        if self._form.budget is not None:
            _put_budget(tree, self._form.budget, title(self._labels))
        checkpoint = str((self._form.start or {}).get("checkpoint", "last"))
        labels = {**self._labels, "seed": seed}
        cell = _cell(tree, labels, self._form.name, seed, start, checkpoint)
        return start, _tagged(cell, self._labels.get("group"))

    def _start(self, seed: int) -> Cell | None:
        if self._before is None or self._form.start is None:
            return None
        base, own = self._form.base, copy.deepcopy(self._form.start)
        tree: dict[str, Any] = {k: copy.deepcopy(base[k]) for k in _SHARED if k in base}
        sources = {"source", "evaluation_source"}
        tree["data"] = {k: v for k, v in base.get("data", {}).items() if k in sources}
        tree["train"] = {k: v for k, v in base.get("train", {}).items() if k == "precision"}
        own.pop("checkpoint", None)
        seed = own.pop("seed", seed)
        for key, value in {**flat_settings(own), **self._before}.items():
            _put(tree, key, value)
        labels = {f"{START}{key}": value for key, value in self._before.items()}
        labels = labels or {f"{START}kind": tree.get("kind", "sft")}
        made = _cell(tree, {**labels, "seed": seed}, start_group(self._form.name), seed)
        return _tagged(made, None)


def _cell(
    tree: dict[str, Any],
    labels: Mapping[str, Any],
    group: str,
    seed: int,
    start: Cell | None = None,
    checkpoint: str = "last",
) -> Cell:
    said = title(labels)
    tree |= {"seed": seed, "group": group}
    config = build_config(tree, f"cell {said!r}")
    if start is not None and config.model.run is not None:
        raise UserError(
            f"cell {said!r}: model.run and [start] both name what to start from; leave one out"
        )
    start_id = None if start is None else start.id
    return Cell(experiment_id(config, start_id, checkpoint), labels, config, start_id, checkpoint)


def _tagged(cell: Cell, group: str | None) -> Cell:
    """What finds the runs of the cell again; tags and names change no hash of a configuration."""
    tags = (*cell.config.tags, cell.tag, *(() if group is None else (set_tag(group),)))
    labels = {"name": cell.title[:120], "tags": tags}
    return replace(cell, config=cell.config.model_copy(update=labels))


def _forget_foreign(tree: dict[str, Any], kind: Any) -> None:
    """A group of another kind has no use for what the base says about its own."""
    if kind in list(RunKind):
        for section in OPTIONAL_SECTIONS - RunKind(kind).sections:
            tree.pop(section, None)


def _put(tree: dict[str, Any], key: str, value: Any) -> None:
    if key == "data.size" and value == "full":
        value = None
    assign(tree, key, value)


def _put_budget(tree: dict[str, Any], budget: Budget, said: str) -> None:
    if tree.get("kind", "sft") not in list(RunKind):
        return  # which is said when the cell is built
    kind = RunKind(tree.get("kind", "sft"))
    if not kind.trains:
        return
    train = tree.setdefault("train", {})
    if given := [name for name in _BUDGETS if train.get(name) is not None]:
        raise UserError(
            f"cell {said!r}: train.{given[0]} and [budget] are both budgets; leave one of them out"
        )
    if kind is not RunKind.GRPO:
        name = "steps" if budget.same is Same.UPDATES else budget.same.value
        train[name] = budget.amount if budget.same is Same.EPOCHS else int(budget.amount)
        return
    if budget.same is not Same.UPDATES:
        raise UserError(
            f"cell {said!r}: a run of kind grpo has no budget of {budget.same}; write "
            'same = "updates"'
        )
    each = build_config(tree, f"cell {said!r}").grpo.updates_per_rollout
    if budget.amount % each:
        raise UserError(
            f"cell {said!r}: {budget.amount:g} updates are no whole number of rollout batches, "
            f"which take {each} each; give a multiple"
        )
    tree.setdefault("grpo", {})["steps"] = int(budget.amount) // each


def _short(key: str) -> str:
    return key.rsplit(".", 1)[-1]


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ",".join(map(_shown, value))
    if isinstance(value, Mapping):
        return ",".join(f"{k}={_shown(v)}" for k, v in value.items())
    return str(value)
