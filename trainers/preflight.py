"""Checks before the first update: what would make the run meaningless is found before it costs.

docs/preflight.md describes every row of the table below.
"""

from trainers import preflight_data as data
from trainers import preflight_targets as targets
from trainers import preflight_tokens as tokens
from trainers.observer import Severity
from trainers.preflight_alignment import alignment, decode_example
from trainers.preflight_memory import memory
from trainers.preflight_report import (
    Check,
    DecodedExample,
    Finding,
    PreflightInput,
    PreflightReport,
    run_checks,
)

__all__ = [
    "CHECKS",
    "Check",
    "DecodedExample",
    "Finding",
    "PreflightInput",
    "PreflightReport",
    "decode_example",
    "run_preflight",
]

_WARNING, _ERROR = Severity.WARNING, Severity.ERROR


def run_preflight(given: PreflightInput) -> PreflightReport:
    """Run every check of supervised fine-tuning."""
    return run_checks(given, CHECKS, decode_example(given.examples[0], given.tokenizer))


CHECKS: tuple[Check[PreflightInput], ...] = (
    Check(
        "supervision", "something besides EOS to learn in every example", _ERROR, tokens.supervised
    ),
    Check("alignment", "labels of the collated tensors against the examples", _ERROR, alignment),
    Check("eos", "a supervised EOS at the end of whole examples", _ERROR, tokens.eos),
    Check("endings", "end marks that targets bring along", _WARNING, tokens.endings),
    Check("vocabulary", "token ids against the rows of the embedding", _ERROR, tokens.vocabulary),
    Check("stop", "stop strings in targets and in their tokens", _WARNING, targets.stop),
    Check("closing", "think blocks, answer tags and boxes left open", _WARNING, targets.closing),
    Check("targets", "what the run's own grader says of the targets", _WARNING, targets.graded),
    Check("repetition", "targets that begin with their prompt", _WARNING, targets.prompt_in_target),
    Check("boundary", "tokens where prompt and target meet", _WARNING, tokens.boundary),
    Check("length", "examples longer than the maximum", _WARNING, tokens.length),
    Check("cap", "targets against the response cap of the evaluation", _WARNING, tokens.cap),
    Check("prompt", "the form of the prompts", _WARNING, targets.prompt),
    Check("answers", "one answer in a large share of the targets", _WARNING, data.answers),
    Check("questions", "copies, and questions with several answers", _WARNING, data.questions),
    Check("leakage", "training questions that the evaluation asks", _WARNING, data.leakage),
    Check("memory", "the estimated peak against what is available", _WARNING, memory),
)
