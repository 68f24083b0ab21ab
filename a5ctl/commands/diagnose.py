"""`a5ctl diagnose`: did a run fail at the math or at the format, and what do its responses say?"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from a5ctl.options import HomeOption, JsonOption, RegistryOption

if TYPE_CHECKING:
    from collections.abc import Mapping

    from a5ctl.tables.diagnosis import Diagnosis
    from a5ctl.tables.flips import Flips
    from core.registry.records import RunRecord
    from core.registry.store import Registry
    from core.responses.names import FailureClass, GraderName
    from core.workspace import Workspace

_SHOWN = 3
_FLIPS_SHOWN = 2


def diagnose(
    run: Annotated[
        str | None,
        typer.Argument(help="Id, unique prefix, or name of the run; only --problem does without."),
    ] = None,
    step: Annotated[
        int | None, typer.Option(help="Which evaluation; the last one when not given.")
    ] = None,
    class_: Annotated[
        str | None, typer.Option("--class", metavar="CLASS", help="Only this failure class.")
    ] = None,
    examples: Annotated[
        int | None,
        typer.Option(
            min=0, help="Responses to show of each class; 3 with --class, 2 with --against, else 0."
        ),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Also show format by math, flags and lengths.")
    ] = False,
    against: Annotated[
        str | None,
        typer.Option(metavar="RUN[:STEP]", help="What flipped since this evaluation."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="With --against: test even where protocols differ.")
    ] = False,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="step|problem",
            help="How the classes moved over the steps, or which problems are never solved or "
            "flip.",
        ),
    ] = None,
    problem: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Every stored response to this problem, of every run."),
    ] = None,
    grader: Annotated[
        str | None,
        typer.Option(
            help="Judge by r1_zero, strict, lenient, diagnostic, question_only or multiple_choice."
        ),
    ] = None,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Say why the wrong responses of a run are wrong, and show them.

    Examples:

        a5ctl diagnose sft-256-k3f9

        a5ctl diagnose sft-256-k3f9 --full --examples 2

        a5ctl diagnose sft-256-k3f9 --class unclosed_answer --examples 10

        a5ctl diagnose sft-256-k3f9 --against sft-256-k3f9:0

        a5ctl diagnose sft-256-k3f9 --by step

        a5ctl diagnose --problem gsm8k-test-00012
    """
    from a5ctl.options import open_workspace_and_registry, parse_failure_class, parse_grader
    from a5ctl.progress import Stop, progress

    chosen_grader, chosen_class = parse_grader(grader), parse_failure_class(class_)
    if force and against is None:
        _refuse("--force belongs to --against RUN; without it nothing is tested")
    if full and (against, by, problem, class_) != (None, None, None, None):
        _refuse(
            "--full belongs to the whole diagnosis; leave --class, --against, --by and --problem"
        )
    shown = None if by is None else examples
    picked = {"--step": step, "--class": class_, "--against": against, "--examples": shown}
    _check_view(by, problem, picked)
    workspace, store = open_workspace_and_registry(home, registry)
    of_each = _SHOWN if examples is None else examples
    if problem is not None:
        record = None if run is None else store.find_run(run)
        _show_problem(store, record, problem, chosen_grader, of_each, json_)
        return
    if run is None:
        _refuse("name a run, or one problem of every run: a5ctl diagnose --problem ID")
    record = store.find_run(run)
    if by is not None:
        _show_course(store, record, by, chosen_grader, json_)
        return
    flips = None
    with progress("reading responses", stop=Stop.UNCHANGED, as_json=json_):
        diagnosis = _diagnosis(workspace, store, record, step, chosen_grader, alone=against is None)
        if against is not None:
            before = _other(workspace, store, against, diagnosis.grader)
            flips = _find_flips(before, diagnosis, grader is not None, force)
    if json_:
        _print_json(diagnosis, flips, chosen_class, of_each)
    else:
        _show(diagnosis, flips, chosen_class, examples, full)


def _check_view(by: str | None, problem: str | None, others: "Mapping[str, object]") -> None:
    """One view at a time; those over all evaluations take no option that picks from one."""
    if by not in (None, "step", "problem"):
        _refuse(f"--by {by!r} is unknown; choose step or problem")
    if by is not None and problem is not None:
        _refuse("--by and --problem are two views; give only one of them")
    view = "--problem" if problem is not None else "--by" if by is not None else None
    picked = [name for name, value in others.items() if value is not None]
    if view is not None and picked:
        _refuse(f"{picked[0]} looks at one evaluation, {view} at all of them; give only one")


def _show_problem(
    store: "Registry",
    run: "RunRecord | None",
    problem: str,
    grader: "GraderName | None",
    examples: int,
    json_: bool,
) -> None:
    from a5ctl.console import out, print_json
    from a5ctl.tables.answers import find_answers
    from a5ctl.tables.answers_view import answers_json, print_answers

    questions = find_answers(store, problem, run, grader)
    if json_:
        print_json(answers_json(questions))
    else:
        print_answers(out(), questions, examples)


def _show_course(
    store: "Registry", run: "RunRecord", by: str, grader: "GraderName | None", json_: bool
) -> None:
    from a5ctl.console import out, print_json
    from a5ctl.tables.steps import find_track, step_mix

    track = find_track(run, store.evaluations([run.uuid]), grader)
    if by == "step":
        from a5ctl.tables import steps_view

        mix = step_mix(store, track)
        print_json(steps_view.steps_json(mix)) if json_ else steps_view.print_steps(out(), mix)
        return
    from a5ctl.tables import problems_view
    from a5ctl.tables.problems import survey_problems

    survey = survey_problems(store, track)
    if json_:
        print_json(problems_view.problems_json(survey))
    else:
        problems_view.print_problems(out(), survey)


def _diagnosis(
    workspace: "Workspace",
    store: "Registry",
    run: "RunRecord",
    step: int | None,
    grader: "GraderName | None",
    *,
    alone: bool = False,
) -> "Diagnosis":
    from a5ctl.tables.alarmed import alarm_lines
    from a5ctl.tables.cause_context import cause_context
    from a5ctl.tables.diagnosis import commands_for, diagnose_evaluation, further_advice
    from a5ctl.tables.steps import choose_evaluation
    from core.responses.names import GraderName

    evaluations = store.evaluations([run.uuid])
    evaluation = choose_evaluation(run, evaluations, step)
    used = grader or GraderName(evaluation.grader)
    commands = commands_for(
        run,
        evaluation,
        used,
        last=evaluation.step == max(e.step for e in evaluations),
        config=_config_file(workspace, run),
    )
    return diagnose_evaluation(
        run,
        evaluation,
        store.responses(evaluation.uuid),
        used,
        commands,
        further_advice(run, evaluation, evaluations) if alone else (),
        probes=store.probes_of(evaluation.uuid),
        context=cause_context(store, run, evaluation, evaluations, used),
        alarms=alarm_lines(store, run, evaluation.step),
    )


def _other(
    workspace: "Workspace", store: "Registry", reference: str, grader: "GraderName"
) -> "Diagnosis":
    """The evaluation that `RUN`, `RUN:last` or `RUN:STEP` means."""
    name, _, tail = reference.rpartition(":")
    step = int(tail) if tail.isdecimal() and tail.isascii() else None
    has_step = bool(name) and (tail == "last" or step is not None)
    run = store.find_run(name if has_step else reference)
    return _diagnosis(workspace, store, run, step if has_step else None, grader)


def _find_flips(before: "Diagnosis", after: "Diagnosis", same_grader: bool, force: bool) -> "Flips":
    from a5ctl.tables.flips import find_flips

    return find_flips(before, after, same_grader=same_grader, force=force)


def _show(
    diagnosis: "Diagnosis",
    flips: "Flips | None",
    failure: "FailureClass | None",
    examples: int | None,
    full: bool,
) -> None:
    from a5ctl.console import out
    from a5ctl.tables.diagnosis_view import print_advice, print_diagnosis
    from a5ctl.tables.flips_view import print_flips

    console = out()
    if flips is not None:
        wanted = None if failure is None else [failure]
        print_flips(console, flips, wanted, _FLIPS_SHOWN if examples is None else examples)
        advice = diagnosis.explanation.advice
        print_advice(console, [item for item in advice if "--against" not in item.command])
        return
    if examples is None:
        examples = 0 if failure is None else _SHOWN
    print_diagnosis(console, diagnosis, failure, examples=examples, full=full)


def _print_json(
    diagnosis: "Diagnosis", flips: "Flips | None", failure: "FailureClass | None", examples: int
) -> None:
    from a5ctl.console import print_json
    from a5ctl.tables.diagnosis_view import classes_of, diagnosis_json
    from a5ctl.tables.flips_view import flips_json
    from a5ctl.tables.probing_view import findings_json

    document = diagnosis_json(diagnosis, classes_of(diagnosis, failure), examples)
    document["probes"] = [findings_json(found) for found in diagnosis.probes]
    if flips is not None:
        wanted = None if failure is None else [failure]
        document["against"] = flips_json(flips, wanted, examples)
    print_json(document)


def _config_file(workspace: "Workspace", run: "RunRecord") -> Path | None:
    """The run's config file, relative to the current folder where it lies below it."""
    path = workspace.run_folder(run.id) / "config.toml"
    if not path.is_file():
        return None
    relative = os.path.relpath(path) if path.drive == Path.cwd().drive else str(path)
    return path if relative.startswith("..") else Path(relative)


def _refuse(message: str) -> NoReturn:
    from core.errors import UserError

    raise UserError(message)
