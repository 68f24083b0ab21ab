"""`a5ctl compare`: which run is best, by how much, and is the difference real?"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from a5ctl.options import HomeOption, JsonOption, RegistryOption

if TYPE_CHECKING:
    from a5ctl.tables.comparison import Comparison
    from core.registry.records import RunRecord
    from core.registry.store import Registry

_ROWS = 50


def compare(
    runs: Annotated[
        list[str] | None, typer.Argument(help="Runs to compare; all when none are named.")
    ] = None,
    group: Annotated[str | None, typer.Option(help="Only runs of this group.")] = None,
    kind: Annotated[
        str | None, typer.Option(help="Only runs of this kind: sft, ei, grpo, dpo or eval.")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="Test every run against this one, on the same problems.")
    ] = None,
    lineage: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="Follow the line of this run from its first weights: what did each stage add?",
        ),
    ] = None,
    grader: Annotated[
        str | None,
        typer.Option(
            help="Accuracy under r1_zero, strict, lenient, diagnostic, question_only or "
            "multiple_choice."
        ),
    ] = None,
    each: Annotated[
        bool, typer.Option("--each", help="One row per run, seeds are not merged.")
    ] = False,
    same: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SETTING",
            help="Runs may differ in this and still be one setting, such as dpo.pairs where each "
            "seed learned from its own; may be repeated.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Test even where the protocols differ.")
    ] = False,
    archived: Annotated[
        bool, typer.Option("--archived", help="With the runs in the archive.")
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            min=0, help="At most so many rows, best first; 0 for all, 50 in tables if not given."
        ),
    ] = None,
    criteria: Annotated[
        Path | None,
        typer.Option(
            help="Judge the runs by a plan (TOML, see docs/criteria.md); before they start, "
            "this notes the plan and its time."
        ),
    ] = None,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Compare runs by their last evaluation; only the settings that differ are columns.

    Examples:

        a5ctl compare

        a5ctl compare --group matrix-k3f9 --baseline eval-1024-m2x7

        a5ctl compare --lineage grpo-x2m1

        a5ctl compare --criteria plan.toml
    """
    from a5ctl.collector import collector_paused
    from a5ctl.console import print_json
    from a5ctl.options import open_workspace_and_registry, parse_grader
    from a5ctl.tables.comparison import build_comparison
    from a5ctl.tables.comparison_view import best_cells, comparison_json

    if criteria is not None:
        named = [runs, group, kind, baseline, grader, each, same, archived, lineage]
        _refuse_choices(limit is not None or any(value not in (None, [], False) for value in named))
        return _judge(criteria, home, registry, force=force, json_=json_)
    chosen_grader = parse_grader(grader)
    if lineage is not None:
        others = [runs, group, kind, baseline, each, same, archived]
        given = limit is not None or any(value not in (None, [], False) for value in others)
        _refuse_other_runs(given)
        return _follow(lineage, chosen_grader, home, registry, force=force, json_=json_)
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
        )
    if json_:
        print_json(comparison_json(best_cells(comparison, limit or None)))
    else:
        _show(comparison, _ROWS if limit is None else limit or None)
    return None


def _refuse_choices(given: bool) -> None:
    from core.errors import UserError

    if given:
        raise UserError(
            "--criteria takes runs, baseline and grader from the plan; leave out RUNS, --group, "
            "--kind, --baseline, --grader, --each, --same, --archived, --limit and --lineage"
        )


def _refuse_other_runs(given: bool) -> None:
    from core.errors import UserError

    if given:
        raise UserError(
            "--lineage RUN compares the runs of one line; leave out RUNS, --group, --kind, "
            "--baseline, --each, --same, --archived and --limit"
        )


def _follow(
    run: str,
    grader: str | None,
    home: Path | None,
    registry: str | None,
    *,
    force: bool,
    json_: bool,
) -> None:
    from a5ctl.console import out, plain, print_json
    from a5ctl.options import open_workspace_and_registry
    from a5ctl.tables.stages import compare_line
    from a5ctl.tables.stages_view import stage_notes, stages_json, stages_table

    _, store = open_workspace_and_registry(home, registry)
    line = compare_line(store, store.find_run(run), grader, force=force)
    if json_:
        print_json(stages_json(line))
        return
    console = out()
    for warning in line.warnings:
        console.print(plain(f"! {warning}", style="yellow"))
    console.print(stages_table(line, console), crop=False)
    for note in stage_notes(line):
        console.print(plain(note, style="dim"))


def _judge(
    path: Path, home: Path | None, registry: str | None, *, force: bool, json_: bool
) -> None:
    from a5ctl.console import out, plain, print_json
    from a5ctl.options import open_workspace_and_registry
    from a5ctl.tables.criteria import check_plan
    from a5ctl.tables.criteria_view import plan_json, plan_lines
    from core.criteria.plan import load_plan

    loaded = load_plan(path)
    workspace, store = open_workspace_and_registry(
        home, registry, create=not _exists(home, registry)
    )
    versions = store.note_plan(loaded.plan.name, loaded.hash, loaded.text, workspace)
    report = check_plan(store, loaded, versions, force=force)
    if json_:
        print_json(plan_json(report))
        return
    console = out()
    for line, style in plan_lines(report):
        console.print(plain(line, style=style))


def _exists(home: Path | None, registry: str | None) -> bool:
    """A plan that is known is judged without writing; so nothing is made where a registry is."""
    from core.registry.database import Database
    from core.workspace import open_workspace

    given = home or os.environ.get("A5CTL_HOME")
    if given and not Path(given).expanduser().exists():
        return False
    return Database(open_workspace(home, create=False).registry_url(registry)).exists()


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


def _show(comparison: "Comparison", limit: int | None) -> None:
    from a5ctl.console import out, plain
    from a5ctl.tables.comparison_view import best_cells, comparison_table

    console, shown = out(), best_cells(comparison, limit)
    table, hidden = comparison_table(shown, console.width)
    for warning in comparison.warnings:
        console.print(plain(f"! {warning}", style="yellow"))
    console.print(table)
    if rest := len(comparison.cells) - len(shown.cells):
        more = f"{rest:,} more rows are not shown; a5ctl compare --limit 0 shows all"
        console.print(plain(more, style="dim"))
    for note in _notes(shown, hidden):
        console.print(plain(note, style="dim"))


def _notes(comparison: "Comparison", hidden: tuple[str, ...]) -> list[str]:
    grader = f"{comparison.grader} grader"
    if comparison.grader is None:
        grader = "each run's own grader (--grader takes one for all)"
    notes = [f"accuracy: {grader}, last evaluation of each run"]
    if any(len(cell.entries) > 1 for cell in comparison.cells):
        notes.append("rows with several seeds show mean ± standard error; --each lists every run")
    if comparison.same:
        notes.append(f"taken as one setting, whatever it is: {', '.join(comparison.same)}")
    notes += _sample_notes(comparison)
    notes += _detectable(comparison)
    if comparison.baseline is not None:
        notes += _test_notes(comparison)
    if hidden:
        notes.append(f"hidden at this width: {', '.join(hidden)} (a wider terminal, or --json)")
    return notes


def _sample_notes(comparison: "Comparison") -> list[str]:
    from a5ctl.format import percent

    notes = []
    for entry in (entry for cell in comparison.cells for entry in cell.entries):
        if entry.sampled is not None:
            chances = [f"pass@{k} {percent(p)}" for k, p in entry.sampled.pass_at_k.items()]
            notes.append(
                f"{entry.run.id}: {entry.sampled.samples} samples per problem, "
                f"{', '.join(chances)}, majority vote {percent(entry.sampled.majority)}"
            )
    return notes


def _method(comparison: "Comparison") -> str:
    found = {p.comparison.method.value for p in comparison.paired.values() if p.comparison}
    return " or ".join(sorted(found)) or "exact McNemar"


def _detectable(comparison: "Comparison") -> list[str]:
    found = comparison.detectable
    if found is None or found.difference == 0:
        return []
    which = "this discordance" if comparison.paired else "the discordance of the best two runs"
    return [
        f"with {found.problems:,} problems and {which}, differences under "
        f"{100 * found.difference:.1f} points cannot be told from noise (80% power)"
    ]


def _test_notes(comparison: "Comparison") -> list[str]:
    from a5ctl.tables.comparison_view import setting_line

    notes = [
        f"diff: points against {comparison.baseline} on the same problems, with its 95% interval "
        "by a bootstrap over problems; +/-: problems gained and lost; p: "
        f"{_method(comparison)}, Holm-corrected; one seed speaks of these checkpoints only"
    ]
    notes += [setting_line(test) for test in comparison.settings]
    notes += [
        f"{name} is not tested: {test.refused}"
        for name, test in comparison.paired.items()
        if test.comparison is None
    ]
    return notes
