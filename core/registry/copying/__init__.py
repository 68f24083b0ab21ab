"""Moves a whole registry to another database: every row with its keys, compared before it counts.

The source is read as of one moment, the target is written in one transaction, and that is ended
only when every row has been read back and is the same. Whatever stops a copy leaves the target
empty.
"""

from core.registry.copying.copy import Copied, Phase, copy_registry

__all__ = ["Copied", "Phase", "copy_registry"]
