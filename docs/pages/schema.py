"""docs/schema.md: tables and views of the registry."""

import itertools
from typing import Any

from docs.pages.markdown import NOTE, table


def schema_reference() -> str:
    """All tables with their columns, keys and indexes."""
    from sqlmodel import SQLModel

    from core.registry import schema
    from core.registry.views import VIEWS

    models = sorted(
        (m for m in vars(schema).values() if _is_table(m, SQLModel)),
        key=lambda m: str(m.__tablename__),
    )
    introduction = (
        "Times are seconds since the epoch (UTC). Columns that hold JSON are text. A row goes when "
        "the row it belongs to goes."
    )
    parts = [introduction, *map(_table, models), *itertools.starmap(_view, VIEWS.items())]
    return "\n\n".join([f"# Registry\n\n{NOTE}", *parts]) + "\n"


def _is_table(value: Any, base: type) -> bool:
    return isinstance(value, type) and issubclass(value, base) and hasattr(value, "__table__")


def _table(model: Any) -> str:
    stored = model.__table__
    rows = [(f"`{c.name}`", str(c.type), _column_notes(c)) for c in stored.columns]
    parts = [f"## {stored.name}", " ".join(model.__doc__.split())]
    parts.append(table(("column", "type", "notes"), rows))
    indexes = sorted(stored.indexes, key=lambda index: str(index.name))
    if indexes:
        parts.append("Indexes: " + "; ".join(map(_index, indexes)) + ".")
    return "\n\n".join(parts)


def _view(name: str, view: Any) -> str:
    columns = ", ".join(f"`{column}`" for column in view.columns)
    return f"## {name} (view)\n\n{view.meaning}\n\nColumns: {columns}."


def _column_notes(column: Any) -> str:
    notes = ["primary key"] if column.primary_key else []
    notes += ["unique"] if column.unique else []
    notes += [f"refers to `{key.target_fullname}`" for key in sorted(column.foreign_keys, key=str)]
    notes += ["may be empty"] if column.nullable else []
    return ", ".join(notes)


def _index(index: Any) -> str:
    columns = ", ".join(f"`{column.name}`" for column in index.columns)
    return f"{columns} (unique)" if index.unique else columns
