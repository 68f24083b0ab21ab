"""A file of responses as a diagnosis, and what to try next with it."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from a5ctl.tables.diagnosis import Diagnosis, diagnose_evaluation
from core.dump_evaluation import DumpSettings
from core.engines.base import FinishReason
from core.errors import UserError
from core.evaluation import EvaluationResult
from core.registry.preview import preview_evaluation, preview_responses, preview_run
from core.responses.causes import CauseContext
from core.responses.names import GraderName
from core.responses.verdict import Advice, Commands


@dataclass(frozen=True, slots=True)
class DumpFile:
    """What was read.

    Attributes:
        argument: The file as it was typed.
        sha256: Hash of its bytes.
        bytes: How many there were.
    """

    argument: str
    sha256: str
    bytes: int


def diagnose_dump(
    dump: DumpFile,
    settings: DumpSettings,
    results: Sequence[EvaluationResult],
    step: int | None,
    *,
    recorded: bool,
) -> Diagnosis:
    """Take the responses of one step apart.

    Args:
        dump: The file.
        settings: How it was read and graded.
        results: Its evaluations by step.
        step: Which one; the last when not given.
        recorded: It is kept as a run, so that nobody needs to be told how.

    Raises:
        UserError: the file has no responses of this step.
    """
    result = choose_step(results, step, settings.name)
    run = preview_run(settings.name, dump_config(settings))
    command = _command(dump, settings, "" if step is None else f" --step {step}")
    return diagnose_evaluation(
        run,
        preview_evaluation(result),
        preview_responses(result),
        settings.grader,
        _commands(settings, command),
        tuple(_advice(result, settings, command, recorded=recorded)),
        context=CauseContext(settings.grader, from_tool=True),
    )


def choose_step(
    results: Sequence[EvaluationResult], step: int | None, name: str
) -> EvaluationResult:
    """The evaluation of a step; the last when none is given.

    Raises:
        UserError: there is none; the message names the steps there are.
    """
    found = [r for r in results if step is None or r.step == step]
    if not found:
        raise UserError(f"{name} has no responses of step {step}; it has {steps_of(results)}")
    return found[-1]


def steps_of(results: Sequence[EvaluationResult], most: int = 12) -> str:
    """The steps of a file, the middle of a long list left out."""
    steps = [str(result.step) for result in results]
    if len(steps) > most:
        steps = [*steps[: most // 2], "...", *steps[-most // 2 :]]
    return ", ".join(steps)


def dump_config(settings: DumpSettings) -> dict[str, object]:
    """What a recorded file has in place of a run's configuration."""
    template = settings.template
    dump = {
        "file": settings.name,
        "tokenizer": settings.tokenizer,
        "prompt": None if template is None else template.name,
        "restore_stop": settings.restore_stop,
    }
    return {"kind": "eval", "dump": dump}


def _advice(
    result: EvaluationResult, settings: DumpSettings, command: str, *, recorded: bool
) -> list[Advice]:
    wrong = [row for row in result.responses if row.failures[settings.grader] is not None]
    found = []
    left_open = sum(
        row.finish is not FinishReason.LENGTH and not row.closed and "<answer>" in row.text
        for row in wrong
    )
    if not settings.restore_stop and left_open and 2 * left_open >= len(wrong):
        text = f"{left_open} stop inside an open answer: many tools cut the stop string off"
        found.append(Advice(f"{text}; put it back", f"{command} --restore-stop"))
    boxed = sum("\\boxed" in row.text for row in result.responses)
    if settings.grader is not GraderName.QUESTION_ONLY and 2 * boxed >= len(result.responses):
        boxes = shlex.join(["--grader", GraderName.QUESTION_ONLY])
        text = f"{boxed} of {len(result.responses)} box their answer; read the boxes"
        found.append(Advice(text, f"{_without_grader(command)} {boxes}"))
    if not recorded:
        found.append(Advice("keep this as a run, to compare it with others", f"{command} --record"))
    return found


def _commands(settings: DumpSettings, command: str) -> Commands:
    plain = _without_grader(command)
    restore = None if settings.restore_stop else f"{command} --restore-stop"
    return Commands(command, None, None, graded=plain, restore=restore)


def _command(dump: DumpFile, settings: DumpSettings, step: str) -> str:
    command = f"a5ctl grade {shlex.quote(dump.argument)}"
    if settings.template is not None:
        command += f" --prompt {shlex.quote(settings.template.name)}"
    command += " --restore-stop" if settings.restore_stop else ""
    if settings.tokenizer != "builtin":
        command += f" --tokenizer {shlex.quote(settings.tokenizer)}"
    grader = "" if settings.grader is GraderName.R1_ZERO else f" --grader {settings.grader}"
    return command + step + grader


def _without_grader(command: str) -> str:
    return command.partition(" --grader ")[0]
