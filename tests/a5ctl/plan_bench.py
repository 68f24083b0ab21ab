"""An executor that records cells instead of training them, and a place to carry plans out in."""

import functools
import random
import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from a5ctl.plans.driver import Driver, Manner
from a5ctl.plans.executor import Ended
from core.config.load import config_hash, to_tree
from core.evaluation import EvaluationResult
from core.plans.cells import Cell
from core.plans.load import load_plan
from core.plans.plan import Plan
from core.plans.runs import CellRun, CellState, cell_runs
from core.registry.recorder import Recorder
from core.registry.records import NewRun
from core.registry.store import Registry, open_registry
from core.workspace import Workspace
from tests.a5ctl.handmade import evaluation, right, wrong

PROBLEMS = 60
PLAN = """
name = "p"
seeds = [0, 1]
[base]
kind = "sft"
train.steps = 30
[axes]
"train.lr" = [1e-3, 1e-4, 1e-5]
"""


@dataclass
class Recording:
    """Carries a cell out by recording what an accuracy by cell and step says.

    Attributes:
        accuracy: Share right of a cell at a step.
        codes: Exit codes of the next attempts at a cell, before it gets through.
        order: Draws which attempt ends first.
    """

    registry: Registry
    workspace: Workspace
    accuracy: Callable[[Cell, int], float]
    places: int = 2
    codes: dict[str, list[int]] = field(default_factory=dict)
    order: random.Random = field(default_factory=lambda: random.Random(0))
    submitted: list[tuple[str, int | None]] = field(default_factory=list)
    waiting: dict[str, tuple[Cell, int | None]] = field(default_factory=dict)
    told: list[int] = field(default_factory=list)

    @property
    def room(self) -> int:
        return self.places - len(self.waiting)

    def adopt(self) -> dict[str, Cell]:
        return {}

    def detach(self) -> bool:
        return False

    def submit(self, cell: Cell, until: int | None = None) -> None:
        assert cell.id not in self.waiting
        self.submitted.append((cell.id, until))
        self.waiting[cell.id] = (cell, until)

    def poll(self, seconds: float) -> list[Ended]:
        if not self.waiting:
            return []
        cell, until = self.waiting.pop(self.order.choice(sorted(self.waiting)))
        code = self.codes.get(cell.id, [0]).pop(0) if self.codes.get(cell.id) else 0
        self.record(cell, until, code)
        return [Ended(cell.id, code, f"code {code}")]

    def stop(self, signum: int) -> None:
        self.told.append(signum)

    def note_busy(self, cell_ids: set[str]) -> None:
        assert not cell_ids

    def close(self) -> None: ...

    def record(self, cell: Cell, until: int | None, code: int) -> None:
        found = next((r for r in self.registry.runs() if cell.tag in r.tags), None)
        run = found or self.registry.create_run(self.new(cell))
        last = cell.config.train.steps or 30
        done = {e.step for e in self.registry.evaluations([run.uuid])}
        with Recorder(self.registry, run.uuid, self.workspace.run_folder(run.id)) as recorder:
            for step in range(10, (until or last) + 1, 10):
                looked = step == last or cell.config.evaluation.every == 10
                if looked and step not in done and not code:
                    recorder.metrics(step, {"loss": 1.0})
                    recorder.evaluation(replace(answered(self.accuracy(cell, step)), step=step))
            ended = until is None or until == last
            recorder.finish("failed" if code > 0 else "finished" if ended else "interrupted", "x")
        if code < 0:
            self.registry.set_status(run.uuid, "interrupted", "killed")

    def new(self, cell: Cell) -> NewRun:
        config = cell.config
        start = next((r for r in self.registry.runs() if f"cell:{cell.start}" in r.tags), None)
        return NewRun(
            kind=config.kind.value,
            config=to_tree(config),
            config_hash=config_hash(config),
            model="builtin",
            data="handmade",
            name=config.name,
            group=config.group,
            seed=config.seed,
            tags=config.tags,
            parent_uuid=start.uuid if start else None,
        )


@functools.cache
def answered(share: float) -> EvaluationResult:
    """The same problems are hard for everybody."""
    rng = random.Random(0)
    hard = [rng.random() for _ in range(PROBLEMS)]
    return evaluation([right(10 + i) if h < share else wrong(10 + i) for i, h in enumerate(hard)])


class Silent:
    """Shows nothing."""

    def begins(self, cell: Cell) -> None: ...
    def ended(self, cell: Cell, ended: Ended, going_on: bool) -> None: ...
    def stopping(self, why: str) -> None: ...
    def note(self, text: str) -> None: ...
    def standing(self, found: Mapping[str, CellRun], under_way: set[str]) -> None: ...


@dataclass
class Bench:
    plan: Plan
    registry: Registry
    workspace: Workspace
    executor: Recording

    def driver(self, **manner: bool) -> Driver:
        return Driver(self.plan, self.registry, self.executor, Silent(), Manner(**manner))

    def states(self, cells: Iterable[Cell] | None = None) -> dict[str, CellState]:
        found = cell_runs(self.registry, self.plan, cells)
        return {each.cell.title: each.state for each in found.values()}


Benches = Callable[..., Bench]


def benches(folder: Path) -> Benches:
    """Makes one of a plan's text, in a folder of its own below this one."""

    def make(text: str, accuracy: Callable[[Cell, int], float] = lambda c, s: 0.5, at: str = "a"):
        home = folder / at
        home.mkdir(exist_ok=True)
        (home / "plan.toml").write_text(text)
        workspace = Workspace(home)
        registry = open_registry(f"sqlite:///{home / 'registry.db'}")
        executor = Recording(registry, workspace, accuracy)
        return Bench(load_plan(home / "plan.toml"), registry, workspace, executor)

    return make


def stopping(house: Bench, driver: Driver, after: int) -> None:
    """Let Ctrl-C come while the driver waits for that many a time."""
    count = 0

    def poll(seconds: float) -> list[Ended]:
        nonlocal count
        count += 1
        if count == after:
            driver._handle(signal.SIGINT, None)
        return Recording.poll(house.executor, seconds)

    house.executor.poll = poll  # type: ignore[method-assign]
