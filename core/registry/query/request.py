"""What a listing asks for, apart from what answers it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Selection:
    """What to list.

    Attributes:
        where: A filter; every run when None.
        sort: Fields with commas between, `-` in front of one for the largest first; newest first
            when None, and among equal ones.
        columns: Fields with commas between.
        limit: At most so many runs.
        archived: With archived runs; a filter that names them decides itself.
        kind: Only this kind.
        group: Only this group.
    """

    where: str | None = None
    sort: str | None = None
    columns: str | None = None
    limit: int | None = None
    archived: bool = False
    kind: str | None = None
    group: str | None = None
