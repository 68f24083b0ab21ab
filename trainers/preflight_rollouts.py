"""Checks before a run that learns from its own responses: can they end, fit, and be judged?"""

from collections.abc import Sequence

from core.data.choices import is_choice
from core.data.filters import targets_graded_right
from core.models import encode_prompt
from core.responses.names import GraderName
from trainers import preflight_data as data
from trainers import preflight_targets as targets
from trainers.defaults import required
from trainers.observer import Severity
from trainers.preflight_memory import memory
from trainers.preflight_report import (
    Check,
    DecodedExample,
    PreflightInput,
    PreflightReport,
    Result,
    doubtful,
    fatal,
    fine,
    run_checks,
)

_SAMPLE = 256
_NEARLY_ALL = 0.95


def run_rollout_preflight(
    given: PreflightInput, checks: Sequence[Check[PreflightInput]]
) -> PreflightReport:
    """Run checks that need no target.

    Args:
        given: `problems` are the questions that will be asked; `examples` are rows as long as a
            prompt and its response can get.
        checks: Which ones.
    """
    prompt = given.template.prompt(given.problems[0])
    return run_checks(given, checks, DecodedExample(prompt, ""))


def cap_of(given: PreflightInput) -> int:
    """Tokens that a response may take."""
    return required(given.config.rollout.max_tokens, "rollout.max_tokens")


def _stop(given: PreflightInput) -> Result:
    """The tokenizer can say the stop strings, and the cap leaves room for them."""
    rollout, cap = given.config.rollout, cap_of(given)
    if rollout.min_tokens >= cap:
        return doubtful(
            f"no response may end before {rollout.min_tokens} tokens and all are cut at {cap}; "
            "lower rollout.min_tokens, or raise --rollout-max-tokens"
        )
    stops = required(rollout.stop, "rollout.stop")
    for stop in stops:
        ids = encode_prompt(given.tokenizer, stop)
        if stop not in given.tokenizer.decode(ids):
            return fatal(
                f"the tokenizer gives the stop string {stop} back as something else, so no "
                "response can reach it; choose another rollout.stop"
            )
        if len(ids) > cap:
            return fatal(
                f"the stop string {stop} takes {len(ids)} tokens and a response has at most {cap}, "
                "so none can reach it; raise --rollout-max-tokens"
            )
    shown = f"{', '.join(stops)}, EOS" if stops else "EOS"
    return fine(f"responses end with {shown} or at {cap} tokens")


def _grader(given: PreflightInput) -> Result:
    """The grader of the rewards can judge every question, and accepts worked solutions."""
    grader = given.config.rollout.grader
    if grader is GraderName.MULTIPLE_CHOICE:
        other = next((p for p in given.problems if not is_choice(p)), None)
        if other is not None:
            return fatal(
                f"grader multiple_choice reads letters of options, and training problem {other.id} "
                "shows none; choose another --train-grader"
            )
    worked = [p for p in given.problems if given.template.target(p) is not None]
    sample = worked[:: max(1, -(-len(worked) // _SAMPLE))]
    if not sample:
        return fine(f"the {grader} grader rewards; there is no worked solution to try it on")
    share = sum(targets_graded_right(sample, given.template, grader)) / len(sample)
    text = (
        f"the {grader} grader rewards; it accepts {share:.1%} of {len(sample)} worked solutions "
        "looked at"
    )
    if share == 0:
        return fatal(
            f"{text}, so it may reward no answer at all; choose a --train-grader that fits the "
            f"prompt {given.template.name}"
        )
    return fine(text) if share >= _NEARLY_ALL else doubtful(f"{text}; look at the data's truths")


def _context(given: PreflightInput) -> Result:
    """Prompt and response fit into the model's context."""
    prompt, cap = max(example.prompt_length for example in given.examples), cap_of(given)
    text = f"prompts have up to {prompt} tokens and responses up to {cap}"
    if given.max_context is None:
        return fine(text)
    if prompt >= given.max_context:
        return fatal(
            f"the longest prompt has {prompt} tokens, and the model reads at most "
            f"{given.max_context}, response included; leave such problems out, or take a model "
            "with a longer context"
        )
    if prompt + cap > given.max_context:
        return doubtful(
            f"{text}, more than the model's {given.max_context} positions, so long prompts get a "
            "shorter cap; lower --rollout-max-tokens"
        )
    return fine(f"{text}, which fit into the model's {given.max_context} positions")


_WARNING, _ERROR = Severity.WARNING, Severity.ERROR

ROLLOUT_CHECKS: tuple[Check[PreflightInput], ...] = (
    Check("stop", "stop strings in the tokenizer and under the cap", _ERROR, _stop),
    Check("grader", "the training grader against worked solutions", _ERROR, _grader),
    Check("context", "prompts and the cap against the model's context", _ERROR, _context),
    Check("prompt", "the form of the prompts", _WARNING, targets.prompt),
    Check("answers", "one answer to a large share of the questions", _WARNING, data.answers),
    Check("questions", "copies, and questions with several answers", _WARNING, data.questions),
    Check("leakage", "training questions that the evaluation asks", _WARNING, data.leakage),
    Check("memory", "the estimated peak against what is available", _WARNING, memory),
)
