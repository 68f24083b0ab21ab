"""Text with NUL characters on PostgreSQL, which takes every character but that one.

A NUL is written escaped and read back as it was. Connections do it by themselves, for values and
for what they are compared with, so that both kinds of database hold the same.
"""

from typing import Any

from psycopg.types.string import StrDumper, StrDumperUnknown, TextLoader

from core.registry.nul_text import escaped, unescaped


def keep_every_text(connection: Any) -> None:
    """Let a psycopg connection write and read text with NUL characters."""
    connection.adapters.register_dumper(str, _Dumper)
    connection.adapters.register_dumper(str, _DumperUnknown)
    for name in ("text", "varchar"):
        connection.adapters.register_loader(name, _Loader)


class _Dumper(StrDumper):
    def dump(self, obj: str) -> Any:
        return super().dump(escaped(obj))


class _DumperUnknown(StrDumperUnknown):
    def dump(self, obj: str) -> Any:
        return super().dump(escaped(obj))


class _Loader(TextLoader):
    def load(self, data: Any) -> Any:
        found = super().load(data)
        return unescaped(found) if isinstance(found, str) else found
