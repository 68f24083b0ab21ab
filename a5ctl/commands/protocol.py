"""`a5ctl protocol`: how an evaluation was made, and in what two of them differ."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from a5ctl.options import HomeOption, JsonOption, RegistryOption

if TYPE_CHECKING:
    from core.protocol_file import RecordedProtocol


def show(
    reference: Annotated[
        str,
        typer.Argument(metavar="RUN[:STEP]", help="An evaluation, or a protocol file (.toml)."),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "--toml", metavar="FILE.toml", help="Write a protocol file instead."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Show every field that decides what an accuracy means, and both fingerprints.

    The last evaluation of a run is shown unless a step is named.

    Examples:

        a5ctl protocol show sft-256-k3f9

        a5ctl protocol show sft-256-k3f9:96 --out house.toml
    """
    from a5ctl.console import out as standard_output
    from a5ctl.console import print_json
    from a5ctl.protocols import find_evaluation, find_protocol, names_file, protocol_of
    from a5ctl.tables.protocols import protocol_json
    from a5ctl.tables.protocols_view import print_protocol

    uuid: str | None = None
    steps: list[int] = []
    others: list[str] = []
    if names_file(reference):
        protocol = find_protocol(reference, home, registry)
    else:
        run, evaluation, every = find_evaluation(reference, home, registry)
        protocol, uuid = protocol_of(run, evaluation), evaluation.uuid
        mark = (evaluation.generation, evaluation.grading)
        steps = sorted(e.step for e in every if (e.generation, e.grading) == mark)
        others = [f"{run.id}:{e.step}" for e in every if (e.generation, e.grading) != mark]
    if out is not None:
        _write(protocol, out, force=force)
    elif json_:
        print_json(protocol_json(protocol, uuid, steps))
    else:
        print_protocol(standard_output(), protocol, steps, others)


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="RUN, RUN:STEP or a protocol file.")],
    b: Annotated[str, typer.Argument(metavar="B", help="RUN, RUN:STEP or a protocol file.")],
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Name the fields in which two protocols differ, with both values.

    Exits like diff: 0 when no field differs, 1 when one does, 2 when A or B cannot be had.

    Examples:

        a5ctl protocol diff sft-256-k3f9 sft-256-m2x7

        a5ctl protocol diff sft-256-k3f9:0 house.toml
    """
    from a5ctl.console import out, print_json
    from a5ctl.protocols import find_protocol
    from a5ctl.tables.protocols import diff_json, diff_protocols
    from a5ctl.tables.protocols_view import print_diff

    found = diff_protocols(*(find_protocol(name, home, registry) for name in (a, b)))
    if json_:
        print_json(diff_json(found))
    else:
        print_diff(out(), found)
    if found.differences:
        raise typer.Exit(1)


def _write(protocol: "RecordedProtocol", path: Path, *, force: bool) -> None:
    from a5ctl.console import err, plain
    from a5ctl.files import whole_file
    from core.errors import UserError
    from core.protocol_file import to_toml

    if path.suffix != ".toml":
        raise UserError(f"{path} has to end with .toml, by which protocol files are known")
    with whole_file(path, force=force) as file:
        file.write(to_toml(protocol).encode())
    err().print(plain(f"wrote {path}: the protocol of {protocol.label}"), soft_wrap=True)
