"""Stopping arrays that were handed in."""

from a5ctl.cluster.batch import BatchError, BatchSystem
from a5ctl.cluster.ledger import Submission
from core.errors import UserError


def cancel(system: BatchSystem, submission: Submission) -> str:
    """Stop an array, and write down that somebody wanted it; what to say about it.

    Raises:
        UserError: the batch system cannot be asked.
    """
    submission.stop()
    try:
        system.cancel(submission.job)
    except BatchError as error:
        raise UserError(f"{error}; its jobs may go on") from error
    return (
        f"job {submission.job.job_id}: waiting cells are taken out of the queue, running ones save "
        "themselves"
    )
