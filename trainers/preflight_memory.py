"""Preflight's check of memory, the same before every method."""

from trainers.memory import describe_memory
from trainers.preflight_report import PreflightInput, Result, doubtful, fine


def memory(given: PreflightInput) -> Result:
    """The estimated peak fits into what is available."""
    plan = given.memory
    if plan is None:
        return fine("no estimate was made")
    return fine(describe_memory(plan)) if plan.fits else doubtful(describe_memory(plan))
