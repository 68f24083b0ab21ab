"""The rows of two registries, compared by what they say.

Keys that a database makes up stand for the same thing in one file only. Here each is replaced by
what identifies the row that it points to, so that registries that were filled in another order
compare equal.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import Column, Table

from core.registry.database import Database
from core.registry.schema import SQLModel
from core.registry.text_reading import reader_of_file
from core.registry.texts import TextReader

IDENTITY: dict[str, tuple[str, ...]] = {
    "run": ("uuid",),
    "segment": ("run", "number"),
    "metric_name": ("name",),
    "metric": ("run", "name", "segment", "step"),
    "metric_summary": ("run", "name"),
    "problem": ("data_hash", "id"),
    "protocol": ("hash",),
    "evaluation": ("uuid",),
    "rollout_batch": ("uuid",),
    "answer": ("evaluation", "batch", "problem", "sample"),
    "verdict_set": ("text",),
    "verdict": ("verdict_set", "grader", "version"),
    "text_dictionary": ("id",),
    "probe": ("evaluation", "kind", "cap"),
    "probed_response": ("probe", "response"),
    "event": ("uuid",),
    "artifact": ("run", "path"),
    "plan": ("name", "hash"),
}
"""Which columns say what a row is about."""

SHARED = ("metric_name", "problem", "protocol", "verdict_set", "text_dictionary")
"""Tables whose rows belong to nobody, and stay when the last run that used them is deleted, or say
only how something is stored."""

_SURROGATE = "key"
_HOW_TEXTS_ARE_STORED = "text_dictionary"
# combinations stay when the last response that had them goes
_USED = {
    "verdict_set": "t.key IN (SELECT verdict_set FROM answer)",
    "verdict": "t.verdict_set IN (SELECT verdict_set FROM answer)",
}
# the same text may be compressed in other ways
_COMPRESSED = ("answer", "probed_response")
# how far a merge got, and when a live run was last heard of: bookkeeping of one file
_BOOKKEEPING = {("run", "journal_bytes")}
_ONLY_AT_THE_END = {("run", "heartbeat"): "status NOT IN ('queued', 'running')"}


def tables() -> list[Table]:
    """Every table, owners before what they own."""
    return list(SQLModel.metadata.sorted_tables)


def table_names() -> list[str]:
    """Their names."""
    return [table.name for table in tables()]


def rows_of(connection: sqlite3.Connection, name: str) -> Iterator[tuple[object, ...]]:
    """Every row of a table without made-up keys, in an order that depends on nothing else.

    Texts are given as they read; what they were compressed with is no content, nor is a combination
    of verdicts that no response has.
    """
    if name == _HOW_TEXTS_ARE_STORED:
        return
    columns = _content(_table(name), "main")
    order = ", ".join(map(str, range(1, len(columns) + 1)))
    used = _USED.get(name, "TRUE")
    selected = _select(name, "main", columns)
    rows = connection.execute(f"{selected} WHERE {used} ORDER BY {order}")
    yield from _as_read(name, rows, reader_of_file(connection))


def content_of(database: Database, name: str) -> list[tuple[object, ...]]:
    """Every row as it is stored, without made-up keys, whichever kind of database holds it."""
    columns = _content(_table(name), "")
    order = ", ".join(f"{place} NULLS FIRST" for place, _ in enumerate(columns, start=1))
    return database.read(f"{_select(name, '', columns)} ORDER BY {order}")


def count_lacking(connection: sqlite3.Connection, name: str, old: str, new: str) -> int:
    """Rows of a table about something that the same table of another database does not know.

    Of `verdict`, which responses share, the grades of single responses are counted.

    Args:
        connection: With both databases attached.
        name: The table.
        old: Name under which the one is attached.
        new: Name under which the other is.
    """
    queries = [
        _grades(schema)
        if name == "verdict"
        else _select(name, schema, _expressions(_table(name), IDENTITY[name], schema))
        for schema in (old, new)
    ]
    sql = f"SELECT COUNT(*) FROM ({queries[0]} EXCEPT {queries[1]})"
    return int(connection.execute(sql).fetchone()[0])


def count_different_labels(connection: sqlite3.Connection, old: str, new: str) -> int:
    """Runs that both know and that a person has labelled otherwise in the one."""
    labels = ('"name"', '"group"', "tags", "note", "archived")
    differ = " OR ".join(f"o.{label} IS NOT n.{label}" for label in labels)
    sql = f"SELECT COUNT(*) FROM {old}.run o JOIN {new}.run n ON n.uuid = o.uuid WHERE {differ}"
    return int(connection.execute(sql).fetchone()[0])


def _grades(schema: str) -> str:
    """Which grades there are, response by response."""
    response = _expressions(_table("answer"), IDENTITY["answer"], schema)
    columns = ", ".join([*response, "g.grader", "g.version"])
    joined = f"{schema}.verdict g ON g.verdict_set = t.verdict_set"
    return f"SELECT {columns} FROM {schema}.answer t JOIN {joined}"


def _as_read(
    name: str, rows: Iterable[tuple[object, ...]], texts: TextReader
) -> Iterator[tuple[object, ...]]:
    """Rows of a table with texts in the place of what they are compressed to."""
    place = _place_of_text(name)
    for row in rows:
        stored = None if place is None else row[place]
        if place is None or not isinstance(stored, bytes):
            yield row
        else:
            yield (*row[:place], texts.text(stored), *row[place + 1 :])


def _place_of_text(name: str) -> int | None:
    """Where the compressed text stands among the columns of a row's content."""
    if name not in _COMPRESSED:
        return None
    table = _table(name)
    before = [column.name for column in table.columns]
    del before[before.index("text") :]
    kept = [column for column in before if column != _SURROGATE]
    return len(_expressions(table, kept, "main"))


def _table(name: str) -> Table:
    return SQLModel.metadata.tables[name]


def _select(name: str, schema: str, columns: Sequence[str]) -> str:
    return f"SELECT {', '.join(columns)} FROM {_place(name, schema)} AS t"


def _place(name: str, schema: str) -> str:
    return f'{schema}."{name}"' if schema else f'"{name}"'


def _content(table: Table, schema: str) -> list[str]:
    names = [
        column.name
        for column in table.columns
        if column.name != _SURROGATE and (table.name, column.name) not in _BOOKKEEPING
    ]
    return _expressions(table, names, schema)


def _expressions(table: Table, names: Sequence[str], schema: str) -> list[str]:
    found: list[str] = []
    for name in names:
        expressions = _resolved(table.columns[name], f't."{name}"', schema)
        condition = _ONLY_AT_THE_END.get((table.name, name))
        if condition is not None:
            expressions = [f"CASE WHEN {condition} THEN {e} END" for e in expressions]
        found += expressions
    return found


def _resolved(column: Column[object], reference: str, schema: str) -> list[str]:
    """SQL for a value, or for what identifies the row that it points to."""
    target = next((key.column.table for key in column.foreign_keys), None)
    if target is None:
        return [reference]
    found: list[str] = []
    for name in IDENTITY[target.name]:
        source = f'{_place(target.name, schema)} WHERE "{_SURROGATE}" = {reference}'
        value = f'(SELECT "{name}" FROM {source})'
        found += _resolved(target.columns[name], value, schema)
    return found
