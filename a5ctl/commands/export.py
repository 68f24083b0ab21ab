"""`a5ctl export responses`: the responses of a run as a file for other programs."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from a5ctl.options import HomeOption, QuietOption, RegistryOption

if TYPE_CHECKING:
    from a5ctl.tables.export import ExportFormat
    from core.registry.store import Registry, RunRecord

_STANDARD_OUTPUT = Path("-")


def responses(
    run: Annotated[str, typer.Argument(help="Id, unique prefix, or name of the run.")],
    step: Annotated[
        int | None, typer.Option(help="Only the evaluation of this step; all when not given.")
    ] = None,
    rollouts: Annotated[
        bool,
        typer.Option(
            "--rollouts",
            help="What the run learned from instead; --step is then the first update that did.",
        ),
    ] = False,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="jsonl|csv|parquet",
            help="By the ending of --out when not given, else jsonl.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="File to write, or - for standard output; RUN-responses.FORMAT in the current "
            "folder (RUN-rollouts.FORMAT) when not given."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    quiet: QuietOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Write one row per response: problem, text, truth, lengths, every grader's verdict and class.

    JSON lines and Parquet hold the exact texts, and a5ctl grade reads the JSON lines back. In CSV,
    text that a spreadsheet program would run as a formula gets an apostrophe in front, and so does
    text that begins with one.

    Examples:

        a5ctl export responses sft-256-k3f9

        a5ctl export responses sft-256-k3f9 --step 96 --format csv --out responses.csv

        a5ctl export responses grpo-x2m1 --rollouts --out rollouts.jsonl
    """
    from a5ctl.console import err, plain
    from a5ctl.files import check_target, whole_file
    from a5ctl.format import count
    from a5ctl.options import open_workspace_and_registry
    from a5ctl.progress import Stop, progress
    from a5ctl.tables.export import ExportFormat, require_parquet, write_rows

    form = _choose_format(format_, out)
    if form is ExportFormat.PARQUET:
        require_parquet()
    _, store = open_workspace_and_registry(home, registry)
    record = store.find_run(run)
    rows, source = _chosen_rows(store, record, step, rollouts=rollouts)
    if out == _STANDARD_OUTPUT:
        write_rows(rows, _standard_output(form), form)
        sys.stdout.flush()
        return
    content = "rollouts" if rollouts else "responses"
    path = out or Path(f"{record.id}-{content}.{form}")
    check_target(path, force=force)
    told = progress(f"writing {path}", stop=Stop.NOTHING, quiet=quiet)
    with told, whole_file(path, force=force) as file:
        number = write_rows(rows, file, form)
    if not quiet:
        line = f"wrote {path}: {count(number)} responses of {source}"
        err().print(plain(line), soft_wrap=True)


def _chosen_rows(
    store: "Registry", run: "RunRecord", step: int | None, *, rollouts: bool
) -> tuple[Iterator[dict[str, Any]], str]:
    """The rows, and what they are from in words."""
    from core.registry import export

    if rollouts:
        batches = export.exported_batches(store, run, step)
        return export.exported_rollouts(store, run, batches), f"{len(batches)} rollout batches"
    evaluations = export.exported_evaluations(store, run, step)
    return export.exported_rows(store, run, evaluations), f"{len(evaluations)} evaluations"


def _choose_format(name: str | None, out: Path | None) -> "ExportFormat":
    from a5ctl.tables.export import ExportFormat
    from core.errors import UserError

    ending = "" if out is None else out.suffix.lower().removeprefix(".")
    if name is None:
        return ExportFormat(ending) if ending in set(ExportFormat) else ExportFormat.JSONL
    if name not in set(ExportFormat):
        raise UserError(f"--format {name!r} is unknown; choose {', '.join(ExportFormat)}")
    return ExportFormat(name)


def _standard_output(form: "ExportFormat") -> IO[bytes]:
    """Bytes for a pipe; a terminal would act on what models wrote into CSV or Parquet."""
    from a5ctl.tables.export import ExportFormat
    from core.errors import UserError

    if form is not ExportFormat.JSONL and sys.stdout.isatty():
        raise UserError(
            f"--format {form} is not for a terminal; name a file with --out, or pipe it"
        )
    return sys.stdout.buffer
