"""`a5ctl probe`: ask again what the cap cut off, or what was never closed."""

from typing import TYPE_CHECKING, Annotated

import typer

from a5ctl.options import HomeOption, JsonOption, QuietOption, RegistryOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.probing.names import ProbeKind
    from core.registry.probe_records import ProbeRecord
    from core.registry.records import EvaluationRecord, RunRecord, StoredResponse
    from core.registry.store import Registry
    from core.responses.names import GraderName
    from core.workspace import Workspace
    from trainers.probe_setup import ProbePlan


def probe(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN[:STEP]", help="The run; its last evaluation, or that of a step."
        ),
    ],
    max_tokens: Annotated[
        str | None,
        typer.Option(
            metavar="CAP[,CAP]", help="Make capped responses again with these larger caps."
        ),
    ] = None,
    close: Annotated[
        bool,
        typer.Option("--close", help="Let responses without a complete answer finish one."),
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Probe only the first N responses of each kind.")
    ] = None,
    examples: Annotated[
        int, typer.Option(min=0, help="Responses to show of each kind; right ones if there are.")
    ] = 2,
    grader: Annotated[
        str | None,
        typer.Option(help="Judge by r1_zero, strict, lenient, diagnostic or question_only."),
    ] = None,
    engine: Annotated[
        str | None, typer.Option(help="auto, vllm or hf; the evaluation's own when not given.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu or cuda; the run's own when not given.")
    ] = None,
    quiet: QuietOption = False,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Find out what the length cap took away, and whether unclosed answers were known.

    With --max-tokens, the responses that the cap stopped are made again by the same weights under
    larger caps. With --close, " </think> <answer>" is put behind each response without a complete
    answer, and the model finishes it; inside an open answer it just goes on. What is found is
    stored, takes the place of an earlier probe of the same kind, and counts in a5ctl diagnose.

    Examples:

        a5ctl probe sft-256-k3f9 --max-tokens 512,1024

        a5ctl probe sft-256-k3f9:48 --close --max-tokens 512
    """
    from a5ctl.console import out, print_json
    from a5ctl.only_here import say_only_in_the_registry
    from a5ctl.options import open_workspace_and_registry, parse_grader
    from a5ctl.tables.probing import report_probes
    from a5ctl.tables.probing_view import print_probes, probes_json
    from a5ctl.tables.steps import choose_evaluation
    from core.registry.run_folders import journal_folder
    from core.responses.names import GraderName

    caps = _parse_caps(max_tokens)
    _check_choice("engine", engine, ("auto", "vllm", "hf"))
    _check_choice("device", device, ("auto", "cpu", "cuda"))
    chosen = parse_grader(grader)
    workspace, store = open_workspace_and_registry(home, registry)
    name, step = _split(run)
    record = store.find_run(name)
    evaluation = choose_evaluation(record, store.evaluations([record.uuid]), step)
    responses = store.responses(evaluation.uuid)
    kinds = _kinds(caps, close, record, responses)
    used = chosen or GraderName(evaluation.grader)
    plan, notes = _plan(record, evaluation, responses, kinds, caps, used, limit, engine, device)
    probes = _work(plan, workspace, store, quiet=quiet, as_json=json_)
    report = report_probes(record, evaluation, responses, probes, used, notes)
    if json_:
        print_json(probes_json(report))
    else:
        print_probes(out(), report, responses, examples)
    if journal_folder(workspace, record) is None:
        say_only_in_the_registry([record.id])


def _parse_caps(text: str | None) -> tuple[int, ...]:
    from core.errors import UserError

    if text is None:
        return ()
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and part.isascii() and 0 < int(part) < 10**7 for part in parts):
        raise UserError(f"--max-tokens {text!r}: give whole numbers, such as 2048,4096")
    return tuple(sorted({int(part) for part in parts}))


def _check_choice(option: str, value: str | None, allowed: tuple[str, ...]) -> None:
    from core.errors import UserError

    if value is not None and value not in allowed:
        first, last = ", ".join(allowed[:-1]), allowed[-1]
        raise UserError(f"{option} {value!r} is unknown; choose {first} or {last}")


def _split(reference: str) -> tuple[str, int | None]:
    """Run and step of `RUN`, `RUN:last` or `RUN:STEP`."""
    name, _, tail = reference.rpartition(":")
    if name and tail == "last":
        return name, None
    if name and tail.isdecimal() and tail.isascii():
        return name, int(tail)
    return reference, None


def _kinds(
    caps: tuple[int, ...], close: bool, run: "RunRecord", responses: "Sequence[StoredResponse]"
) -> "list[ProbeKind]":
    from core.errors import UserError
    from core.probing.names import ProbeKind
    from core.probing.targets import eligible

    kinds = [ProbeKind.MAX_TOKENS] * bool(caps) + [ProbeKind.CLOSE] * close
    if not kinds:
        capped, unclosed = (len(eligible(kind, responses)) for kind in ProbeKind)
        raise UserError(
            f"say what to ask: --max-tokens CAP for the {capped} capped responses of run {run.id}, "
            f"--close for its {unclosed} unclosed ones, or both"
        )
    return kinds


def _plan(
    run: "RunRecord",
    evaluation: "EvaluationRecord",
    responses: "Sequence[StoredResponse]",
    kinds: "list[ProbeKind]",
    caps: tuple[int, ...],
    grader: "GraderName",
    limit: int | None,
    engine: str | None,
    device: str | None,
) -> "tuple[ProbePlan, list[str]]":
    """Check everything that needs no weights, before torch is imported."""
    from core.probing import targets
    from core.probing.names import ProbeKind

    targets.check_probeable(run, evaluation, responses)
    targets.check_grader(run, responses, grader)
    targets.check_caps(caps, evaluation)
    if ProbeKind.CLOSE in kinds:
        targets.check_closable(evaluation)
    wanted = targets.applicable(kinds, run, evaluation, responses)
    missing = [kind for kind in kinds if kind not in wanted]
    notes = [targets.nothing_for(kind, responses, evaluation) for kind in missing]
    from a5ctl.process import prepare_process

    prepare_process()
    from trainers.probe_setup import ProbePlan

    plan = ProbePlan(
        run, evaluation, responses, wanted, caps, limit, grader, engine=engine, device=device
    )
    return plan, notes


def _work(
    plan: "ProbePlan", workspace: "Workspace", store: "Registry", *, quiet: bool, as_json: bool
) -> "list[ProbeRecord]":
    from a5ctl.console import err, out, plain
    from a5ctl.live import ProbeDisplay
    from core.engines.base import EngineError
    from trainers.interrupt import Interrupts
    from trainers.probe import probe as ask

    display = ProbeDisplay(err() if as_json else out(), quiet=quiet)
    try:
        with Interrupts().installed(), display:
            return ask(plan, workspace, store, display)
    except EngineError as error:
        err().print(plain("error: ", style="bold red").append_text(plain(str(error))))
        raise typer.Exit(1) from error
