"""`a5ctl init`: three questions, and a file with the defaults of this workspace."""

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from a5ctl.options import HomeOption, JsonOption

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from core.workspace import Workspace

_HEAD = """\
# Defaults of the runs of this workspace. Stronger are A5CTL_* variables, --config files, options
# and --set, in this order. Every setting of a run may stand here; docs/cli.md lists them.
"""


def init(
    model: Annotated[
        str | None, typer.Option(help="builtin, a folder with safetensors, or a hub id.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="builtin, a folder or file of problems (docs/data.md), gsm8k."),
    ] = None,
    engine: Annotated[
        str | None, typer.Option(help="auto (vLLM where it is installed), vllm or hf.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask nothing: builtin, builtin and auto.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an a5ctl.toml that is there.")
    ] = False,
    json_: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Write a5ctl.toml, the defaults of this workspace: which model, which data, which engine.

    On a terminal it asks for what is not given. Model and data are looked at before anything is
    written; what is on the hub is fetched by the first run.

    Examples:

        a5ctl init

        a5ctl init --yes

        a5ctl init --model Qwen/Qwen2.5-Math-1.5B --data path/to/gsm8k --engine vllm
    """
    from a5ctl.console import print_json
    from a5ctl.defaults import FILE_NAME
    from a5ctl.files import check_target
    from core.errors import UserError
    from core.workspace import open_workspace

    workspace = open_workspace(home, create=True)
    path = workspace.root / FILE_NAME
    check_target(path, force=force)
    asks = not yes and sys.stdin.isatty() and sys.stderr.isatty()
    if not asks and not yes and None in (model, data, engine):
        raise UserError(
            "there is no terminal to ask at; give --model, --data and --engine, or --yes for "
            "builtin, builtin and auto"
        )
    answers = {
        "model.source": _answer("Model", model, "builtin", _check_model, asks),
        "data.source": _answer("Data", data, "builtin", _check_data, asks),
        "evaluation.engine": _answer("Engine", engine, "auto", _check_engine, asks),
    }
    settings = {key: _placed(workspace, key, value) for key, (value, _) in answers.items()}
    _write(path, settings, force=force)
    if json_:
        found = {key: note for key, (_, note) in answers.items()}
        print_json({"file": str(path), "settings": settings, "found": found, "next": _NEXT[0][0]})
    else:
        _show(path, settings, {key: note for key, (_, note) in answers.items()})


_NEXT = (
    ("a5ctl run sft --size 256", "train on 256 problems, evaluate, record"),
    ("a5ctl doctor", "what this machine can do, and what would fail"),
)
_HINTS = {
    "Model": "builtin, a folder with safetensors, or a hub id",
    "Data": "builtin, gsm8k, a folder or a file of problems",
    "Engine": "auto, vllm or hf",
}


def _answer(
    question: str,
    given: str | None,
    usual: str,
    check: "Callable[[str], str]",
    asks: bool,
) -> tuple[str, str]:
    """What was given, or what a person says; asked again until it can be used."""
    from a5ctl.console import err, plain
    from core.errors import UserError

    if given is not None or not asks:
        value = usual if given is None else given
        return value, check(value)
    while True:
        prompt = f"{question} ({_HINTS[question]})"
        value = str(typer.prompt(prompt, default=usual, err=True)).strip()
        try:
            return value, check(value)
        except UserError as error:
            err().print(plain(str(error), "yellow"))


def _check_model(source: str) -> str:
    from core.models import is_hub_id, resolve_model

    if is_hub_id(source):
        return "taken as a hub id; the first run fetches it"
    return "in the package" if resolve_model(source).name == "builtin" else "found"


def _check_data(source: str) -> str:
    from core.data.load import is_on_hub, load_data

    if is_on_hub(source):
        there = importlib.util.find_spec("datasets") is not None
        return f"taken as a hub id; the first run {'fetches it' if there else 'needs a5ctl[hub]'}"
    splits = load_data(source).splits
    return ", ".join(f"{len(problems):,} {name}" for name, problems in splits.items())


def _check_engine(name: str) -> str:
    from core.engines.select import choose_engine
    from core.errors import UserError

    if name not in ("auto", "vllm", "hf"):
        raise UserError(f"engine {name!r} is unknown; choose auto, vllm or hf")
    choice = choose_engine(name)
    return f"{choice.name}: {choice.reason}"


def _placed(workspace: "Workspace", key: str, value: str) -> str:
    """A folder or file as one finds it from the workspace: relative inside it, else absolute."""
    place = Path(value).expanduser()
    if key == "evaluation.engine" or value in ("builtin", "gsm8k") or not place.exists():
        return value
    absolute = place.absolute()
    inside = absolute.is_relative_to(workspace.root)
    return str(absolute.relative_to(workspace.root) if inside else absolute)


def _write(path: Path, settings: "Mapping[str, str]", *, force: bool) -> None:
    import tomli_w

    from a5ctl.files import whole_file

    tree: dict[str, dict[str, str]] = {}
    for key, value in settings.items():
        section, _, name = key.partition(".")
        tree.setdefault(section, {})[name] = value
    with whole_file(path, force=force) as file:
        file.write(f"{_HEAD}\n{tomli_w.dumps(tree)}".encode())


def _show(path: Path, settings: "Mapping[str, str]", notes: "Mapping[str, str]") -> None:
    from rich.table import Table

    from a5ctl.console import out, plain

    console = out()
    console.print(plain(f"{path} holds the defaults of this workspace"), soft_wrap=True)
    table = Table.grid(padding=(0, 2))
    for key, value in settings.items():
        table.add_row(plain(f"  {key}", "dim"), plain(value, "bold"), plain(notes[key], "dim"))
    console.print(table)
    console.print("Next:")
    steps = Table.grid(padding=(0, 2))
    for command, meaning in _NEXT:
        steps.add_row(plain(f"  {command}", "cyan"), plain(meaning, "dim"))
    console.print(steps)
