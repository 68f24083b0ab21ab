"""`a5ctl report`: one self-contained page about a run, a group or a plan."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from a5ctl.options import HomeOption, JsonOption, RegistryOption

if TYPE_CHECKING:
    from a5ctl.reports.report import Report

_EXAMPLES, _MOST_EXAMPLES = 2, 100
_NAME_CHARS = 80


def report(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|GROUP|PLAN",
            help="A run (several, too), a group, a plan's file, or a plan the registry knows.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The page; report-NAME.html here when not given, - for standard output.",
        ),
    ] = None,
    title: Annotated[str | None, typer.Option(help="Its title.")] = None,
    examples: Annotated[
        int,
        typer.Option(
            min=0, max=_MOST_EXAMPLES, help="Responses to show of each class of each run."
        ),
    ] = _EXAMPLES,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="METRICS", help="Curves to draw, as in a5ctl plot: loss,accuracy.strict."
        ),
    ] = None,
    grader: Annotated[
        str | None,
        typer.Option(
            help="Accuracy under r1_zero, strict, lenient, diagnostic, question_only or "
            "multiple_choice."
        ),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="Test every run against this one, on the same problems.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a file that is no report, too.")
    ] = False,
    open_: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", envvar="A5CTL_QUIET", help="Print nothing.")
    ] = False,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Write one page that holds everything about some runs: it needs no network and no a5ctl.

    Question, verdicts, table, curves, failures by step, responses, events, protocol, provenance,
    and the commands that make it all again. A report that is there already is replaced.

    Examples:

        a5ctl report sft-256-k3f9

        a5ctl report matrix-9nwq --out sizes.html --title "Does size matter?"

        a5ctl report plan.toml --examples 5 --open
    """
    from a5ctl.options import open_workspace_and_registry, parse_grader
    from a5ctl.reports.gather import Wishes, gather_report
    from a5ctl.reports.page import render_page
    from a5ctl.reports.subject import find_subject

    chosen, names = parse_grader(grader), None if metric is None else _metrics(metric)
    _check_places(out, open_=open_, as_json=json_)
    if out is not None and str(out) != "-":
        _check_target(out, force=force)
    workspace, store = open_workspace_and_registry(home, registry)
    reference = None if baseline is None else store.find_run(baseline)
    subject = find_subject(store, workspace, what)
    target = out or Path(f"report-{_slug(subject.name)}.html")
    command = _command(what, target, title, examples, metric, grader, baseline)
    wishes = Wishes(title, chosen, reference, examples, names, command)
    found = gather_report(store, subject, wishes)
    page = render_page(found).encode()
    if str(target) == "-":
        _print_page(page)
        return
    _write(target, page, force=force)
    if not quiet or json_:
        _tell(found, subject.kind, target, len(page), as_json=json_)
    if open_:
        typer.launch(target.resolve().as_uri())


def _metrics(text: str) -> tuple[str, ...]:
    from a5ctl.commands.plot import metric_names

    return tuple(metric_names(text))


def _check_places(out: Path | None, *, open_: bool, as_json: bool) -> None:
    from core.errors import UserError

    if str(out) == "-" and (open_ or as_json):
        other = "--open" if open_ else "--json"
        raise UserError(f"--out - prints the page and {other} needs a file; leave one of them out")


def _check_target(path: Path, *, force: bool) -> None:
    """Ours may be replaced; anything else only when asked for."""
    from a5ctl.files import check_target
    from a5ctl.reports.page import is_report

    ours = path.is_file() and is_report(path)
    check_target(path, force=force or ours)


def _write(path: Path, page: bytes, *, force: bool) -> None:
    from a5ctl.files import whole_file

    _check_target(path, force=force)
    with whole_file(path, force=True) as file:
        file.write(page)


def _print_page(page: bytes) -> None:
    import sys

    sys.stdout.buffer.write(page)
    sys.stdout.buffer.flush()


def _tell(found: "Report", kind: str, path: Path, size: int, *, as_json: bool) -> None:
    from a5ctl.console import out, plain, print_json

    held = {
        "run": len(found.records),
        "chart": len(found.charts),
        "response": len(found.examples),
        "event": 0 if found.events is None else len(found.events.rows),
    }
    if as_json:
        verdicts = None
        if found.verdicts is not None:
            verdicts = {claim.name: claim.verdict for claim in found.verdicts.claims}
        named = {"path": str(path), "bytes": size, "kind": kind, "subject": found.subject}
        numbers = {f"{name}s": number for name, number in held.items()}
        print_json({**named, "title": found.title, **numbers, "verdicts": verdicts})
        return
    console = out()
    words = ", ".join(f"{n:,} {name}{'s' * (n != 1)}" for name, n in held.items())
    console.print(plain(f"wrote {path} ({size / 1000:,.0f} kB): {words}"), soft_wrap=True)


def _slug(name: str) -> str:
    """A name as part of a file's name."""
    kept = "".join(char if char.isalnum() or char in "-_." else "-" for char in name)
    return kept[:_NAME_CHARS].strip("-.") or "runs"


def _command(
    what: list[str],
    target: Path,
    title: str | None,
    examples: int,
    metric: str | None,
    grader: str | None,
    baseline: str | None,
) -> str:
    """The command line that makes the page again, without what only this machine has."""
    options: list[tuple[str, object]] = [
        *(("--title", title), ("--examples", None if examples == _EXAMPLES else examples)),
        *(("--metric", metric), ("--grader", grader), ("--baseline", baseline)),
        ("--out", target.name if target.is_absolute() else target),
    ]
    given = [part for name, value in options if value is not None for part in (name, str(value))]
    return shlex.join(["a5ctl", "report", *what, *given])
