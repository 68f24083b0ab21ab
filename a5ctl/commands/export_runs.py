"""`a5ctl export RUN...`: whole runs as files for other programs."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from a5ctl.help_pages import Group
from a5ctl.options import HomeOption, QuietOption, RegistryOption

if TYPE_CHECKING:
    from a5ctl.tables.run_exports import RunFormat
    from core.registry.store import Registry, RunRecord

_STANDARD_OUTPUT = Path("-")
DEFAULT = "runs"


class RunsByDefault(Group):
    """`a5ctl export RUN...` means `a5ctl export runs RUN...`; a command's own name wins."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the name of the default command in front where none is given."""
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """The commands, and the runs that the default command would take."""
        (run, *_) = self.commands[DEFAULT].params
        return [*super().shell_complete(ctx, incomplete), *run.shell_complete(ctx, incomplete)]


def runs(
    run: Annotated[
        list[str], typer.Argument(metavar="RUN", help="Ids, unique prefixes, or names.")
    ],
    format_: Annotated[
        str, typer.Option("--format", metavar="json|csv|parquet|tensorboard", help="What to write.")
    ] = "json",
    out: Annotated[
        Path | None,
        typer.Option(
            help="File (json; - is standard output) or folder to write; named after the run, or "
            "runs, in the current folder when not given."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace what an earlier export wrote there.")
    ] = False,
    quiet: QuietOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Write runs whole: settings, metric curves, evaluations and events.

    json is one document, csv and parquet are a folder with a file per table, tensorboard is a
    folder of logs that tensorboard --logdir shows. Curves keep steps, segments and wall times, and
    values that are not finite stay what they are. The responses have a command of their own.

    Examples:

        a5ctl export sft-256-k3f9

        a5ctl export sft-256-k3f9 grpo-x2m1 --format tensorboard --out logs
    """
    from a5ctl.console import err, plain
    from a5ctl.options import open_workspace_and_registry
    from a5ctl.progress import Stop, progress
    from a5ctl.tables.export import require_parquet
    from a5ctl.tables.run_exports import RunFormat
    from core.errors import UserError

    if format_ not in set(RunFormat):
        raise UserError(f"--format {format_!r} is unknown; choose {', '.join(RunFormat)}")
    form = RunFormat(format_)
    if form is RunFormat.PARQUET:
        require_parquet()
    _, store = open_workspace_and_registry(home, registry)
    records = list({found.uuid: found for found in map(store.find_run, run)}.values())
    if out == _STANDARD_OUTPUT:
        _to_standard_output(store, records, form)
        return
    path = out or Path(_default_name(records, form))
    with progress(f"writing {path}", stop=Stop.NOTHING, quiet=quiet):
        _write(store, records, form, path, force)
    if quiet:
        return
    names = ", ".join(record.id for record in records[:5])
    more = f" and {len(records) - 5} more" if len(records) > 5 else ""
    err().print(plain(f"wrote {path}: {names}{more}"), soft_wrap=True)


def _default_name(records: "list[RunRecord]", form: "RunFormat") -> str:
    from a5ctl.tables.run_exports import RunFormat

    name = records[0].id if len(records) == 1 else "runs"
    return f"{name}.json" if form is RunFormat.JSON else f"{name}-{form}"


def _to_standard_output(store: "Registry", records: "list[RunRecord]", form: "RunFormat") -> None:
    from a5ctl.tables.run_exports import RunFormat
    from core.errors import UserError
    from core.interchange.outgoing_files import write_json

    if form is not RunFormat.JSON:
        raise UserError(f"--format {form} is a folder of files; name one with --out")
    write_json(store, records, sys.stdout.buffer)
    sys.stdout.flush()


def _write(
    store: "Registry", records: "list[RunRecord]", form: "RunFormat", path: Path, force: bool
) -> None:
    from a5ctl.console import printable
    from a5ctl.files import whole_file
    from a5ctl.folders import whole_folder
    from a5ctl.tables.run_exports import RunFormat, write_tables
    from core.interchange.outgoing_files import write_json, write_tensorboard

    if form is RunFormat.JSON:
        with whole_file(path, force=force) as file:
            write_json(store, records, file)
        return
    with whole_folder(path, force=force) as folder:
        if form is not RunFormat.TENSORBOARD:
            write_tables(store, records, folder, form)
            return
        for record in records:
            (folder / record.id).mkdir()
            write_tensorboard(store, record, folder / record.id, printable)
