"""The TOML form of a plan: sets of runs, and criteria that compare them (docs/criteria.md)."""

import fnmatch
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator

from core.config.load import leaf_keys
from core.config.older import plan_of_today
from core.config.section import Section
from core.errors import UserError
from core.given_toml import parse_toml, read_toml_text, tables_of
from core.nearest import near
from core.registry.records import Outcome, RunRecord
from core.responses.names import GraderName
from core.tree_hash import tree_hash
from core.wrong_fields import first_wrong, shown

Value = str | int | float | bool
_MOST_COMPARISONS = 1000


class Direction(StrEnum):
    """What a criterion claims about candidate minus baseline."""

    HIGHER = "higher"
    """More than `margin` points above."""
    LOWER = "lower"
    """More than `margin` points below."""
    NOT_LOWER = "not_lower"
    """Not more than `margin` points below."""
    NOT_HIGHER = "not_higher"
    """Not more than `margin` points above."""

    @property
    def upwards(self) -> bool:
        """The claim holds for large differences."""
        return self in (Direction.HIGHER, Direction.NOT_LOWER)

    @property
    def allows_equality(self) -> bool:
        """The claim holds at its boundary."""
        return self in (Direction.NOT_LOWER, Direction.NOT_HIGHER)


class Scope(StrEnum):
    """What a criterion speaks of."""

    SETTING = "setting"
    """Settings: needs three paired seeds; seed and problem are both random."""
    CHECKPOINTS = "checkpoints"
    """These very checkpoints, each pair of one seed on its own."""


class RunSet(Section):
    """Runs that fit everything given."""

    group: str | None = None
    name: str | None = None
    kind: str | None = None
    tags: tuple[str, ...] = ()
    any_tags: tuple[str, ...] = ()
    settings: dict[str, Value | tuple[Value, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _restricts(self) -> "RunSet":
        if not self.model_fields_set:
            raise ValueError("a set needs group, name, kind, tags, any_tags or settings")
        return self

    @field_validator("settings")
    @classmethod
    def _known(cls, settings: dict[str, Any]) -> dict[str, Any]:
        return _known_settings(settings)

    def holds(self, run: RunRecord, settings: Mapping[str, Any]) -> bool:
        """Whether a run belongs to the set.

        Args:
            settings: The run's settings as dotted keys.
        """
        names = [text for text in (run.name, run.id) if text is not None]
        return (
            self.group in (None, run.group)
            and self.kind in (None, run.kind)
            and (self.name is None or any(fnmatch.fnmatchcase(n, self.name) for n in names))
            and set(self.tags) <= set(run.tags)
            and (not self.any_tags or not set(self.any_tags).isdisjoint(run.tags))
            and all(
                settings.get(key) in (wanted if isinstance(wanted, tuple) else (wanted,))
                for key, wanted in self.settings.items()
            )
        )


class Criterion(Section):
    """One claim about every candidate, at every place."""

    name: str = Field(min_length=1)
    metric: Outcome = Outcome.ACCURACY
    grader: GraderName = GraderName.R1_ZERO
    candidates: tuple[str, ...] = Field(min_length=1)
    baseline: str
    at: dict[str, Value | tuple[Value, ...]] = Field(default_factory=dict)
    direction: Direction
    margin: float = Field(0.0, ge=0, lt=100)
    significant: bool = True
    scope: Scope = Scope.SETTING

    @field_validator("at")
    @classmethod
    def _known(cls, at: dict[str, Any]) -> dict[str, Any]:
        return _known_settings(at)

    @field_validator("candidates")
    @classmethod
    def _each_once(cls, candidates: tuple[str, ...]) -> tuple[str, ...]:
        return _once(candidates)

    @model_validator(mode="after")
    def _bounded(self) -> "Criterion":
        sizes = [len(value) for value in self.at.values() if isinstance(value, tuple)]
        number = math.prod(sizes, start=len(self.candidates))
        if number > _MOST_COMPARISONS:
            raise ValueError(f"{number:,} comparisons are asked for; {_MOST_COMPARISONS:,} is most")
        return self

    @property
    def boundary(self) -> float:
        """The share that candidate minus baseline has to clear, from the side of the claim."""
        sign = 1 if self.direction in (Direction.HIGHER, Direction.NOT_HIGHER) else -1
        return sign * self.margin / 100

    def places(self) -> Iterator[dict[str, Value]]:
        """Every combination of the settings in `at`; a single empty one when there are none."""
        lists = [value if isinstance(value, tuple) else (value,) for value in self.at.values()]
        for values in product(*lists):
            yield dict(zip(self.at, values, strict=True))


class CriteriaPlan(Section):
    """A whole plan."""

    name: str = Field(min_length=1)
    note: str = ""
    sets: dict[str, RunSet] = Field(min_length=1)
    criterion: tuple[Criterion, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> "CriteriaPlan":
        names = [criterion.name for criterion in self.criterion]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"criterion {twice[0]!r} is there twice; give each its own name")
        for criterion in self.criterion:
            for name in (*criterion.candidates, criterion.baseline):
                if name not in self.sets:
                    known = ", ".join(self.sets)
                    raise ValueError(
                        f"criterion {criterion.name!r} names the set {name!r}; sets are {known}"
                    )
            if criterion.baseline in criterion.candidates:
                raise ValueError(
                    f"criterion {criterion.name!r} compares {criterion.baseline!r} with itself"
                )
        return self


@dataclass(frozen=True, slots=True)
class LoadedPlan:
    """A plan with what identifies it.

    Attributes:
        hash: 16 hex digits over the content; comments, layout and the order of keys do not count.
        text: The file.
    """

    plan: CriteriaPlan
    hash: str
    text: str

    @property
    def name(self) -> str:
        """Versions of a plan are those of one name."""
        return self.plan.name


def load_plan(path: Path) -> LoadedPlan:
    """Read a plan.

    Raises:
        UserError: the file cannot be read, or one sentence that names what is wrong in it.
    """
    origin = f"criteria file {path}"
    return parse_plan(read_toml_text(path, origin), origin)


def parse_plan(text: str, origin: str) -> LoadedPlan:
    """A plan from the text of its file.

    Args:
        text: The file.
        origin: What to call it in messages.

    Raises:
        UserError: one sentence that names what is wrong in it.
    """
    tree = tables_of(text, origin)
    if "base" in tree and "sets" not in tree:
        raise UserError(
            f"{origin} is a plan of experiments, which has its criteria for cells; "
            "a5ctl plan report judges them"
        )
    try:
        plan = CriteriaPlan.model_validate(plan_of_today(tree))
    except ValidationError as error:
        raise UserError(f"{origin}: {_sentence(error)}") from error
    return LoadedPlan(plan, plan_hash(tree), text)


def plan_hash(tree: Mapping[str, Any]) -> str:
    """16 hex digits over the content of a plan."""
    return tree_hash(tree, 16, default=str)


def plan_changes(before: str, after: str) -> list[str]:
    """What differs between the texts of two plans, one phrase for each set and criterion."""
    old, new = _parts(before), _parts(after)
    changes = []
    for key in sorted(old.keys() | new.keys()):
        if key not in old:
            changes.append(f"{key} added")
        elif key not in new:
            changes.append(f"{key} removed")
        elif old[key] != new[key]:
            changes.append(f"{key} changed")
    return changes


def _parts(text: str) -> dict[str, Any]:
    tree = parse_toml(text)
    sets = {f"set {name!r}": value for name, value in tree.pop("sets", {}).items()}
    criteria = {f"criterion {c.get('name')!r}": c for c in tree.pop("criterion", [])}
    return {**tree, **sets, **criteria}


def _known_settings(settings: dict[str, Any]) -> dict[str, Any]:
    for key, value in settings.items():
        if isinstance(value, tuple):
            _once(value, f" in {key!r}")
        if key not in leaf_keys():
            raise ValueError(f"{key!r} is not a setting; {near(key, leaf_keys(), 'docs/cli.md')}")
    return settings


def _once(values: tuple[Any, ...], where: str = "") -> tuple[Any, ...]:
    """An empty list would be met by nothing, and a value that is there twice would count twice."""
    if not values:
        raise ValueError(f"the list{where} is empty")
    if twice := [value for number, value in enumerate(values) if value in values[:number]]:
        raise ValueError(f"{shown(twice[0])} is there twice{where}")
    return values


def _sentence(error: ValidationError) -> str:
    wrong = first_wrong(error)
    if wrong.unknown:
        return f"{wrong.place} is not known here; docs/criteria.md lists what is"
    return wrong.sentence
