"""Which cells make one array job, and what its elements do."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from a5ctl.cluster.batch import ArrayJob, BatchSystem
from a5ctl.cluster.needs import Needs, needs_of
from a5ctl.cluster.script import Errand
from a5ctl.cluster.site import Site
from a5ctl.plans.executor import CellCommand
from core.batches import batched
from core.plans.cells import Cell

_CELL = "\0"  # no argument can hold it


@dataclass(frozen=True, slots=True)
class Wanted:
    """A cell that is to be handed in.

    Attributes:
        until: Its last step; None for all of them.
        tries: How many jobs there are for it, this one included.
        not_before: Time on this process's clock, in seconds.
    """

    cell: Cell
    until: int | None
    tries: int
    not_before: float = 0.0


@dataclass(frozen=True, slots=True)
class Arrays:
    """Makes arrays of cells.

    Attributes:
        site: What the batch system has to be told.
        command: How a cell is carried out on a node.
        title: What the scripts are for.
        environment: Variables of the jobs.
        on_node: Nodes record on their own disks.
    """

    site: Site
    command: CellCommand
    title: str
    environment: dict[str, str]
    on_node: bool

    def of(self, wanted: Sequence[Wanted]) -> Iterator[tuple[Needs, list[Wanted]]]:
        """Cells of one array ask for the same, and are as far as each other."""
        groups: dict[tuple[Needs, int, int], list[Wanted]] = {}
        for want in wanted:
            needs = needs_of(want.cell.config, gpus=self.site.gpus, cpus=self.site.cpus)
            groups.setdefault((needs, want.until or 0, want.tries), []).append(want)
        for (needs, _, _), group in groups.items():
            for part in batched(group, self.site.array_limit):
                yield needs, part

    def preview(
        self, cells: Sequence[Cell], system: BatchSystem, folder: Path
    ) -> list[tuple[str, list[str]]]:
        """The scripts of the arrays that these cells would become, with the ids of their cells."""
        found = []
        for needs, group in self.of([Wanted(cell, None, 1) for cell in cells]):
            ids = [want.cell.id for want in group]
            job = ArrayJob("a5-preview", None, tuple(ids), folder / "a5-preview")
            errand = self.errand(job, None, take_over=False)
            found.append((system.script(errand, self.site, needs), ids))
        return found

    def errand(self, job: ArrayJob, until: int | None, *, take_over: bool) -> Errand:
        """What the elements of an array do."""
        return Errand(
            name=job.name,
            title=self.title,
            cells=job.cells,
            folder=job.folder,
            directory=Path.cwd(),
            command=self._words(until, take_over=take_over),
            environment=self.environment,
        )

    def _words(self, until: int | None, *, take_over: bool) -> list[str | None]:
        starter = list(self.command.starter)
        if self.site.program is not None:
            starter = list(self.site.program)
        elif self.site.venv is not None:
            starter = ["a5ctl"]
        words = self.command.arguments(_CELL, until, take_over=take_over)
        words += ["--on-node"] if self.on_node else []
        return [None if word == _CELL else word for word in (*starter, *words)]
