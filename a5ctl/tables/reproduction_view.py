"""A reproduction for people: what is not as it was, and what came out."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from a5ctl.console import plain
from a5ctl.format import count, counted
from a5ctl.tables.fit import FitColumn, fitted_table
from a5ctl.tables.reproduction import answered, kind_of, verdict
from core.registry.records import RunRecord
from core.reproduction.compare import RunsComparison
from core.reproduction.curves import MetricComparison
from core.reproduction.surroundings import Difference, shown

_MOST_METRICS = 12
_MARKS = {True: ("✓", "green"), False: ("✗", "bold red")}


def print_differences(
    run: RunRecord,
    found: Sequence[Difference],
    notes: Sequence[str],
    console: Console,
    *,
    possible: bool,
) -> None:
    """Say what differs from when the run was made; `possible` says that nothing is in the way."""
    head = plain(run.id, "bold cyan")
    if not found and possible:
        console.print(head.append(": nothing that was recorded differs now", "bold"))
    elif found:
        things = counted(len(found), "thing")
        verb = "is" if len(found) == 1 else "are"
        console.print(head.append(f": {things} {verb} not as recorded", "bold"))
        console.print(_table(found, console), crop=False)
    for note in notes:
        console.print(plain(f"· {note}", "dim"))


def print_comparison(found: RunsComparison, console: Console) -> None:
    """Say how alike the two runs are, part by part, and the verdict last."""
    head = plain(found.recorded.id, "bold cyan").append(" and ", "dim")
    console.print(head.append_text(plain(found.again.id, "bold cyan")))
    grid = Table.grid(padding=(0, 1))
    for same, what, said in _parts(found):
        mark, style = _MARKS[same]
        grid.add_row(Text(mark, style), Text(what), plain(said))
    if found.not_compared:
        names = ", ".join(found.not_compared)
        grid.add_row("·", plain("not compared", "dim"), plain(f"{names} (measured)", "dim"))
    console.print(grid)
    differing = [metric for metric in found.metrics if not metric.same]
    if differing:
        console.print(fitted_table(_metric_columns(differing[:_MOST_METRICS]), console))
        if len(differing) > _MOST_METRICS:
            more = len(differing) - _MOST_METRICS
            console.print(plain(f"{more} more metrics differ; --json has all", "dim"))
    for note in found.notes:
        console.print(plain(f"· {note}", "dim"))
    if found.steps < found.of:
        first = counted(found.steps, "step")
        console.print(plain(f"· only the first {first} of {count(found.of)} are compared", "dim"))
    console.print(plain(verdict(found), "bold green" if found.same else "bold red"))
    if not found.same:
        command = f"a5ctl show {found.recorded.id} --diff {found.again.id}"
        console.print(plain(f"  {command}", "cyan").append("  in what they were made otherwise"))


def _parts(found: RunsComparison) -> list[tuple[bool, str, str]]:
    """(is the same, what, in words) of everything that was compared."""
    rows = []
    if found.metrics:
        rows.append(_metrics(found))
    for what, title in (("evaluation", "evaluations"), ("rollouts", "rollouts")):
        if parts := kind_of(found, what):
            rows.append((all(part.same for part in parts), title, _answers(found, what)))
    if found.weights is not None:
        tensors = found.weights.tensors
        same = tensors - len(found.weights.differing)
        said = f"{count(same)}/{count(tensors)} tensors the same at step {found.weights.step}"
        if found.weights.differing:
            said += f"; first: {found.weights.differing[0]}"
        rows.append((found.weights.same, "weights", said))
    return rows


def _metrics(found: RunsComparison) -> tuple[bool, str, str]:
    differing = sum(not metric.same for metric in found.metrics)
    values = sum(metric.values for metric in found.metrics)
    every = f"{counted(len(found.metrics), 'metric')}, {counted(values, 'value')}"
    if differing:
        metrics = counted(len(found.metrics), "metric")
        return False, "metrics", f"{differing} of {metrics} differ; {count(values)} values compared"
    return True, "metrics", f"{every} over {counted(found.steps, 'step')}, bit for bit"


def _answers(found: RunsComparison, what: str) -> str:
    parts = kind_of(found, what)
    same, every = answered(parts)
    texts = sum(part.same_texts for part in parts)
    said = f"{count(same)}/{count(every)} responses the same, text and verdicts"
    if texts != same:
        said += f" (texts {count(texts)})"
    other = next((part for part in parts if not part.same), None)
    if other is not None:
        said += f"; first: {other.first} at step {other.step}"
    if unlike := sorted({grader for part in parts for grader in part.unlike}):
        said += f"; verdicts of other versions not compared: {', '.join(unlike)}"
    if fields := sorted({name for part in parts for name in part.protocol}):
        said += f"; protocols differ in {', '.join(fields)}"
    return said


def _metric_columns(metrics: Sequence[MetricComparison]) -> list[FitColumn]:
    def column(title: str, cells: Sequence[str], importance: int, right: bool = True) -> FitColumn:
        return FitColumn(title, [plain(cell) for cell in cells], importance, right=right)

    return [
        column("metric", [m.name for m in metrics], 100, right=False),
        column("first step", [str(m.first) for m in metrics], 90),
        column("recorded", [_figure(m.recorded) for m in metrics], 80),
        column("again", [_figure(m.again) for m in metrics], 80),
        column("largest", [f"{m.largest:.3g}" for m in metrics], 70),
        column("relative", [f"{m.largest_relative:.2g}" for m in metrics], 60),
        column("steps", [f"{m.differing}/{m.values}" for m in metrics], 50),
        column("only in one", [str(m.missing) if m.missing else "-" for m in metrics], 55),
    ]


def _table(found: Sequence[Difference], console: Console) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    third = console.width // 3
    table.add_column("", overflow="fold", style="dim")
    table.add_column("", overflow="fold", max_width=third)
    table.add_column("recorded", overflow="fold", max_width=third)
    table.add_column("now", overflow="fold", max_width=third)
    before = None
    for row in found:
        aspect = row.aspect.value if row.aspect is not before else ""
        before = row.aspect
        table.add_row(aspect, plain(row.name), plain(shown(row.recorded)), plain(shown(row.now)))
    return table


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.9g}"
