"""docs/cli.md: commands, options, variables, exit codes and settings, from the program."""

from collections.abc import Iterator
from typing import Any

from docs.pages.markdown import NOTE, table
from docs.pages.names import default_of, fields_of


def cli_reference() -> str:
    """All commands with their arguments, options and examples."""
    from typer.main import get_command

    from a5ctl.app import app

    parts = [
        f"# Commands\n\n{NOTE}",
        "Every command also takes `--help`. Where an environment variable is named, it gives the "
        "value when the option is absent. Settings of a run that have no option of their own are "
        "reached with `--set`; their names stand at the end.",
        _exit_codes(),
        _variables(get_command(app)),
        *_commands(get_command(app), "a5ctl"),
        _settings(),
    ]
    return "\n\n".join(parts) + "\n"


def _exit_codes() -> str:
    from a5ctl.exit_codes import ExitCode

    rows = [(f"{int(code)}", code.meaning) for code in ExitCode]
    return f"## Exit codes\n\n{table(('code', 'meaning'), rows)}"


def _variables(program: Any) -> str:
    """Every environment variable that is read, with what it stands for."""
    from a5ctl.defaults import VARIABLES

    found = {name: f"default of the setting `{key}`" for name, key in VARIABLES.items()}
    for parameter in _parameters(program):
        if parameter.envvar and parameter.envvar not in found:
            option = max(parameter.opts, key=len)
            found[parameter.envvar] = f"`{option}`: {parameter.help}"
    found["NO_COLOR"] = "no colours, whatever its value; so does a pipe"
    rows = [(f"`{name}`", meaning) for name, meaning in sorted(found.items())]
    return f"## Environment variables\n\n{_ORDER}\n\n{table(('variable', 'meaning'), rows)}"


_ORDER = """\
Settings of a run come from, the strongest first: `--set`, options, the `--config` file (or what \
`--init`, `--run` and `--protocol` take over from a run), variables, `a5ctl.toml` in the workspace \
(`a5ctl init` writes one), built-in defaults. Engine, device and threads belong to the machine: \
their variables, and what `a5ctl.toml` says of them, win over what an earlier run had. The record \
of a run says which of its settings came from `a5ctl.toml` or a variable (`a5ctl show RUN`, \
provenance, `defaults`)."""


def _parameters(command: Any) -> Iterator[Any]:
    yield from command.params
    for child in getattr(command, "commands", {}).values():
        yield from _parameters(child)


def _commands(command: Any, name: str) -> Iterator[str]:
    for child_name, child in getattr(command, "commands", {}).items():
        if getattr(child, "commands", None):
            yield from _commands(child, f"{name} {child_name}")
        else:
            yield _command(child, f"{name} {child_name}")


def _command(command: Any, name: str) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    usage = " ".join(
        [name, *(_placeholder(p) for p in arguments), *(["[OPTIONS]"] * bool(options))]
    )
    parts = [f"## {name}", f"```\n{usage}\n```", _prose(command.help or "")]
    if arguments:
        parts.append(table(("argument", "meaning"), [_argument(p) for p in arguments]))
    if options:
        parts.append(table(("option", "meaning", "default"), [_option(p) for p in options]))
    return "\n\n".join(parts)


def _prose(text: str) -> str:
    """The help text; its examples become one code block."""
    prose, _, examples = text.partition("Examples:")
    lines = [line.strip() for line in examples.splitlines() if line.strip()]
    block = ["\n".join(["For example:\n", "```", *lines, "```"])] if lines else []
    return "\n\n".join([prose.strip(), *block])


def _placeholder(parameter: Any) -> str:
    name = parameter.metavar or parameter.name.upper()
    name += "..." if parameter.nargs == -1 else ""
    return name if parameter.required else f"[{name}]"


def _argument(parameter: Any) -> tuple[str, ...]:
    return f"`{_placeholder(parameter)}`", parameter.help or ""


def _option(parameter: Any) -> tuple[str, ...]:
    names = ", ".join(sorted(parameter.opts, key=len, reverse=True))
    value = "" if parameter.is_flag else f" {parameter.metavar or 'VALUE'}"
    variable = f" (`{parameter.envvar}`)" if parameter.envvar else ""
    told = parameter.show_default if isinstance(parameter.show_default, str) else None
    silent = parameter.is_flag or parameter.default is None
    default = told or ("" if silent else parameter.default)
    shown = "required" if parameter.required else f"`{default}`" if default != "" else ""
    return f"`{names}{value}`", (parameter.help or "") + variable, shown


def _settings() -> str:
    """Every leaf of the configuration with its default and its docstring."""
    from core.config.schema import RunConfig

    rows = list(_leaves(RunConfig, ""))
    shown = table(("setting", "meaning", "default"), rows)
    return f"## Settings\n\nFor `--set` and TOML files.\n\n{shown}"


def _leaves(section: Any, prefix: str) -> Iterator[tuple[str, ...]]:
    for name, field in fields_of(section, prefix):
        shown = f"`{default}`" if (default := default_of(field)) else ""
        yield f"`{name}`", " ".join((field.description or "").split()), shown
