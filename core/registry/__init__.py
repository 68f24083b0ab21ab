"""The registry: every run, metric, evaluation and response in one database.

Notebooks begin here (docs/notebooks.md):

    from core.registry import open_registry

    registry = open_registry("experiments")
    registry.runs(where="kind = sft and accuracy > 0.3", sort="-accuracy")
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.registry.frames import RegistryFrames

__all__ = ["open_registry"]


def open_registry(
    home: str | Path | None = None, *, registry: str | None = None, library: str = "pandas"
) -> "RegistryFrames":
    """The registry of a workspace as data frames.

    Args:
        home: The workspace; `A5CTL_HOME` or the current folder when not given.
        registry: Another registry: an SQLAlchemy URL, or the path of an SQLite file.
        library: Whose frames the methods give: `pandas` or `polars`.

    Raises:
        UserError: there is no such workspace, library, or its package is not installed.
    """
    from core.registry.frames import open_frames

    return open_frames(home, registry, library)
