"""`a5ctl regrade`: judge stored responses by the graders of today, without generating."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from a5ctl.options import HomeOption, JsonOption, QuietOption, RegistryOption

if TYPE_CHECKING:
    from core.registry.records import RunRecord
    from core.registry.store import Registry
    from core.regrading import RegradedEvaluation
    from core.responses.names import GraderName


def regrade(
    run: Annotated[str, typer.Argument(help="Id, unique prefix, or name of the run.")],
    grader: Annotated[
        str,
        typer.Option(
            help="all, or one of r1_zero, strict, lenient, diagnostic, question_only, "
            "multiple_choice.",
        ),
    ] = "all",
    examples: Annotated[int, typer.Option(min=0, help="Flipped responses to show.")] = 3,
    quiet: QuietOption = False,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Grade the stored responses of a run again where a grader has a new version.

    Old grades stay, under their version; tables show the newest. What is graded already is left
    alone, so that a second call changes nothing.

    Examples:

        a5ctl regrade sft-256-k3f9

        a5ctl regrade sft-256-k3f9 --grader strict
    """
    from a5ctl.console import out, print_json
    from a5ctl.only_here import say_only_in_the_registry
    from a5ctl.options import open_workspace_and_registry, parse_grader
    from a5ctl.tables.regrading import summarize_regrading
    from a5ctl.tables.regrading_view import print_regrading, regrading_json
    from core.registry.run_folders import journal_folder
    from core.responses.names import GraderName

    one = None if grader == "all" else parse_grader(grader)
    graders = list(GraderName) if one is None else [one]
    workspace, store = open_workspace_and_registry(home, registry)
    record = store.find_run(run)
    folder = journal_folder(workspace, record)
    summary = summarize_regrading(
        record, graders, _work(store, record, folder, graders, quiet=quiet, as_json=json_)
    )
    if json_:
        print_json(regrading_json(summary, examples))
    else:
        print_regrading(out(), summary, examples)
    if folder is None and summary.responses:
        say_only_in_the_registry([record.id])


def _work(
    store: "Registry",
    run: "RunRecord",
    folder: Path | None,
    graders: "list[GraderName]",
    *,
    quiet: bool,
    as_json: bool,
) -> "list[RegradedEvaluation]":
    from a5ctl.progress import Stop, progress, tracked
    from core.regrading import regrade as regrade_run

    total = len(store.evaluations([run.uuid]))
    what = f"grading the responses of {run.id}"
    told = progress(what, "evaluations", stop=Stop.KEEPS, quiet=quiet, as_json=as_json)
    with told as report:
        return list(tracked(regrade_run(store, run, folder, graders), total, report))
