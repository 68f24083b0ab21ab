"""`a5ctl fetch`: models and data of the hub as folders, for machines without a network."""

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from a5ctl.options import JsonOption, QuietOption

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


def fetch(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="MODEL", help="Ids of the model hub.")
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", help="gsm8k or a data set of the hub (hub extra); repeatable."),
    ] = None,
    to: Annotated[
        Path, typer.Option("--to", help="Each gets a folder of its own name in this one.")
    ] = Path(),
    quiet: QuietOption = False,
    json_: JsonOption = False,
) -> None:
    """Bring models and data into folders, to be used where there is no network.

    A model comes as safetensors, configuration and tokenizer, data as jsonl
    files. A folder appears when everything is in it; a model that was cut short
    goes on where it was. What is there already is left as it is.

    Examples:

        a5ctl fetch Qwen/Qwen2.5-Math-1.5B --data gsm8k --to /shared/hub

        HF_HUB_OFFLINE=1 a5ctl run sft --model /shared/hub/Qwen2.5-Math-1.5B
    """
    from core.errors import UserError

    if not models and not data:
        raise UserError("nothing is named; give models of the hub, --data, or both")
    to = to.expanduser()
    found = [_fetch("model", name, to, quiet, json_) for name in models or ()]
    found += [_fetch("data", name, to, quiet, json_) for name in data or ()]
    _show(found, quiet=quiet, as_json=json_)


def _fetch(kind: str, name: str, to: Path, quiet: bool, as_json: bool) -> dict[str, object]:
    """Fetch one of them unless it is there; returns what to say of it."""
    folder = to / _short(kind, name)
    new = not folder.exists()
    if new:
        with _bars(shown=not quiet and not as_json):
            _FETCHERS[kind](name, folder)
    _check(kind, folder)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return {"kind": kind, "name": name, "folder": str(folder), "bytes": size, "fetched": new}


@contextmanager
def _bars(*, shown: bool) -> "Iterator[None]":
    """The hub's own library knows best how far a download is; it shows that to a terminal."""
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    from a5ctl.console import is_interactive

    if are_progress_bars_disabled() or (shown and is_interactive()):
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def _short(kind: str, name: str) -> str:
    from core.data.hub import HUB_NAMES
    from core.errors import UserError
    from core.models import is_hub_name

    if not is_hub_name(name) and not (kind == "data" and name in HUB_NAMES):
        example = "Qwen/Qwen2.5-Math-1.5B" if kind == "model" else "gsm8k or openai/gsm8k"
        raise UserError(f"{kind} {name!r} is no id of the hub; give one such as {example}")
    return name.rsplit("/", 1)[-1]


def _fetch_model(name: str, folder: Path) -> None:
    from core.hub import fetch_model

    fetch_model(name, folder)


def _fetch_data(name: str, folder: Path) -> None:
    from core.data.hub import fetch_data

    fetch_data(name, folder)


_FETCHERS: "dict[str, Callable[[str, Path], None]]" = {"model": _fetch_model, "data": _fetch_data}


def _check(kind: str, folder: Path) -> None:
    """What a run would say of the folder, said here, where it can be fetched again."""
    from core.data.load import load_data
    from core.models import resolve_model

    if kind == "model":
        resolve_model(str(folder))
    else:
        load_data(str(folder))


def _show(found: "Sequence[dict[str, object]]", *, quiet: bool, as_json: bool) -> None:
    from a5ctl.console import out, plain, print_json
    from a5ctl.format import size

    if as_json:
        print_json(found)
        return
    console = out()
    for each in found:
        if quiet:
            console.print(plain(str(each["folder"])), soft_wrap=True)
            continue
        said = f"{size(int(str(each['bytes'])))}, {'fetched' if each['fetched'] else 'was there'}"
        console.print(plain(f"{each['folder']}  {said}"), soft_wrap=True)
    if quiet:
        return
    options = [f"--{each['kind']} {each['folder']}" for each in found]
    first = "next, also without a network: HF_HUB_OFFLINE=1 a5ctl run sft "
    console.print(plain(first + " ".join(options), "dim"), soft_wrap=True)
