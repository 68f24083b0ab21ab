"""Checks before a run that learns from its own responses: prompts, grader, and room for them."""

from core.data.filters import targets_graded_right
from trainers import preflight_data as data
from trainers import preflight_targets as targets
from trainers.defaults import required
from trainers.memory import describe_memory
from trainers.observer import Severity
from trainers.preflight_report import (
    Check,
    Finding,
    PreflightInput,
    PreflightReport,
    Result,
    doubtful,
    fatal,
    fine,
)

_SAMPLE = 256


def preflight_rollouts(given: PreflightInput) -> PreflightReport:
    """Run every check that needs no target; no check raises for what it finds.

    Args:
        given: `problems` are the questions that will be asked; `examples` are rows as long as a
            prompt and its response can get.
    """
    findings = []
    for check in ROLLOUT_CHECKS:
        result = check.look(given)
        findings.append(Finding(check.name, result.severity, result.message))
    return PreflightReport(tuple(findings), None)


def _grader(given: PreflightInput) -> Result:
    """The training grader can call something right."""
    grader = given.config.rollout.grader
    solved = [p for p in given.problems if p.target is not None or p.reasoning is not None]
    tried = solved[:: max(1, len(solved) // _SAMPLE)]
    if not tried:
        return fine(f"the grader {grader} decides what is right; there are no solutions to try it")
    share = sum(targets_graded_right(tried, given.template, grader)) / len(tried)
    if share == 0.0:
        return doubtful(
            f"the grader {grader} refuses every worked solution of the training data, so it may "
            "call no response right; choose another with --train-grader, or another --prompt"
        )
    return fine(
        f"the grader {grader} decides what is right; it accepts {share:.1%} of {len(tried)} worked "
        "solutions"
    )


def _eos(given: PreflightInput) -> Result:
    """There is an EOS to end what is learned from."""
    tokenizer = given.tokenizer
    if tokenizer.eos_token_id is None:
        return fatal("the tokenizer has no EOS token; set one in its config")
    if not given.config.train.supervise_eos:
        return doubtful(
            "EOS is not trained: the model may forget to stop where no stop string ends it"
        )
    return fine(f"responses are learned with {tokenizer.eos_token} behind their stop string")


def _room(given: PreflightInput) -> Result:
    """Prompt and response fit into the model, and into a training example."""
    cap = required(given.config.rollout.max_tokens, "rollout.max_tokens")
    longest = max(example.prompt_length for example in given.examples) + cap
    text = f"a prompt and a response of {cap:,} tokens take {longest:,} tokens at most"
    if given.max_context is not None and longest > given.max_context:
        return doubtful(
            f"{text}, and the model was built for {given.max_context:,}; lower rollout.max_tokens"
        )
    limit = given.config.train.max_length
    if longest > limit:
        return doubtful(
            f"{text}; responses that make an example longer than {limit:,} are not learned from, "
            "unless --max-length is raised"
        )
    return fine(text)


def _memory(given: PreflightInput) -> Result:
    if given.memory is None:
        return fine("no estimate was made")
    text = describe_memory(given.memory)
    return fine(text) if given.memory.fits else doubtful(text)


_WARNING, _ERROR = Severity.WARNING, Severity.ERROR

ROLLOUT_CHECKS = (
    Check("grader", "the training grader against worked solutions", _WARNING, _grader),
    Check("eos", "an EOS to end what is learned from", _ERROR, _eos),
    Check("room", "prompts and responses against what fits", _WARNING, _room),
    Check("prompt", "the form of the prompts", _WARNING, targets.prompt),
    Check("answers", "one answer to a large share of the questions", _WARNING, data.answers),
    Check("questions", "copies, and questions with several answers", _WARNING, data.questions),
    Check("leakage", "training questions that the evaluation asks", _WARNING, data.leakage),
    Check("memory", "the estimated peak against what is available", _WARNING, _memory),
)
