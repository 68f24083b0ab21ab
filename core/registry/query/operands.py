"""Fields as SQL: which expression gives a field's value, on SQLite and on PostgreSQL."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    ColumnElement,
    Double,
    FromClause,
    Select,
    and_,
    case,
    cast,
    exists,
    false,
    func,
    literal,
    not_,
    null,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.sql.selectable import NamedFromClause

from core.config.older import MEANT, OLDER, TODAY
from core.registry.codec import join_value
from core.registry.nul_text import ESCAPE
from core.registry.query.fields import Field, FieldType, Origin, Statistic
from core.registry.query.tables import EVALUATION, METRIC_SUMMARY, RUN, SEGMENT

Expression = ColumnElement[Any]
_JSON_KINDS: dict[str, dict[str, tuple[str, ...]]] = {
    "sqlite": {"number": ("integer", "real"), "text": ("text",), "flag": ("true", "false")},
    "postgresql": {"number": ("number",), "text": ("string",), "flag": ("boolean",)},
}
_EVALUATION_COLUMNS = {
    "low": "interval_low",
    "high": "interval_high",
    "evaluated_step": "step",
    "evaluated": "time",
}
_SHARES = {
    "unclosed_share": ("unclosed", "n"),
    "unparseable_share": ("unparseable", "numeric"),
    "truncated_share": ("truncated", "n"),
}
COUNTS = {count: share for share, (count, _) in _SHARES.items()}
"""Fields that count responses, and those that say which part of all that is."""


@dataclass(frozen=True, slots=True)
class Operand:
    """A field as SQL. What does not apply to its type is None.

    Attributes:
        field: The field.
        outputs: What to select for its value.
        read: The value behind the selected outputs.
        number: A number, or NULL where there is none.
        text: A text, or NULL.
        flag: A boolean, or NULL.
        present: Whether there is a value, when no NULL among the others says so.
        nan: Whether the number is none because it is not one.
    """

    field: Field
    outputs: tuple[Expression, ...]
    read: Callable[[Sequence[Any]], Any]
    number: Expression | None = None
    text: Expression | None = None
    flag: Expression | None = None
    present: Expression | None = None
    nan: Expression | None = None

    @property
    def order(self) -> tuple[Expression, ...]:
        """What to sort by; empty where there is no order."""
        known = (self.number, self.text, self.flag)
        return tuple(expression for expression in known if expression is not None)


class Operands:
    """Makes operands, and remembers which tables they need beside that of the runs.

    Args:
        dialect: `sqlite` or `postgresql`.
        now: Seconds since the epoch.
        quiet: Keys of runs that are shown as something else than their stored status, by that.
    """

    def __init__(self, dialect: str, now: float, quiet: Mapping[str, Sequence[int]]) -> None:
        self._dialect = dialect
        self._now = now
        self._quiet = quiet
        self._summaries: dict[int, NamedFromClause] = {}
        self._evaluation: NamedFromClause | None = None

    def operand(self, field: Field) -> Operand:
        """The SQL of one field."""
        makers = {
            Origin.RUN: self._of_run,
            Origin.EVALUATION: self._of_evaluation,
            Origin.METRIC: self._of_metric,
            Origin.CONFIG: self._of_config,
        }
        return makers[field.origin](field)

    @property
    def metrics(self) -> int:
        """How many metrics are joined so far."""
        return len(self._summaries)

    def joined(self) -> FromClause:
        """The runs with every table that the operands made so far need."""
        source: FromClause = RUN
        if self._evaluation is not None:
            source = source.outerjoin(self._evaluation, self._evaluation.c.key == _last_key())
        for metric, summary in self._summaries.items():
            same = and_(summary.c.run == RUN.c.key, summary.c.name == metric)
            source = source.outerjoin(summary, same)
        return source

    def has_tag(self, tag: str) -> Expression:
        """Whether a run has exactly this tag."""
        return self._any_tag(lambda value: value == literal(tag))

    def tag_contains(self, part: str) -> Expression:
        """Whether a tag of a run contains this text."""
        return self._any_tag(lambda value: contains(value, part))

    def _any_tag(self, fits: Callable[[Expression], Expression]) -> Expression:
        if self._dialect == "postgresql":
            rows = func.json_array_elements_text(self._json(RUN.c.tags))
        else:
            rows = func.json_each(RUN.c.tags)
        each = rows.table_valued("value", name="tag")
        return exists(select(literal(1)).select_from(each).where(fits(each.c.value)))

    def _of_run(self, field: Field) -> Operand:
        special: dict[str, Callable[[], Expression]] = {
            "run": lambda: RUN.c.id,
            "status": self._status,
            "parent": _parent,
            "step": self._step,
            "age": lambda: literal(self._now, Double()) - RUN.c.created,
            "took": self._took,
        }
        make = special.get(field.name)
        value = RUN.c[field.name] if make is None else make()
        if field.type is FieldType.TAGS:
            return Operand(field, (value,), lambda row: json.loads(row[0]), present=value != "[]")
        return _simple(field, value)

    def _of_evaluation(self, field: Field) -> Operand:
        last = self._last_evaluation()
        if field.path:
            return _simple(field, self._json(last.c.accuracies)[field.path].as_float())
        if field.name == "tokens":
            return _simple(field, self._json(last.c.lengths)[("response", "mean")].as_float())
        if field.name in _SHARES:
            part, whole = (last.c[name] for name in _SHARES[field.name])
            return _simple(field, cast(part, Double()) / func.nullif(whole, 0))
        return _simple(field, last.c[_EVALUATION_COLUMNS.get(field.name, field.name)])

    def _of_metric(self, field: Field) -> Operand:
        assert field.metric is not None
        summary = self._summaries.get(field.metric)
        if summary is None:
            summary = METRIC_SUMMARY.alias(f"metric_{len(self._summaries)}")
            self._summaries[field.metric] = summary
        if field.statistic is not Statistic.LAST:
            names = {Statistic.MIN: "lowest", Statistic.MAX: "highest", Statistic.STEP: "last_step"}
            return _simple(field, summary.c[names[field.statistic]])
        kept, special = summary.c.last, summary.c.last_nonfinite
        number = case(
            (special == "inf", literal(math.inf, Double())),
            (special == "-inf", literal(-math.inf, Double())),
            else_=kept,
        )
        return Operand(
            field,
            (kept, special),
            lambda row: None if row[0] is None and row[1] is None else join_value(row[0], row[1]),
            number=number,
            present=summary.c.last_step.is_not(None),
            nan=func.coalesce(special == "nan", false()),
        )

    def _of_config(self, field: Field) -> Operand:
        if field.path == tuple(TODAY.split(".")):
            return self._with_older_name(field)
        value: Any = self._json(RUN.c.config)[field.path]
        kind = self._json_kind(field.path)
        kinds = _JSON_KINDS[self._dialect]
        # PostgreSQL fails on a cast of what is no number, SQLite calls every text larger than one
        return Operand(
            field,
            (value,),
            lambda row: row[0],
            number=case((kind.in_(kinds["number"]), value.as_float())),
            text=self._by_code_point(case((kind.in_(kinds["text"]), value.as_string()))),
            flag=case((kind.in_(kinds["flag"]), value.as_boolean())),
            present=func.coalesce(kind != "null", false()),
        )

    def _with_older_name(self, field: Field) -> Operand:
        """A setting that older runs have under another name, with other values."""
        now, before = (
            self._json(RUN.c.config)[tuple(name.split("."))].as_string() for name in (TODAY, OLDER)
        )
        meant = case(*((before == older, literal(now)) for older, now in MEANT.items()))
        text = func.coalesce(now, meant)
        return Operand(
            field,
            (text,),
            lambda row: row[0],
            number=cast(null(), Double()),
            text=self._by_code_point(text),
            flag=cast(null(), Boolean()),
            present=text.is_not(None),
        )

    def _by_code_point(self, text: Expression) -> Expression:
        """Text that sorts as columns do; SQLite has no other order."""
        return text.collate("C") if self._dialect == "postgresql" else text

    def _json(self, column: Expression) -> Any:
        if self._dialect == "postgresql":
            # it gives no text that holds a NUL; elsewhere in the server such text is held so too
            return cast(func.replace(column, "\\u0000", f"\\u{ord(ESCAPE):04x}0"), JSON)
        # a cast to JSON is a cast to a number for SQLite
        return type_coerce(column, JSON)

    def _json_kind(self, path: tuple[str, ...]) -> Expression:
        if self._dialect == "postgresql":
            return func.json_typeof(func.json_extract_path(self._json(RUN.c.config), *path))
        keys = "".join(f'."{key}"' for key in path)
        return func.json_type(RUN.c.config, f"${keys}")

    def _last_evaluation(self) -> NamedFromClause:
        if self._evaluation is None:
            self._evaluation = EVALUATION.alias("last_evaluation")
        return self._evaluation

    def _status(self) -> Expression:
        shown = [(RUN.c.key.in_(list(keys)), literal(s)) for s, keys in self._quiet.items() if keys]
        return case(*shown, else_=RUN.c.status) if shown else RUN.c.status

    def _step(self) -> Expression:
        last = select(func.max(METRIC_SUMMARY.c.last_step)).where(METRIC_SUMMARY.c.run == RUN.c.key)
        return func.coalesce(last.scalar_subquery(), self._last_evaluation().c.step)

    def _took(self) -> Expression:
        quiet = or_(false(), *(RUN.c.key.in_(list(keys)) for keys in self._quiet.values() if keys))
        last_sign = func.coalesce(RUN.c.heartbeat, RUN.c.started)
        end = func.coalesce(
            RUN.c.ended, case((quiet, last_sign), else_=literal(self._now, Double()))
        )
        seconds = end - RUN.c.started
        return case((seconds < 0, literal(0.0, Double())), else_=seconds)


def contains(value: Expression, part: str) -> Expression:
    """Whether a text contains another; letters of the alphabet fit in either case."""
    return value.icontains(part, autoescape=True)


def _simple(field: Field, value: Expression) -> Operand:
    if field.type is FieldType.TEXT:
        return Operand(field, (value,), lambda row: row[0], text=value)
    if field.type is FieldType.FLAG:
        return Operand(field, (value,), lambda row: bool(row[0]), flag=value)
    return Operand(field, (value,), lambda row: row[0], number=value)


def _parent() -> Expression:
    parent = RUN.alias("parent")
    found: Select = select(parent.c.id).where(parent.c.uuid == RUN.c.parent_uuid)
    return found.scalar_subquery()


def _last_key() -> Expression:
    """Key of a run's last evaluation that no rollback or resume took back."""
    newest, later = EVALUATION.alias("newest"), SEGMENT.alias("later")
    superseded = exists(
        select(literal(1))
        .select_from(later)
        .where(
            later.c.run == newest.c.run,
            later.c.number > newest.c.segment,
            later.c.start_step < newest.c.step,
        )
    )
    columns = (newest.c.step, newest.c.segment, newest.c.key)
    return (
        select(newest.c.key)
        .where(newest.c.run == RUN.c.key, not_(superseded))
        .order_by(*(column.desc() for column in columns))
        .limit(1)
        .correlate(RUN)
        .scalar_subquery()
    )
