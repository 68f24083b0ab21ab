"""Stored texts as they were: readers for a registry, and for a connection to its file.

Importing this costs little; queries that read texts go through it.
"""

import sqlite3
import threading
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, ref

from core.registry.texts import Dictionary, TextReader

if TYPE_CHECKING:
    from core.registry.database import Database

_FIND = "SELECT content FROM text_dictionary WHERE id = :id"
_PER_THREAD = threading.local()


def text_reader(database: "Database") -> TextReader:
    """What reads the texts of a registry; dictionaries stay ready in it."""
    if not hasattr(_PER_THREAD, "readers"):
        _PER_THREAD.readers = WeakKeyDictionary()
    readers: WeakKeyDictionary[Database, TextReader] = _PER_THREAD.readers
    if database not in readers:
        here = ref(database)  # a reader must not keep the registry that it reads open

        def find(identity: int) -> Dictionary | None:
            found = here()
            rows = found.read(_FIND, {"id": identity}) if found is not None else []
            return Dictionary(identity, bytes(rows[0][0])) if rows else None

        readers[database] = TextReader(find)
    return readers[database]


def reader_of_file(connection: sqlite3.Connection, schema: str = "main") -> TextReader:
    """What reads the texts of an SQLite registry that a connection has open.

    Args:
        connection: The connection.
        schema: Name under which the file is attached.
    """

    def find(identity: int) -> Dictionary | None:
        sql = f"SELECT content FROM {schema}.text_dictionary WHERE id = ?"
        row = connection.execute(sql, (identity,)).fetchone()
        return Dictionary(identity, row[0]) if row else None

    return TextReader(find)
