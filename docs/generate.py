"""Writes the pages that the program and its tables say, and two modules of names.

    python docs/generate.py

A test fails when the files are not what this gives. `docs/pages/` has a module for each.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent
sys.path.insert(0, str(ROOT))

from docs.pages.cli import cli_reference  # noqa: E402
from docs.pages.fits import what_fits  # noqa: E402
from docs.pages.metrics import metrics_reference  # noqa: E402
from docs.pages.names import command_summaries, setting_names  # noqa: E402
from docs.pages.schema import schema_reference  # noqa: E402
from docs.pages.watchdog import watchdog_reference  # noqa: E402

# names come first: what is told of the program reads them
WRITTEN: Mapping[Path, Callable[[], str]] = {
    ROOT / "a5ctl" / "setting_names.py": setting_names,
    ROOT / "a5ctl" / "command_summaries.py": command_summaries,
    FOLDER / "cli.md": cli_reference,
    FOLDER / "schema.md": schema_reference,
    FOLDER / "watchdog.md": watchdog_reference,
    FOLDER / "metrics.md": metrics_reference,
    FOLDER / "fits.md": what_fits,
}


def generated() -> dict[Path, str]:
    """Every generated file with its text."""
    return {path: made() for path, made in WRITTEN.items()}


if __name__ == "__main__":
    for path, made in WRITTEN.items():
        path.write_text(made(), encoding="utf-8")
