"""Keeps a finished run of a workspace as files here: its responses, and what was set.

PYTHONPATH=. python -m tests.a5ctl.planted.keep HOME RUN NAME
"""

import gzip
import json
import sys
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from a5ctl.app import app

FOLDER = Path(__file__).parent
_KEPT = ("id", "kind", "name", "group", "size", "seed", "data", "parent_id", "config")


def keep(home: Path, run: str, name: str, folder: Path) -> None:
    """Write NAME.jsonl.gz, as `a5ctl export responses` writes it, and NAME.run.json."""
    shown = json.loads(_ask("show", run, "--json", "--home", str(home)))
    texts = _ask("export", "responses", run, "--out", "-", "--home", str(home))
    settings: dict[str, Any] = {key: _anywhere(shown[key]) for key in _KEPT}
    evaluation = shown["evaluations"][-1]
    settings |= {"step": evaluation["step"], "protocol": evaluation["protocol"]}
    settings["command"] = " ".join(["a5ctl", *_anywhere(shown["provenance"]["argv"][1:])])
    (folder / f"{name}.run.json").write_text(json.dumps(settings, indent=1) + "\n")
    (folder / f"{name}.jsonl.gz").write_bytes(gzip.compress(texts.encode(), mtime=0))


def _ask(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    if result.exit_code:
        sys.exit(result.output)
    return result.stdout


def _anywhere(value: Any) -> Any:
    """A JSON-ready tree without the folders of the machine that it was written on."""
    if isinstance(value, dict):
        return {key: _anywhere(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_anywhere(inner) for inner in value]
    absolute = isinstance(value, str) and value.startswith("/")
    return value.rpartition("/")[2] if absolute else value


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    keep(Path(sys.argv[1]), sys.argv[2], sys.argv[3], FOLDER)
