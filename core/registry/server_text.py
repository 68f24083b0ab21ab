"""Text with NUL characters on PostgreSQL, which takes every character but that one.

A NUL is written as two characters, a private one and `0`, and read back as it was; the private
character itself becomes two as well. Connections do it by themselves, for values and for what
they are compared with, so that both kinds of database hold the same.
"""

import re
from typing import Any

from psycopg.types.string import StrDumper, StrDumperUnknown, TextLoader

from core.registry.server import ESCAPE

_BACK = {"0": "\0", "1": ESCAPE}
_PAIR = re.compile(f"{ESCAPE}([01])")


def keep_every_text(connection: Any) -> None:
    """Let a psycopg connection write and read text with NUL characters."""
    connection.adapters.register_dumper(str, _Dumper)
    connection.adapters.register_dumper(str, _DumperUnknown)
    for name in ("text", "varchar"):
        connection.adapters.register_loader(name, _Loader)


def escaped(text: str) -> str:
    """Text as PostgreSQL holds it."""
    if "\0" not in text and ESCAPE not in text:
        return text
    return text.replace(ESCAPE, f"{ESCAPE}1").replace("\0", f"{ESCAPE}0")


def unescaped(text: str) -> str:
    """The inverse of `escaped`."""
    return _PAIR.sub(lambda found: _BACK[found[1]], text) if ESCAPE in text else text


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
