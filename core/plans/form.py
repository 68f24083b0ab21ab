"""The TOML form of a plan of experiments (docs/plans.md)."""

from enum import StrEnum
from typing import Any

from pydantic import Field, field_validator, model_validator

from core.config.load import leaf_keys
from core.config.section import Section
from core.criteria.plan import Direction, Scope
from core.nearest import near
from core.plans.wording import flat_settings
from core.registry.records import Outcome
from core.responses.names import GraderName

_LARGEST_SEED = 2**63 - 1
_OF_THE_PLAN = {
    "name": "the name of a run says its cell",
    "group": "the group of its runs is the name of the plan",
    "seed": "list seeds under seeds",
    "model.run": "a stage before the cells stands under [start]",
}
START = "start."
"""Before a setting: it is one of the stage that a cell starts from."""


class Same(StrEnum):
    """What all cells get the same amount of."""

    EPOCHS = "epochs"
    UPDATES = "updates"
    TOKENS = "tokens"


class Budget(Section):
    """The same training for every cell."""

    same: Same
    amount: float = Field(gt=0, le=1e15)

    @model_validator(mode="after")
    def _whole(self) -> "Budget":
        if self.same is not Same.EPOCHS and self.amount != int(self.amount):
            raise ValueError(f"{self.amount:g} {self.same} are no whole number")
        return self


class Halving(Section):
    """Stops cells that a test says are hopeless; see `core.plans.rungs`."""

    at: tuple[int, ...] = Field(min_length=1)
    """Steps at which all cells are compared; each must be one that is evaluated."""
    metric: Outcome = Outcome.ACCURACY
    grader: GraderName = GraderName.R1_ZERO
    direction: Direction = Direction.HIGHER
    """Whether a larger (`higher`) or a smaller (`lower`) share is better."""
    alpha: float = Field(0.05, gt=0, lt=1)
    """Level of the tests of one rung, Holm-corrected over its cells."""
    margin: float = Field(0.0, ge=0, lt=100)
    """Points that a cell has to be behind by."""

    @field_validator("at")
    @classmethod
    def _ascending(cls, at: tuple[int, ...]) -> tuple[int, ...]:
        if list(at) != sorted(set(at)) or at[0] < 1:
            raise ValueError(f"{list(at)} are not steps in ascending order")
        return at

    @field_validator("direction")
    @classmethod
    def _plain(cls, direction: Direction) -> Direction:
        if direction.allows_equality:
            raise ValueError(f"{direction} says no direction; write higher or lower")
        return direction


class Range(Section):
    """Values between two ends."""

    low: float
    high: float
    log: bool = False
    """Drawn evenly on a logarithmic scale."""
    whole: bool = False
    """Whole numbers only."""

    @model_validator(mode="after")
    def _spans(self) -> "Range":
        if not self.low < self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"low {self.low:g} has no logarithm; give one above 0")
        if self.whole and (self.low != int(self.low) or self.high != int(self.high)):
            raise ValueError("low and high of whole numbers are whole numbers")
        return self


Choices = tuple[str | int | float | bool, ...]


class Search(Section):
    """Settings that are looked for instead of listed; see `core.plans.search`."""

    space: dict[str, Range | Choices] = Field(min_length=1)
    """Dotted settings, each with a range or a list."""
    trials: int = Field(20, ge=1, le=10_000)
    """Points of the space to try, each under every seed of the plan."""
    parallel: int = Field(1, ge=1, le=1000)
    """Trials that are under way together: trial n is chosen from those up to n - parallel."""
    startup: int = Field(5, ge=1, le=10_000)
    """Trials that are drawn at random before the search learns from results."""
    seed: int = Field(0, ge=0, le=2**31)
    metric: Outcome = Outcome.ACCURACY
    grader: GraderName = GraderName.R1_ZERO
    direction: Direction = Direction.HIGHER

    @field_validator("space", mode="before")
    @classmethod
    def _flat(cls, space: Any) -> Any:
        return _ranges(space) if isinstance(space, dict) else space

    @field_validator("space")
    @classmethod
    def _known(cls, space: dict[str, Any]) -> dict[str, Any]:
        for key, values in space.items():
            _check_key(key)
            if isinstance(values, tuple) and len(values) < 2:
                raise ValueError(f"the list of {key!r} has one value at most; give several")
        return space

    @field_validator("direction")
    @classmethod
    def _plain(cls, direction: Direction) -> Direction:
        return Halving._plain(direction)


Selection = str | dict[str, Any]


class PlanCriterion(Section):
    """One claim, with cells in place of sets of runs."""

    name: str = Field(min_length=1)
    metric: Outcome = Outcome.ACCURACY
    grader: GraderName = GraderName.R1_ZERO
    candidates: tuple[Selection, ...] = Field(min_length=1)
    """Names of groups or sets, or settings: `{"data.size" = 256}`."""
    baseline: Selection
    at: dict[str, Any] = Field(default_factory=dict)
    direction: Direction
    margin: float = Field(0.0, ge=0, lt=100)
    significant: bool = True
    scope: Scope = Scope.SETTING


class PlanForm(Section):
    """A whole plan as it is written."""

    name: str = Field(min_length=1, max_length=100)
    """Versions of a plan are those of one name; it is the group of all its runs."""
    note: str = ""
    question: str = ""
    """What the plan is to answer."""
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    """Every cell is made under each of them."""
    base: dict[str, Any]
    """A run configuration: kind and settings, or config = "file.toml" and what differs from it."""
    start: dict[str, Any] | None = None
    """A run that cells start from, one for each seed."""
    axes: dict[str, tuple[Any, ...]] = Field(default_factory=dict)
    """Settings with lists of values; the cells are the product."""
    zip: tuple[dict[str, tuple[Any, ...]], ...] = ()
    """Settings whose lists move together; a table is one axis."""
    groups: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Named sets of settings; together one axis."""
    sets: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Named selections of cells, for criteria."""
    budget: Budget | None = None
    criterion: tuple[PlanCriterion, ...] = ()
    halving: Halving | None = None
    search: Search | None = None

    @field_validator("seeds")
    @classmethod
    def _seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if bad := [seed for seed in seeds if not 0 <= seed <= _LARGEST_SEED]:
            raise ValueError(f"{bad[0]} is not a seed; give whole numbers from 0")
        return once(seeds, " in seeds")

    @field_validator("start")
    @classmethod
    def _start(cls, start: dict[str, Any] | None) -> dict[str, Any] | None:
        given = start or {}
        if given.get("checkpoint", "last") not in ("last", "best"):
            raise ValueError(f"checkpoint is last or best, not {given['checkpoint']!r}")
        for key in ("name", "group"):
            if key in given:
                raise ValueError(f"{key!r} does not belong there: {_OF_THE_PLAN[key]}")
        return start

    @field_validator("axes", mode="before")
    @classmethod
    def _flat_axes(cls, axes: Any) -> Any:
        return flat_settings(axes) if isinstance(axes, dict) else axes

    @field_validator("axes")
    @classmethod
    def _axes(cls, axes: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
        for key, values in axes.items():
            _check_key(key)
            once(values, f" in {key!r}")
        return axes

    @field_validator("zip", mode="before")
    @classmethod
    def _flat_zip(cls, tables: Any) -> Any:
        if not isinstance(tables, list | tuple):
            return tables
        return [flat_settings(t) if isinstance(t, dict) else t for t in tables]

    @field_validator("zip")
    @classmethod
    def _zips(cls, tables: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        for moving in tables:
            sizes = {key: len(values) for key, values in moving.items()}
            if len(set(sizes.values())) != 1 or 0 in sizes.values():
                found = ", ".join(f"{key} has {size}" for key, size in sizes.items())
                raise ValueError(f"lists that move together have one length ({found or 'empty'})")
            for key in moving:
                _check_key(key)
        return tables

    @field_validator("groups", mode="before")
    @classmethod
    def _flat_groups(cls, groups: Any) -> Any:
        if not isinstance(groups, dict):
            return groups
        return {k: flat_settings(v) if isinstance(v, dict) else v for k, v in groups.items()}

    @field_validator("groups")
    @classmethod
    def _groups(cls, groups: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for settings in groups.values():
            for key, value in settings.items():
                if key == "start" and isinstance(value, bool):
                    continue
                _check_key(key, more=("kind", "start"))
        return groups

    @model_validator(mode="after")
    def _consistent(self) -> "PlanForm":
        names = [criterion.name for criterion in self.criterion]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"criterion {twice[0]!r} is there twice; give each its own name")
        if both := sorted(self.groups.keys() & self.sets.keys()):
            raise ValueError(f"{both[0]!r} names a group and a set; give each its own name")
        moved = [*self.axes, *(key for table in self.zip for key in table)]
        moved += self.search.space if self.search is not None else ()
        if twice := sorted({key for key in moved if moved.count(key) > 1}):
            raise ValueError(f"{twice[0]!r} is varied in two places; leave one of them")
        if self.start is None and (key := next((k for k in moved if k.startswith(START)), None)):
            raise ValueError(f"{key!r} is a setting of the stage [start], and there is none")
        if self.search is not None:
            others = ("axes", "zip", "groups", "sets", "criterion", "halving")
            if given := [name for name in others if getattr(self, name)]:
                raise ValueError(f"a plan with [search] has no {given[0]}; leave one out")
            if before := [key for key in self.search.space if key.startswith(START)]:
                raise ValueError(
                    f"{before[0]!r} cannot be searched; search the cells' own settings"
                )
        return self


def once(values: tuple[Any, ...], where: str = "") -> tuple[Any, ...]:
    """The values; an empty list makes no cell, and a value that is there twice one twice.

    Raises:
        ValueError: so it is.
    """
    if not values:
        raise ValueError(f"the list{where} is empty")
    if twice := [value for number, value in enumerate(values) if value in values[:number]]:
        raise ValueError(f"{twice[0]!r} is there twice{where}")
    return values


def _check_key(key: str, more: tuple[str, ...] = ()) -> None:
    plain = key.removeprefix(START)
    if key in more:
        return
    if plain in _OF_THE_PLAN:
        raise ValueError(f"{plain!r} is not varied here: {_OF_THE_PLAN[plain]}")
    if plain not in leaf_keys() or plain == "kind":
        raise ValueError(f"{plain!r} is not a setting; {near(plain, leaf_keys(), 'docs/cli.md')}")


def _ranges(space: dict[str, Any]) -> dict[str, Any]:
    """Dotted keys down to the lists and to the tables that are ranges."""
    flat: dict[str, Any] = {}
    for key, value in space.items():
        if isinstance(value, dict) and not value.keys() & {"low", "high"}:
            flat |= {f"{key}.{name}": inner for name, inner in _ranges(value).items()}
        else:
            flat[key] = value
    return flat
