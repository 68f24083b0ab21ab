"""Fields as SQL: which expression gives a field's value, on SQLite and on PostgreSQL."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.config.older import MEANT, OLDER, TODAY
from core.registry.codec import join_value
from core.registry.nul_text import ESCAPE
from core.registry.query.fields import Field, FieldType, Origin, Statistic
from core.registry.run_queries import LAST_EVALUATION

Expression = str
"""SQL over the run `r` and what is joined to it; complete in itself, wherever it is put."""
_JSON_KINDS = {
    "sqlite": {"number": "'integer', 'real'", "text": "'text'", "flag": "'true', 'false'"},
    "postgresql": {"number": "'number'", "text": "'string'", "flag": "'boolean'"},
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
        self._quiet = {status: _keys(keys) for status, keys in quiet.items() if keys}
        self._summaries: dict[int, str] = {}
        self._evaluated = False
        self.values: dict[str, Any] = {}
        """Bound parameters by name, of all expressions made so far."""

    def bind(self, value: Any) -> Expression:
        """A value, which never is part of the SQL."""
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f":{name}"

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

    def joined(self) -> str:
        """The runs with every table that the operands made so far need, for FROM."""
        joins = ["run r"]
        if self._evaluated:
            joins.append(f"evaluation e ON e.key = {LAST_EVALUATION}")
        for metric, name in self._summaries.items():
            joins.append(f"metric_summary {name} ON {name}.run = r.key AND {name}.name = {metric}")
        return " LEFT JOIN ".join(joins)

    def has_tag(self, tag: str) -> Expression:
        """Whether a run has exactly this tag."""
        return self._any_tag(f"tag.value = {self.bind(tag)}")

    def tag_contains(self, part: str) -> Expression:
        """Whether a tag of a run contains this text."""
        return self._any_tag(self.contains("tag.value", part))

    def contains(self, value: Expression, part: str) -> Expression:
        """Whether a text contains another; letters of the alphabet fit in either case."""
        for char in "/%_":
            part = part.replace(char, f"/{char}")
        pattern = self.bind(f"%{part}%")
        if self._dialect == "postgresql":
            return f"({value} ILIKE {pattern} ESCAPE '/')"
        return f"(lower({value}) LIKE lower({pattern}) ESCAPE '/')"

    def _any_tag(self, fits: Expression) -> Expression:
        rows = "json_each(r.tags) AS tag"
        if self._dialect == "postgresql":
            rows = f"json_array_elements_text({self._json('r.tags')}) AS tag(value)"
        return f"EXISTS (SELECT 1 FROM {rows} WHERE {fits})"

    def _of_run(self, field: Field) -> Operand:
        special: dict[str, Callable[[], Expression]] = {
            "run": lambda: "r.id",
            "status": self._status,
            "parent": lambda: "(SELECT p.id FROM run p WHERE p.uuid = r.parent_uuid)",
            "step": self._step,
            "age": lambda: f"({self.bind(self._now)} - r.created)",
            "took": self._took,
        }
        make = special.get(field.name)
        value = f'r."{field.name}"' if make is None else make()
        if field.type is FieldType.TAGS:
            present = f"({value} <> '[]')"
            return Operand(field, (value,), lambda row: json.loads(row[0]), present=present)
        return _simple(field, value)

    def _of_evaluation(self, field: Field) -> Operand:
        self._evaluated = True
        if field.path:
            return _simple(field, self._number_in("e.accuracies", field.path))
        if field.name == "tokens":
            return _simple(field, self._number_in("e.lengths", ("response", "mean")))
        if field.name in _SHARES:
            part, whole = _SHARES[field.name]
            return _simple(field, f"(CAST(e.{part} AS DOUBLE PRECISION) / NULLIF(e.{whole}, 0))")
        return _simple(field, f"e.{_EVALUATION_COLUMNS.get(field.name, field.name)}")

    def _of_metric(self, field: Field) -> Operand:
        assert field.metric is not None
        name = self._summaries.setdefault(field.metric, f"metric_{len(self._summaries)}")
        if field.statistic is not Statistic.LAST:
            names = {Statistic.MIN: "lowest", Statistic.MAX: "highest", Statistic.STEP: "last_step"}
            return _simple(field, f"{name}.{names[field.statistic]}")
        kept, special = f"{name}.last", f"{name}.last_nonfinite"
        most, least = self.bind(math.inf), self.bind(-math.inf)
        return Operand(
            field,
            (kept, special),
            lambda row: None if row[0] is None and row[1] is None else join_value(row[0], row[1]),
            number=f"(CASE {special} WHEN 'inf' THEN {most} WHEN '-inf' THEN {least} "
            f"ELSE {kept} END)",
            present=f"({name}.last_step IS NOT NULL)",
            nan=f"COALESCE({special} = 'nan', false)",
        )

    def _of_config(self, field: Field) -> Operand:
        if field.path == tuple(TODAY.split(".")):
            return self._with_older_name(field)
        column, path = "r.config", field.path
        kind = self._json_kind(column, path)

        # PostgreSQL fails on a cast of what is no number, SQLite calls every text larger than one
        def only(name: str, value: Expression) -> Expression:
            among = _JSON_KINDS[self._dialect][name]
            return f"(CASE WHEN {kind} IN ({among}) THEN {value} END)"

        return Operand(
            field,
            (self._json_part(column, path),),
            lambda row: None if row[0] is None else json.loads(row[0]),
            number=only("number", self._number_in(column, path)),
            text=self._by_code_point(only("text", self._text_in(column, path))),
            flag=only("flag", self._flag_in(column, path)),
            present=f"COALESCE({kind} <> 'null', false)",
        )

    def _with_older_name(self, field: Field) -> Operand:
        """A setting that older runs have under another name, with other values."""
        now, before = (self._text_in("r.config", name.split(".")) for name in (TODAY, OLDER))
        cases = (f"WHEN {self.bind(was)} THEN {self.bind(is_)}" for was, is_ in MEANT.items())
        text = self._by_code_point(f"COALESCE({now}, CASE {before} {' '.join(cases)} END)")
        return Operand(
            field,
            (text,),
            lambda row: row[0],
            number="CAST(NULL AS DOUBLE PRECISION)",
            text=text,
            flag="CAST(NULL AS BOOLEAN)",
            present=f"({text} IS NOT NULL)",
        )

    def _by_code_point(self, text: Expression) -> Expression:
        """Text that sorts as columns do; SQLite has no other order."""
        return f'({text} COLLATE "C")' if self._dialect == "postgresql" else text

    def _number_in(self, column: Expression, path: Sequence[str]) -> Expression:
        return self._part(column, path, "DOUBLE PRECISION")

    def _text_in(self, column: Expression, path: Sequence[str]) -> Expression:
        return self._part(column, path, "TEXT")

    def _flag_in(self, column: Expression, path: Sequence[str]) -> Expression:
        return self._part(column, path, "BOOLEAN")

    def _part(self, column: Expression, path: Sequence[str], kind: str) -> Expression:
        """A part of a JSON text as SQL's own value; SQLite finds its kind by itself."""
        if self._dialect == "postgresql":
            return f"CAST({self._extracted('json_extract_path_text', column, path)} AS {kind})"
        return self._extracted("json_extract", column, path)

    def _json_part(self, column: Expression, path: Sequence[str]) -> Expression:
        """A part of a JSON text as JSON text."""
        if self._dialect == "postgresql":
            return f"CAST({self._extracted('json_extract_path', column, path)} AS TEXT)"
        return f"json_quote({self._extracted('json_extract', column, path)})"

    def _json_kind(self, column: Expression, path: Sequence[str]) -> Expression:
        if self._dialect == "postgresql":
            return f"json_typeof({self._extracted('json_extract_path', column, path)})"
        return self._extracted("json_type", column, path)

    def _extracted(self, function: str, column: Expression, path: Sequence[str]) -> Expression:
        if self._dialect == "postgresql":
            keys = ", ".join(self.bind(key) for key in path)
            return f"{function}({self._json(column)}, {keys})"
        keys = "".join(f'."{key}"' for key in path)
        return f"{function}({column}, {self.bind(f'${keys}')})"

    def _json(self, column: Expression) -> Expression:
        """JSON for PostgreSQL, which gives no text that holds a NUL.

        Elsewhere in the server such text is held as it is here.
        """
        nul, instead = self.bind("\\u0000"), self.bind(f"\\u{ord(ESCAPE):04x}0")
        return f"CAST(REPLACE({column}, {nul}, {instead}) AS JSON)"

    def _status(self) -> Expression:
        shown = "".join(
            f" WHEN r.key IN {keys} THEN {self.bind(status)}"
            for status, keys in self._quiet.items()
        )
        return f"(CASE{shown} ELSE r.status END)" if shown else "r.status"

    def _step(self) -> Expression:
        self._evaluated = True
        last = "SELECT MAX(m.last_step) FROM metric_summary m WHERE m.run = r.key"
        return f"COALESCE(({last}), e.step)"

    def _took(self) -> Expression:
        quiet = " OR ".join(f"r.key IN {keys}" for keys in self._quiet.values()) or "1 = 0"
        sign = f"CASE WHEN {quiet} THEN COALESCE(r.heartbeat, r.started)"
        last = f"{sign} ELSE {self.bind(self._now)} END"
        seconds = f"(COALESCE(r.ended, {last}) - r.started)"
        return f"(CASE WHEN {seconds} < 0 THEN 0.0 ELSE {seconds} END)"


def _keys(keys: Sequence[int]) -> str:
    return f"({', '.join(map(str, keys))})"


def _simple(field: Field, value: Expression) -> Operand:
    if field.type is FieldType.TEXT:
        return Operand(field, (value,), lambda row: row[0], text=value)
    if field.type is FieldType.FLAG:
        return Operand(field, (value,), lambda row: bool(row[0]), flag=value)
    return Operand(field, (value,), lambda row: row[0], number=value)
