"""How help is set: prose flows at any width, examples stand together, switches ask for no value."""

from typing import Any

from typer.core import TyperCommand, TyperGroup

_EXAMPLES = "Examples:"


def flowing(text: str) -> str:
    """A docstring without the line ends of its source; examples keep theirs, one line each."""
    prose, _, examples = text.partition(_EXAMPLES)
    paragraphs = [" ".join(part.split()) for part in prose.split("\n\n") if part.strip()]
    lines = [f"    {line.strip()}" for line in examples.splitlines() if line.strip()]
    if not lines:
        return "\n\n".join(paragraphs)
    # behind a lone summary, an empty line more keeps the help from taking the margin away
    gap = "\n\n\n" if len(paragraphs) == 1 else "\n\n"
    return "\n\n".join(paragraphs) + gap + "\n".join([_EXAMPLES, *lines])


class _Page:
    """What the help of commands and of groups has in common."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more | {"help": flowing(more.get("help") or "") or None})

    def get_params(self, ctx: Any) -> list[Any]:
        """Arguments in capitals, as the documentation writes them; switches without a type."""
        parameters: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for parameter in (one for one in parameters if one.metavar is None):
            if parameter.param_type_name == "argument":
                parameter.metavar = parameter.name.upper()
            elif parameter.is_flag:
                parameter.metavar = ""
        return parameters


class Command(_Page, TyperCommand):
    """A command of the program."""


class Group(_Page, TyperGroup):
    """The program, or commands under one name."""
