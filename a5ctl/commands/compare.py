"""`a5ctl compare`: which run is best, by how much, and is the difference real?"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from a5ctl.commands import compare_options as options
from a5ctl.options import HomeOption, JsonOption, RegistryOption

if TYPE_CHECKING:
    from a5ctl.tables.comparison import Comparison
    from a5ctl.tables.formats import TableFormat
    from core.registry.records import RunRecord
    from core.registry.store import Registry

_ROWS = 50
_OTHERS = (
    "RUNS, --group, --kind, --baseline, --each, --same, --archived, --limit, --by, --metric, "
    "--at, --spark and --follow-lineage"
)


def compare(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN", help="Runs to compare; all when none are named."),
    ] = None,
    group: options.Group = None,
    kind: options.Kind = None,
    by: options.By = None,
    metric: options.Metric = "accuracy",
    at: options.At = "last",
    spark: options.Spark = None,
    follow_lineage: options.FollowLineage = False,
    baseline: options.Baseline = None,
    lineage: options.Lineage = None,
    grader: options.Grader = None,
    each: options.Each = False,
    same: options.Same = None,
    force: options.Force = False,
    archived: options.Archived = False,
    limit: options.Limit = None,
    criteria: options.Criteria = None,
    format_: options.Format = None,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Compare runs by their last evaluation; only the settings that differ are columns.

    Examples:

        a5ctl compare

        a5ctl compare --by size,supervise --spark loss

        a5ctl compare --group matrix-k3f9 --baseline eval-1024-m2x7

        a5ctl compare --metric unclosed --at best --format md

        a5ctl compare --at budget --follow-lineage

        a5ctl compare --lineage grpo-x2m1

        a5ctl compare --criteria criteria.toml
    """
    from a5ctl.collector import collector_paused
    from a5ctl.commands.compare_otherwise import follow_line, judge_by_plan
    from a5ctl.options import open_workspace_and_registry, parse_grader
    from a5ctl.tables.comparison import View, build_comparison
    from a5ctl.tables.formats import TableFormat
    from a5ctl.tables.moments import parse_at

    form = _format(format_, json_=json_)
    plain_view = (by, metric, at, spark, follow_lineage) == (None, "accuracy", "last", None, False)
    named = [runs, group, kind, baseline, each, same, archived, not plain_view]
    given = limit is not None or any(value not in (None, [], False) for value in named)
    if criteria is not None or lineage is not None:
        _refuse(given, criteria, lineage, grader, form)
    if criteria is not None:
        return judge_by_plan(criteria, home, registry, force=force, json_=form is TableFormat.JSON)
    chosen_grader = parse_grader(grader)
    if lineage is not None:
        as_json = form is TableFormat.JSON
        return follow_line(lineage, chosen_grader, home, registry, force=force, json_=as_json)
    if by is not None and (baseline is not None or each):
        _refuse_rows()
    view = View(metric, parse_at(at), by, spark, follow_lineage)
    _, store = open_workspace_and_registry(home, registry)
    reference = store.find_run(baseline) if baseline is not None else None
    with collector_paused():
        chosen = _chosen(store, runs or [], group, kind, archived=archived)
        if reference is not None and all(run.uuid != reference.uuid for run in chosen):
            chosen.append(reference)
        comparison = build_comparison(
            store,
            chosen,
            grader=chosen_grader,
            baseline=reference,
            merge_seeds=not each and reference is None,
            force=force,
            same=same or (),
            view=view,
        )
        rows = _ROWS if limit is None and form not in (TableFormat.JSON, TableFormat.CSV) else limit
        _print(store, comparison, rows or None, form)
    return None


def _format(name: str | None, *, json_: bool) -> "TableFormat":
    from a5ctl.tables.formats import TableFormat
    from core.errors import UserError

    if name is None:
        return TableFormat.JSON if json_ else TableFormat.TABLE
    if name not in set(TableFormat):
        raise UserError(f"--format {name!r} is unknown; choose {', '.join(TableFormat)}")
    if json_ and name != TableFormat.JSON:
        raise UserError(f"--json and --format {name} exclude each other; leave out one of them")
    return TableFormat(name)


def _refuse(
    given: bool, criteria: Path | None, lineage: str | None, grader: str | None, form: "TableFormat"
) -> None:
    from a5ctl.tables.formats import TableFormat
    from core.errors import UserError

    option = "--lineage" if criteria is None else "--criteria"
    if form not in (TableFormat.TABLE, TableFormat.JSON):
        raise UserError(f"{option} is printed as table or json; leave out --format {form}")
    if criteria is not None and (given or grader is not None or lineage is not None):
        raise UserError(
            "--criteria takes runs, baseline and grader from the plan; leave out "
            f"--grader, --lineage, {_OTHERS}"
        )
    if given:
        raise UserError(f"--lineage RUN compares the runs of one line; leave out {_OTHERS}")


def _refuse_rows() -> None:
    from core.errors import UserError

    raise UserError(
        "--by makes rows of several runs, --each and --baseline make one of each; leave out one "
        "(--criteria tests settings)"
    )


def _chosen(
    store: "Registry",
    names: list[str],
    group: str | None,
    kind: str | None,
    *,
    archived: bool,
) -> "list[RunRecord]":
    from a5ctl.options import meant_instead
    from core.errors import UserError

    if names:
        return list({run.uuid: run for run in map(store.find_run, names)}.values())
    found = store.runs(group=group, kind=kind, archived=archived)
    if not found:
        what = " ".join(part for part in (kind, f"of group {group}" if group else None) if part)
        near = meant_instead(store, kind=kind, group=group)
        raise UserError(
            f"there are no runs {what or 'in this registry'}"
            f"{near or '; start one with: a5ctl run sft --size 256'}"
        )
    return found


def _print(
    store: "Registry", comparison: "Comparison", limit: int | None, form: "TableFormat"
) -> None:
    from a5ctl.console import print_json, print_text
    from a5ctl.tables.comparison_view import best_cells
    from a5ctl.tables.formats import TableFormat

    shown = best_cells(comparison, limit)
    if form is not TableFormat.CSV and (comparison.view.spark or form is not TableFormat.JSON):
        shown = _with_curves(store, shown)
    if form is TableFormat.JSON:
        from a5ctl.tables.comparison_json import comparison_json

        print_json(comparison_json(shown))
    elif form is TableFormat.CSV:
        from a5ctl.tables.comparison_json import comparison_rows
        from a5ctl.tables.markup import csv_table

        _warn(comparison)
        print_text(csv_table(*comparison_rows(shown)))
    elif form is TableFormat.TABLE:
        _show(shown, len(comparison.cells))
    else:
        print_text(_marked_up(shown, len(comparison.cells), form))


def _with_curves(store: "Registry", comparison: "Comparison") -> "Comparison":
    """The curves of the rows that are shown; without those that are one point."""
    from a5ctl.tables.sparks import spark_curves
    from core.errors import UserError

    carried = {e.run.uuid: e.carried for e in comparison.entries if e.carried is not None}
    asked = comparison.view.spark
    name = asked or comparison.measure.name
    found = spark_curves(store, comparison.entries, name, comparison.grader, carried)
    if asked and not found:
        raise UserError(f"--spark {asked}: none of these runs has it; a5ctl show RUN lists metrics")
    if not asked and all(len(curve) < 2 for curve in found.values()):
        found = {}
    return replace(comparison, curves=found, view=replace(comparison.view, spark=name))


def _warn(comparison: "Comparison") -> None:
    from a5ctl.console import err, plain

    for warning in comparison.warnings:
        err().print(plain(f"! {warning}", style="yellow"), soft_wrap=True)


def _marked_up(comparison: "Comparison", rows: int, form: "TableFormat") -> str:
    from a5ctl.tables.comparison_notes import comparison_notes
    from a5ctl.tables.comparison_view import comparison_grid
    from a5ctl.tables.formats import TableFormat
    from a5ctl.tables.markup import html_table, latex, markdown

    writers = {
        TableFormat.MD: markdown,
        TableFormat.LATEX: latex,
        TableFormat.HTML: html_table,
    }
    if form is TableFormat.LATEX:  # whose fonts have no blocks
        comparison = replace(comparison, curves={})
    notes = [*_more(rows - len(comparison.cells)), *comparison_notes(comparison)]
    return writers[form](comparison_grid(comparison, notes))


def _more(rest: int) -> list[str]:
    from a5ctl.format import counted

    shown = "a5ctl compare --limit 0 shows all"
    return [f"{counted(rest, 'more row')} not shown; {shown}"] if rest else []


def _show(comparison: "Comparison", rows: int) -> None:
    from a5ctl.console import out, plain
    from a5ctl.tables.comparison_notes import comparison_notes
    from a5ctl.tables.comparison_view import comparison_table

    console = out()
    table, hidden = comparison_table(comparison, console.width)
    for warning in comparison.warnings:
        console.print(plain(f"! {warning}", style="yellow"))
    console.print(table)
    for note in (*_more(rows - len(comparison.cells)), *comparison_notes(comparison, hidden)):
        console.print(plain(note, style="dim"))
