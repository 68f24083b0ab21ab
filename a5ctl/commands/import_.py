"""`a5ctl import`: bring run folders and other tools' past into the registry."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from a5ctl.options import HomeOption, JsonOption, QuietOption, RegistryOption

if TYPE_CHECKING:
    from collections.abc import Iterator

    from a5ctl.progress import Report
    from core.interchange.discover import Found
    from core.interchange.foreign import Source
    from core.interchange.keep import KeepOptions
    from core.interchange.kept import Imported
    from core.registry.store import Registry
    from core.workspace import Workspace

_RESPONSES = "Responses"
_SHOWN_LEFT_OUT = 5


def import_(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH", help="Files or folders, of any kind below.")
    ],
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="KIND",
            help="run, wandb, tensorboard, mlflow, course or lm-eval; found out when not given.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run; its own else.")] = None,
    group: Annotated[str | None, typer.Option(help="Group of the runs; their own else.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="A label; repeatable.")] = None,
    checkpoints: Annotated[
        bool, typer.Option("--checkpoints", help="Copy those of our own run folders too.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be imported.")
    ] = False,
    grader: Annotated[
        str | None,
        typer.Option(
            help="Headline grader of responses: r1_zero where they have tags, question_only where "
            "they have boxes, lenient else.",
            rich_help_panel=_RESPONSES,
        ),
    ] = None,
    restore_stop: Annotated[
        bool,
        typer.Option(
            "--restore-stop",
            help="The tool cut the stop string </answer> off: put it back where an answer is left "
            "open and the length cap was not hit.",
            rich_help_panel=_RESPONSES,
        ),
    ] = False,
    prompt: Annotated[
        str | None,
        typer.Option(
            help="Template that the tool used, by name or path, where questions are bare.",
            rich_help_panel=_RESPONSES,
        ),
    ] = None,
    tokenizer: Annotated[
        str,
        typer.Option(
            help="Counts lengths: builtin, a tokenizer.json, or a folder with one.",
            rich_help_panel=_RESPONSES,
        ),
    ] = "builtin",
    quiet: QuietOption = False,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Bring runs from elsewhere into the registry: curves, settings, results and responses.

    Understood are run folders of a5ctl (also from other machines), W&B offline runs, TensorBoard
    logs, MLflow's SQLite store, folders of logs by step (sft_eval/{step}/test_log.json), and
    lm-evaluation-harness --log_samples. Importing again changes nothing, or adds what is new.
    Responses that come along are graded here, so that diagnose and compare work on them.

    Examples:

        a5ctl import runs/sft-256-k3f9

        a5ctl import wandb/ logs/tensorboard mlflow.db

        a5ctl import results/sft_eval --name sft-128 --group sizes
    """
    from a5ctl.console import err, out, print_json
    from a5ctl.options import open_workspace_and_registry, parse_grader
    from a5ctl.progress import Stop, progress
    from core.dump_evaluation import DumpSettings
    from core.interchange.discover import discover
    from core.interchange.keep import KeepOptions
    from core.interchange.limits import short_name
    from core.prompts.template import load_prompt

    wanted = _source(from_)
    options = KeepOptions(
        name=None if name is None else short_name(name),
        group=None if group is None else short_name(group),
        tags=tuple(short_name(label) for label in tag or ()),
        grader=parse_grader(grader),
        settings=DumpSettings(
            name="",
            template=None if prompt is None else load_prompt(prompt),
            tokenizer=tokenizer,
            restore_stop=restore_stop,
        ),
    )
    found = [item for path in paths for item in discover(path.expanduser(), wanted)]
    if dry_run:
        _show_found(found, as_json=json_)
        return
    workspace, store = open_workspace_and_registry(home, registry, create=True)
    done: list[Imported] = []
    failures: list[str] = []
    console = err() if json_ else out()
    told = progress("importing", "sources", stop=Stop.KEEPS, quiet=quiet, as_json=json_)
    try:
        with told as report:
            for result in _import_all(store, workspace, found, options, checkpoints, report):
                if isinstance(result, str):
                    failures.append(result)
                else:
                    done.append(result)
    finally:
        for item in done if not (json_ or quiet) else ():
            _show(console, item)
    for failure in failures:
        _complain(failure)
    if json_:
        print_json({"imported": [_as_json(item) for item in done], "failed": failures})
    if failures:
        raise typer.Exit(1 if done else 2)


def _source(name: str | None) -> "Source | None":
    from core.errors import UserError
    from core.interchange.foreign import Source

    if name is None:
        return None
    if name not in set(Source):
        raise UserError(f"--from {name!r} is unknown; choose {', '.join(Source)}")
    return Source(name)


def _import_all(
    store: "Registry",
    workspace: "Workspace",
    found: "list[Found]",
    options: "KeepOptions",
    checkpoints: bool,
    report: "Report",
) -> "Iterator[Imported | str]":
    """One after the other; what cannot be imported is told and does not stop the rest."""
    from a5ctl.progress import tracked
    from core.errors import UserError
    from core.interchange.foreign import Source
    from core.interchange.keep import keep
    from core.interchange.own_run import import_own
    from core.registry.database import RegistryUnavailableError

    for item in tracked(found, len(found), report):
        try:
            if item.source is Source.RUN:
                yield import_own(store, workspace, item.path, checkpoints=checkpoints)
                continue
            for run in item.runs():
                yield keep(store, workspace, run, options)
        except RegistryUnavailableError:
            raise
        except UserError as error:
            yield str(error)
        except OSError as error:
            yield f"{item.path} cannot be imported: {error.strerror or error}"


def _show_found(found: "list[Found]", *, as_json: bool) -> None:
    from a5ctl.console import out, plain, print_json

    if as_json:
        print_json([{"source": item.source, "path": str(item.path)} for item in found])
        return
    for item in found:
        out().print(plain(f"{item.path}: {item.source.label}"), soft_wrap=True)


def _show(console: Any, item: "Imported") -> None:
    from a5ctl.console import plain

    named = f" ({item.name})" if item.name else ""
    verbs = {"new": "imported", "updated": "updated", "unchanged": "unchanged:"}
    line = plain(f"{verbs[item.state]} {item.path} as {item.run}{named}: {_content(item)}")
    console.print(line, soft_wrap=True)
    for reason in item.left_out[:_SHOWN_LEFT_OUT]:
        console.print(plain(f"  left out: {reason}", style="yellow"), soft_wrap=True)
    if (more := len(item.left_out) - _SHOWN_LEFT_OUT) > 0:
        text = f"  and {more} things more, in: a5ctl show {item.run} --json"
        console.print(plain(text, style="yellow"), soft_wrap=True)


def _content(item: "Imported") -> str:
    from a5ctl.format import count

    parts = [f"{count(item.metrics)} metrics"]
    if item.values is not None:
        parts[0] += f" with {count(item.values)} values"
    if item.evaluations:
        parts.append(f"{count(item.responses)} responses of {count(item.evaluations)} evaluations")
    return f"{item.status}, {' and '.join(parts)}"


def _complain(text: str) -> None:
    from a5ctl.console import err, plain

    err().print(plain("error: ", style="bold red").append_text(plain(text)))


def _as_json(item: "Imported") -> dict[str, Any]:
    return {**asdict(item), "source": item.source.value, "status": item.status.value}
