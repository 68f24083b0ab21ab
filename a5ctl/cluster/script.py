"""The script of an array: one element per cell. Whatever a person wrote is quoted in it."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from a5ctl.cluster.site import Site

_CARRY_OUT = """\
rm -f "$jobs/$index.exit"
hostname >"$jobs/$index.node"

# a cell that is told to stop saves itself; the word is passed on until it has ended
child=
trap 'if [ -n "$child" ]; then kill -TERM "$child" 2>/dev/null; else ended 143; fi' TERM
{start} &
child=$!
while :; do
  wait "$child"
  code=$?
  kill -0 "$child" 2>/dev/null || break
done
ended "$code"
"""


@dataclass(frozen=True, slots=True)
class Errand:
    """What the elements of an array do.

    Attributes:
        name: Name of the job; letters, digits and dashes.
        title: What a reader of the script is told that it is for.
        cells: Cell ids by index.
        folder: Gets logs and exit codes.
        directory: Where the cells are carried out.
        command: What carries a cell out; None stands for the cell.
        environment: Variables for it.
    """

    name: str
    title: str
    cells: Sequence[str]
    folder: Path
    directory: Path
    command: Sequence[str | None]
    environment: dict[str, str]


def script_text(
    errand: Errand, site: Site, directives: Sequence[str], index: str, time_limit_s: int | None
) -> str:
    """The whole script.

    Args:
        errand: What it does.
        site: Where.
        directives: Lines for the batch system.
        index: How the shell gets at the index of the element.
        time_limit_s: Seconds after which the script itself tells a cell to stop; None where the
            batch system does.
    """
    parts = [
        "\n".join(("#!/bin/bash -l", *directives)),
        _comment(errand.title),
        _head(errand, index),
        _surroundings(errand, site),
        _CARRY_OUT.format(start=_start(errand, site, time_limit_s)),
    ]
    return "\n".join(part for part in parts if part)


def _comment(title: str) -> str:
    shown = "".join(char if char.isprintable() else "?" for char in title)
    return f"\n# {shown}; written by a5ctl, one element for each cell\n"


def _head(errand: Errand, index: str) -> str:
    cells = "\n".join(f"  {shlex.quote(cell)}" for cell in errand.cells)
    return (
        f"cells=(\n{cells}\n)\n"
        f"index={index}\n"
        'cell="${cells[$index]}"\n'
        f"jobs={_path(errand.folder)}\n"
        'exec >>"$jobs/$index.log" 2>&1 </dev/null\n'
        "ended() {\n"
        '  printf \'%s\\n\' "$1" >"$jobs/.$index.exit" && mv -f "$jobs/.$index.exit"'
        ' "$jobs/$index.exit"\n'
        '  exit "$1"\n'
        "}\n"
    )


def _surroundings(errand: Errand, site: Site) -> str:
    lines = [f"cd {_path(errand.directory)} || ended 1"]
    lines += [f"module load {shlex.quote(module)} || ended 1" for module in site.modules]
    if site.venv is not None:
        lines.append(f". {shlex.quote(f'{site.venv}/bin/activate')} || ended 1")
    variables = {**errand.environment, **site.environment}
    lines += [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    return "\n".join((*lines, *site.setup, ""))


def _start(errand: Errand, site: Site, time_limit_s: int | None) -> str:
    words = " ".join('"$cell"' if word is None else shlex.quote(word) for word in errand.command)
    if time_limit_s is not None:
        # counted from the beginning of the job, of which loading modules was a part
        return f'timeout --preserve-status --signal=TERM "$(({time_limit_s} - SECONDS))" {words}'
    return words


def _path(path: Path) -> str:
    return shlex.quote(str(path))
