"""Which responses of an evaluation a probe applies to, and what it does not apply to."""

from collections.abc import Sequence

from core.engines.base import FinishReason
from core.errors import UserError
from core.probing.closing import STOP
from core.probing.names import ProbeKind
from core.prompts.template import PromptTemplate
from core.registry.records import EvaluationRecord, RunRecord, StoredResponse
from core.responses.names import GraderName


def eligible(kind: ProbeKind, responses: Sequence[StoredResponse]) -> list[StoredResponse]:
    """The capped responses, or those without a closed answer, in the order asked."""
    if kind is ProbeKind.MAX_TOKENS:
        return [r for r in responses if r.finish == FinishReason.LENGTH]
    return [r for r in responses if not r.closed]


def check_probeable(
    run: RunRecord, evaluation: EvaluationRecord, responses: Sequence[StoredResponse]
) -> None:
    """Refuse what has no weights or no texts.

    Raises:
        UserError: the responses came from a file, or are not stored.
    """
    if "dump" in run.config:
        raise UserError(
            f"the responses of run {run.id} came from a file, and the weights that wrote them are "
            "not here; make them again where those are, then a5ctl grade the new file"
        )
    if not responses:
        raise UserError(
            f"the responses of run {run.id} at step {evaluation.step} are not in this registry; "
            "evaluate again with a5ctl run eval"
        )


def check_grader(run: RunRecord, responses: Sequence[StoredResponse], grader: GraderName) -> None:
    """Refuse a grader that never judged the responses.

    Raises:
        UserError: names the command that lets it judge them.
    """
    if any(grader not in response.grades for response in responses):
        raise UserError(
            f"the responses of run {run.id} were never graded by {grader}; "
            f"a5ctl regrade {run.id} --grader {grader} adds it"
        )


def check_caps(caps: Sequence[int], evaluation: EvaluationRecord) -> None:
    """Refuse caps that are no larger than the evaluation's own.

    Raises:
        UserError: names the cap, and the one it must exceed.
    """
    own = evaluation.protocol["max_tokens"]
    for cap in caps:
        if cap <= own:
            raise UserError(
                f"--max-tokens {cap} is not larger than the cap of {own} that the evaluation had; "
                f"give more than {own}, such as {2 * own},{4 * own}"
            )


def check_closable(evaluation: EvaluationRecord) -> None:
    """Refuse to close answers that are not written between tags.

    Raises:
        UserError: the prompt asks for another form of answer.
    """
    protocol = evaluation.protocol
    template = PromptTemplate(protocol["prompt_name"], protocol["prompt_text"])
    if not template.opens_think and STOP not in protocol["stop"]:
        raise UserError(
            f"--close closes answers between <answer> tags, and the prompt {template.name} asks "
            "for none; --max-tokens applies to any prompt"
        )


def applicable(
    asked: Sequence[ProbeKind],
    run: RunRecord,
    evaluation: EvaluationRecord,
    responses: Sequence[StoredResponse],
) -> dict[ProbeKind, list[StoredResponse]]:
    """What each probe that was asked for would look at; those without a response are left out.

    Raises:
        UserError: nothing is left; says how many responses there are, and which probe applies.
    """
    found = {kind: eligible(kind, responses) for kind in ProbeKind}
    wanted = {kind: found[kind] for kind in asked if found[kind]}
    if wanted:
        return wanted
    where = f"run {run.id} at step {evaluation.step}"
    nothing = " and ".join(nothing_for(kind, responses, evaluation) for kind in asked)
    if len(asked) == len(ProbeKind):
        raise UserError(f"{where}: {nothing}; there is nothing to probe")
    (other,) = set(ProbeKind) - set(asked)
    raise UserError(f"{where}: {nothing}; {_instead(other, len(found[other]), run)}")


def nothing_for(
    kind: ProbeKind, responses: Sequence[StoredResponse], evaluation: EvaluationRecord
) -> str:
    """Why a probe has nothing to look at."""
    if kind is ProbeKind.CLOSE:
        return f"all {len(responses)} responses close their answer"
    cap = evaluation.protocol["max_tokens"]
    return f"0 of {len(responses)} responses were stopped by the cap of {cap} tokens"


def _instead(other: ProbeKind, count: int, run: RunRecord) -> str:
    option = "--close" if other is ProbeKind.CLOSE else "--max-tokens"
    if not count:
        return f"{option} has nothing to look at either"
    what = "have no closed answer" if other is ProbeKind.CLOSE else "were stopped by the cap"
    value = "" if other is ProbeKind.CLOSE else " CAP"
    return f"{count} {what}: a5ctl probe {run.id} {option}{value}"
