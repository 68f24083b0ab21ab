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
_FIND_IN_FILE = "SELECT content FROM main.text_dictionary WHERE id = ?"
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


def reader_of_file(connection: sqlite3.Connection) -> TextReader:
    """What reads the texts of the SQLite registry that a connection was opened on."""

    def find(identity: int) -> Dictionary | None:
        row = connection.execute(_FIND_IN_FILE, (identity,)).fetchone()
        return Dictionary(identity, row[0]) if row else None

    return TextReader(find)
