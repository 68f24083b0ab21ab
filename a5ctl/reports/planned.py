"""Plans in a report: those that only judge, and those that made their runs."""

from pathlib import Path

from a5ctl.format import percent
from a5ctl.reports.content import Cell, Remark, Table, Tone
from a5ctl.tables.criteria import check_plan
from a5ctl.tables.plan_cells import cell_lines, state_counts
from a5ctl.tables.plan_effects import plan_figures
from a5ctl.tables.plan_report import report_tables
from a5ctl.tables.verdicts import PlanReport
from core.criteria.plan import LoadedPlan
from core.criteria.plan import load_plan as load_criteria
from core.criteria.plan import parse_plan as parse_criteria
from core.errors import UserError
from core.given_files import read_given_text
from core.given_toml import parse_toml
from core.plans.criteria import criteria_of
from core.plans.load import load_plan, parse_plan
from core.plans.plan import Plan
from core.plans.runs import CellState, cell_runs
from core.plans.search import known_cells
from core.registry.records import RunRecord
from core.registry.store import Registry
from core.workspace import Workspace

AnyPlan = LoadedPlan | Plan
_MADE_BY = "base"
"""What a plan holds that makes its runs, and one that only judges does not."""
_TONES = {
    CellState.FINISHED: Tone.GOOD,
    CellState.FAILED: Tone.BAD,
    CellState.INTERRUPTED: Tone.WARNING,
    CellState.STALE: Tone.WARNING,
}
_NUMBERS = ("effect", "95%", "p", "seeds")
_WHAT_EFFECTS_ARE = (
    "Effect: the accuracy under a value minus that under the first value of its axis, mean over "
    "all other axes; interval and p over seeds and problems from three seeds on, else over "
    "problems (these runs only); p is Holm-corrected, * marks p < 0.05."
)


def read_plan(path: Path) -> AnyPlan:
    """A plan from its file, of either kind.

    Raises:
        UserError: the file cannot be read, or one sentence that names what is wrong in it.
    """
    try:
        text = read_given_text(path)
    except (OSError, ValueError):
        return load_plan(path)  # it says why
    return load_plan(path) if _makes_runs(text) else load_criteria(path)


def known_plan(registry: Registry, name: str) -> AnyPlan | None:
    """The newest version of a plan that the registry knows by this name; None without one.

    Raises:
        UserError: a later version of this program wrote it, or its base lies in another file.
    """
    versions = registry.plan_versions(name)
    if not versions:
        return None
    text = versions[-1].text
    if _makes_runs(text):
        return parse_plan(Path(f"{name} of the registry"), text)
    return parse_criteria(text, f"the plan {name} of the registry")


def with_known_cells(registry: Registry, plan: AnyPlan) -> AnyPlan:
    """The plan; one that looks for settings with the cells that it has tried."""
    return known_cells(plan, registry) if isinstance(plan, Plan) else plan


def judge(registry: Registry, workspace: Workspace, plan: AnyPlan) -> PlanReport | None:
    """The verdicts on its criteria, and a note of the plan where the registry has none yet."""
    loaded = plan if isinstance(plan, LoadedPlan) else criteria_of(plan)
    if loaded is None:
        return None
    versions = registry.note_plan(plan.name, plan.hash, plan.text, workspace)
    return check_plan(registry, loaded, versions)


def plan_members(registry: Registry, plan: AnyPlan, judged: PlanReport | None) -> list[RunRecord]:
    """The runs that belong to a plan."""
    if isinstance(plan, Plan):
        found = cell_runs(registry, plan, plan.cells).values()
        return [each.run for each in found if each.run is not None]
    assert judged is not None
    return [registry.find_run(run) for run in judged.timing.judged]


def note_of(plan: AnyPlan) -> str:
    """What a plan says about itself."""
    if isinstance(plan, Plan):
        return "\n".join(text for text in (plan.form.question, plan.form.note) if text)
    return plan.plan.note


def cells_table(registry: Registry, plan: Plan) -> Table:
    """Every cell with where it stands."""
    found = list(cell_runs(registry, plan).values())
    rows = []
    for line in cell_lines(registry, found):
        run, headline = line.found.run, line.headline
        state = line.found.state
        rows.append(
            (
                Cell(line.found.cell.id, Tone.CODE),
                Cell(line.found.cell.title),
                Cell(state.value, _TONES.get(state, Tone.UNSURE)),
                Cell("-") if run is None else Cell(run.id, Tone.CODE, run.id),
                Cell("-" if line.step is None else str(line.step)),
                Cell(percent(headline.accuracy) if headline else "-"),
            )
        )
    caption = f"The cells of the plan: {state_counts(found)}."
    headers = ("cell", "what", "state", "run", "step", "accuracy")
    return Table(caption, headers, tuple(rows), frozenset((4, 5)))


def effects_table(
    registry: Registry, plan: Plan, grader: str | None
) -> tuple[Table | None, tuple[Remark, ...]]:
    """What each axis does; None where no two values can be compared."""
    try:
        figures = plan_figures(registry, plan, grader)
    except UserError as error:
        return None, (Remark(f"There is no effect to show: {error}.", Tone.UNSURE),)
    headers, rows = report_tables(figures)[1]
    if not rows:
        return None, ()
    caption = f"What each axis does to the accuracy by the {figures.grader} grader, in points."
    numeric = frozenset(n for n, name in enumerate(headers) if name in _NUMBERS)
    cells = tuple(tuple(map(Cell, row)) for row in rows)
    return Table(caption, headers, cells, numeric), (Remark(_WHAT_EFFECTS_ARE),)


def _makes_runs(text: str) -> bool:
    try:
        return _MADE_BY in parse_toml(text)
    except ValueError:
        return False
