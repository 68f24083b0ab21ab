"""What an import did with one run."""

from dataclasses import dataclass, field

from core.interchange.foreign import Source
from core.registry.records import RunStatus


@dataclass(frozen=True, slots=True)
class Imported:
    """One run that is in the registry now.

    Attributes:
        run: Its short id.
        path: What it was read from.
        state: `new`, `updated` or `unchanged`.
        metrics: Different metrics.
        values: Their values; None where nobody counted.
        left_out: What was not read or not kept.
    """

    run: str
    source: Source
    path: str
    name: str | None
    state: str
    status: RunStatus
    metrics: int
    values: int | None
    evaluations: int
    responses: int
    left_out: list[str] = field(default_factory=list)
