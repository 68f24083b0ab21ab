"""What is said when a run ends: its name, what it achieved, and what to try next."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from a5ctl.console import plain
from a5ctl.format import compact, duration, interval, p_value, percent, points
from a5ctl.tables.alarmed import alarm_lines
from a5ctl.tables.comparison import build_comparison
from a5ctl.tables.comparison_view import comparison_table
from a5ctl.tables.selection import selection_note
from core.registry.records import EvaluationRecord, RunRecord
from core.registry.store import Registry
from core.statistics import compare_paired


def run_summary(registry: Registry, run: RunRecord) -> RenderableType:
    """The closing panel of one finished run."""
    evaluations = sorted(registry.evaluations([run.uuid]), key=lambda e: (e.step, e.time))
    lines: list[RenderableType] = [_figures(registry, evaluations)]
    change = _change(registry, evaluations)
    if change is not None:
        lines.append(change)
    if note := selection_note([run]):
        lines.append(plain(note, style="yellow"))
    lines += [plain(f"! {line}", style="yellow") for line in alarm_lines(registry, run)]
    lines += [_effort(registry, run), Text(""), _next_commands(run)]
    title = Text("finished ").append_text(plain(run.id, style="bold cyan"))
    return Panel(Group(*lines), title=title, title_align="left", border_style="green", expand=False)


def matrix_table(registry: Registry, run_ids: Sequence[str], width: int) -> RenderableType:
    """The comparison of a matrix of runs, with the command that shows it again.

    Args:
        registry: Where the runs are.
        run_ids: The cells of the matrix.
        width: Columns of the terminal.
    """
    runs = [registry.find_run(run_id) for run_id in run_ids]
    if not any(registry.evaluations([run.uuid]) for run in runs):
        return Text("no run of this matrix has an evaluation", style="yellow")
    table, _ = comparison_table(build_comparison(registry, runs), width)
    again = f"a5ctl compare --group {runs[0].group}" if runs[0].group else "a5ctl compare"
    note = selection_note(runs)
    notes = [plain(note, style="yellow")] if note else []
    return Group(table, *notes, plain(f"  {again}", style="cyan"))


def _figures(registry: Registry, evaluations: Sequence[EvaluationRecord]) -> RenderableType:
    if not evaluations:
        return Text("nothing was evaluated", style="yellow")
    grid = Table.grid(padding=(0, 2))
    for evaluation in (*evaluations[:1], *evaluations[1:][-1:]):
        grid.add_row(
            f"step {evaluation.step}",
            Text(percent(evaluation.accuracy), style="bold"),
            interval(evaluation.interval),
            f"unclosed {percent(evaluation.unclosed / max(1, evaluation.n))}",
            f"lenient {percent(evaluation.accuracy_by_grader['lenient'])}",
        )
    return grid


def _change(registry: Registry, evaluations: Sequence[EvaluationRecord]) -> Text | None:
    if len(evaluations) < 2 or evaluations[-1].protocol.get("n") != 1:
        return None
    first, last = evaluations[0], evaluations[-1]
    result = compare_paired(
        registry.right_by_problem(first.uuid, first.grader),
        registry.right_by_problem(last.uuid, last.grader),
    )
    low, high = result.interval
    return Text(
        f"change {points(result.difference)} points [{points(low)}, {points(high)}], "
        f"p {p_value(result.p)}: {result.only_b} problems gained, {result.only_a} lost"
    )


def _effort(registry: Registry, run: RunRecord) -> Text:
    parts = []
    tokens = registry.metric_summaries([run.uuid]).get(run.uuid, {}).get("tokens_total")
    if tokens is not None:
        parts.append(f"{compact(tokens.last)} training tokens in {tokens.last_step} steps")
    if run.started is not None and run.ended is not None:
        parts.append(duration(run.ended - run.started))
    return plain("  ".join(parts), style="dim")


def _next_commands(run: RunRecord) -> Text:
    commands = [
        (f"a5ctl diagnose {run.id}", "why the wrong ones are wrong"),
        ("a5ctl compare", "against the other runs"),
        (f"a5ctl show {run.id}", "everything that was recorded"),
    ]
    text = Text("next:")
    for command, purpose in commands:
        text.append("\n  ").append_text(plain(command, style="cyan")).append(
            f"  {purpose}", style="dim"
        )
    return text
