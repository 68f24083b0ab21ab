"""Modules of the program that hold names, so that help and the Tab key import little."""

import json
from collections.abc import Iterator
from enum import Enum
from typing import Any, Literal, get_args, get_origin


def command_summaries() -> str:
    """What each command does, in a line, for the help of the whole program."""
    from typer.main import get_command

    from a5ctl.app import app

    commands = get_command(app).commands  # type: ignore[attr-defined]
    firsts = {
        name: " ".join(command.help.partition("\n\n")[0].split())
        for name, command in commands.items()
        if not hasattr(command, "commands")
    }
    lines = [f"    {json.dumps(name)}: {json.dumps(text)}," for name, text in firsts.items()]
    return "\n".join([_SUMMARIES_HEAD, *lines, "}", ""])


_SUMMARIES_HEAD = '''"""What every command does, so that the program's help imports none of them.

Written by docs/generate.py; edit the commands, not this file.
"""

# fmt: off
# ruff: noqa: E501
SUMMARIES = {'''


def setting_names() -> str:
    """A module with all settings, their defaults, and the values of those that have few.

    Importing the settings themselves takes longer than the completion of a line may.
    """
    from core.config.schema import RunConfig

    lines = [
        " ".join(
            [f"{name}={default}" if (default := default_of(field)) else name, *_choices(field)]
        )
        for name, field in fields_of(RunConfig)
    ]
    return f'"""{_NAMES}"""\n\nSETTINGS = """\\\n' + "\n".join(lines) + '\n"""\n'


_NAMES = """\
Settings with their defaults, and the values of those that have few: for help and the Tab key.

Written by docs/generate.py; edit core/config, not this file.
"""


def fields_of(section: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting by its dotted name."""
    for name, field in section.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            yield from fields_of(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def default_of(field: Any) -> str:
    """A setting's default as it is typed; empty where it is open or empty."""
    default = field.default
    if default in (None, (), ""):
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, dict):
        return ",".join(f"{name}={value:g}" for name, value in default.items())
    return str(default)


def _choices(field: Any) -> list[str]:
    """What a setting may be, where it is one of few."""
    kinds = [field.annotation, *get_args(field.annotation)]
    found: list[str] = []
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, Enum):
            found += [str(member) for member in kind]
        elif kind is bool:
            found += ["true", "false"]
        elif get_origin(kind) is Literal:
            found += [str(value) for value in get_args(kind)]
    return found
