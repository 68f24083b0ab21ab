"""What the registry hands out about rollouts."""

from dataclasses import dataclass

from core.registry.records import StoredGrade, StoredResponse


@dataclass(frozen=True, slots=True)
class RolloutBatchRecord:
    """One rollout batch in short.

    Attributes:
        number: Of the batch, from 0.
        step: The update that first learned from it.
        time: When it was recorded, in seconds since the epoch.
        per_question: Responses to one question.
        grader: Decided what is right while the policy learned.
        n: Rollouts.
        generate_seconds: Wall time of the sampling.
        grade_seconds: Wall time of the grading.
        sync_seconds: Wall time of copying the weights into the engine.
    """

    uuid: str
    segment: int
    number: int
    step: int
    time: float
    per_question: int
    grader: str
    n: int
    generate_seconds: float
    grade_seconds: float
    sync_seconds: float


@dataclass(frozen=True, slots=True)
class StoredRollout:
    """One rollout.

    Attributes:
        number: Of its batch, from 0.
        step: The update that first learned from the batch.
        grader: Decided what is right while the policy learned.
        response: With its problem and grades; samples of a problem count up within a batch.
        token_ids: Of the response; None where only its text is kept.
        logprobs: Log-probability of each of them, in nats; None likewise.
    """

    number: int
    step: int
    grader: str
    response: StoredResponse
    token_ids: tuple[int, ...] | None
    logprobs: tuple[float, ...] | None

    @property
    def grade(self) -> StoredGrade:
        """What the grader says that decided."""
        return self.response.grades[self.grader]
