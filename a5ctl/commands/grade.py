"""`a5ctl grade`: responses that another tool generated, graded and taken apart."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, NoReturn

import typer

from a5ctl.options import HomeOption, JsonOption, QuietOption, RegistryOption

if TYPE_CHECKING:
    from a5ctl.tables.diagnosis import Diagnosis
    from a5ctl.tables.dumps import DumpFile
    from core.dump_evaluation import DumpSettings
    from core.evaluation import EvaluationResult
    from core.responses.names import FailureClass

_PANEL = "Recording"


def grade(
    file: Annotated[Path, typer.Argument(help="JSON lines, one response each; - reads stdin.")],
    grader: Annotated[
        str,
        typer.Option(
            help="Judge by r1_zero, strict, lenient, diagnostic, question_only or multiple_choice."
        ),
    ] = "r1_zero",
    step: Annotated[
        int | None,
        typer.Option(help="Which step, where lines name one; the last one when not given."),
    ] = None,
    class_: Annotated[
        str | None, typer.Option("--class", metavar="CLASS", help="Only this failure class.")
    ] = None,
    examples: Annotated[
        int | None,
        typer.Option(min=0, help="Responses to show of each class; 3 with --class, else 0."),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Also show format by math, flags and lengths.")
    ] = False,
    restore_stop: Annotated[
        bool,
        typer.Option(
            "--restore-stop",
            help="The tool cut the stop string </answer> off: put it back where an answer is left "
            "open and the length cap was not hit.",
        ),
    ] = False,
    prompt: Annotated[
        str | None,
        typer.Option(
            help="Template that the tool used, by name or path, where the file holds bare "
            "questions; tells copied placeholders."
        ),
    ] = None,
    tokenizer: Annotated[
        str,
        typer.Option(help="Counts lengths: builtin, a tokenizer.json, or a folder with one."),
    ] = "builtin",
    record: Annotated[
        bool,
        typer.Option("--record", help="Keep it as a run of kind eval.", rich_help_panel=_PANEL),
    ] = False,
    name: Annotated[
        str | None, typer.Option(help="Name of the run.", rich_help_panel=_PANEL)
    ] = None,
    model: Annotated[
        str, typer.Option(help="What generated the responses.", rich_help_panel=_PANEL)
    ] = "unknown",
    group: Annotated[
        str | None, typer.Option(help="Runs that belong together.", rich_help_panel=_PANEL)
    ] = None,
    quiet: QuietOption = False,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Grade responses that another tool generated, and say why the wrong ones are wrong.

    Each line holds a question (or prompt), a response and the truth; the spellings of TRL, verl
    and lm-evaluation-harness are understood, and so is what a5ctl export responses writes. A
    reason of ending (finish_reason) is used where there is one; without it, a response that has no
    complete answer is of the class unknown_stop.

    Examples:

        a5ctl grade responses.jsonl

        a5ctl grade responses.jsonl --restore-stop --record --name trl-sft
    """
    from a5ctl.options import parse_failure_class, parse_grader
    from a5ctl.tables.dumps import diagnose_dump
    from core.dump_evaluation import DumpSettings
    from core.prompts.template import load_prompt

    chosen = parse_grader(grader)
    failure = parse_failure_class(class_)
    assert chosen is not None
    if (name or group or model != "unknown") and not record:
        _refuse("--name, --model and --group belong to --record; without it nothing is kept")
    settings = DumpSettings(
        name="stdin" if str(file) == "-" else file.name,
        grader=chosen,
        template=None if prompt is None else load_prompt(prompt),
        tokenizer=tokenizer,
        restore_stop=restore_stop,
    )
    dump, results = _grade(file, settings, quiet=quiet or json_)
    diagnosis = diagnose_dump(dump, settings, results, step, recorded=record)
    run = None
    if record:
        labels = {"name": name, "model": model, "group": group}
        run = _record(dump, settings, results, labels, home, registry)
    if json_:
        _print_json(diagnosis, results, run, failure, 3 if examples is None else examples)
        return
    shown = examples if examples is not None else 0 if failure is None else 3
    _show(diagnosis, results, run, failure, shown, full)


def _grade(
    file: Path, settings: "DumpSettings", *, quiet: bool
) -> "tuple[DumpFile, list[EvaluationResult]]":
    import hashlib

    from a5ctl.progress import Stop, progress
    from a5ctl.tables.dumps import DumpFile
    from core.data.dumps import read_dump
    from core.dump_evaluation import grade_dump
    from core.given_files import bounded_lines

    digest, size = hashlib.sha256(), 0

    def hashed(source: IO[bytes]) -> Iterator[bytes]:
        nonlocal size
        for line in bounded_lines(source):
            digest.update(line)
            size += len(line)
            yield line

    told = progress(f"grading {settings.name}", "bytes", stop=Stop.NOTHING, quiet=quiet)
    with _opened(file) as source, told as report:
        total = file.stat().st_size if file.is_file() else 0

        def show(done: int) -> None:
            if total:
                report(size, total)

        place = "standard input" if str(file) == "-" else str(file)
        results = grade_dump(read_dump(hashed(source), place), settings, show)
    return DumpFile(str(file), digest.hexdigest(), size), results


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    import sys

    if str(file) == "-":
        yield sys.stdin.buffer
        return
    if file.is_dir():
        _refuse(f"{file} is a folder; name a file of JSON lines in it")
    try:
        with file.open("rb") as source:
            yield source
    except OSError as error:
        _refuse(f"file {file} cannot be read: {error.strerror or error}")


def _record(
    dump: "DumpFile",
    settings: "DumpSettings",
    results: "list[EvaluationResult]",
    labels: dict[str, str | None],
    home: Path | None,
    registry: str | None,
) -> str:
    """Keep the evaluations as a run; returns its id."""
    import sys

    from a5ctl.options import open_workspace_and_registry
    from a5ctl.tables.dumps import dump_config
    from core.dump_recording import DumpOrigin, record_dump
    from core.provenance import collect_provenance

    workspace, store = open_workspace_and_registry(home, registry, create=True)
    origin = DumpOrigin(
        config=dump_config(settings),
        model=labels["model"] or "unknown",
        name=labels["name"],
        group=labels["group"],
        provenance={
            **collect_provenance(sys.argv).to_json(),
            "dump": {"file": dump.argument, "sha256": dump.sha256, "bytes": dump.bytes},
        },
    )
    return record_dump(store, workspace, settings, results, origin)


def _print_json(
    diagnosis: "Diagnosis",
    results: "list[EvaluationResult]",
    run: str | None,
    failure: "FailureClass | None",
    examples: int,
) -> None:
    from a5ctl.console import print_json
    from a5ctl.tables.diagnosis_view import classes_of, diagnosis_json

    document = diagnosis_json(diagnosis, classes_of(diagnosis, failure), examples)
    steps = [result.step for result in results]
    print_json({**document, "run": run, "file": diagnosis.run.id, "steps": steps})


def _show(
    diagnosis: "Diagnosis",
    results: "list[EvaluationResult]",
    run: str | None,
    failure: "FailureClass | None",
    examples: int,
    full: bool,
) -> None:
    from a5ctl.console import out, plain
    from a5ctl.tables.diagnosis_view import print_diagnosis
    from a5ctl.tables.dumps import steps_of

    console = out()
    print_diagnosis(console, diagnosis, failure, examples=examples, full=full)
    if len(results) > 1:
        note = f"the file holds {len(results)} steps: {steps_of(results)}; --step chooses"
        console.print(plain(note, style="dim"))
    if run is not None:
        console.print(plain(f"recorded as {run}; look again with: a5ctl diagnose {run}"))


def _refuse(message: str) -> NoReturn:
    from core.errors import UserError

    raise UserError(message)
