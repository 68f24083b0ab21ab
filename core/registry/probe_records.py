"""What the registry hands out about probes."""

from collections.abc import Mapping
from dataclasses import dataclass

from core.probing.names import ProbeKind
from core.registry.records import StoredGrade


@dataclass(frozen=True, slots=True)
class ProbedResponse:
    """What became of one response.

    Attributes:
        sample: Number of the sample for this problem, from 0.
        finish: Why the new text ended (`core.engines.base.FinishReason`).
        tokens: Length of the new text in tokens; for a closed one, of what the model added.
        closed: Its last answer is closed.
        same_prefix: A response that was made again begins with the stored one; None where the
            stored one was continued.
        appended: What was put behind the stored text before the model went on.
        grades: Verdict on the whole text by grader name.
        text: The whole text that was graded; None where it was not read.
    """

    problem_id: str
    sample: int
    finish: str
    tokens: int
    closed: bool
    same_prefix: bool | None
    appended: str
    grades: Mapping[str, StoredGrade]
    text: str | None = None

    @property
    def diverged(self) -> bool:
        """It was made again and took another course than the stored one."""
        return self.same_prefix is False


@dataclass(frozen=True, slots=True)
class ProbeRecord:
    """One probe of one evaluation.

    Attributes:
        cap: New cap on the whole response; for closing, on what the model adds.
        time: When it ended, in seconds since the epoch.
        eligible: Responses that the probe applies to.
        seconds: Wall time of the generation; caps that were probed together share it.
        responses: The probed ones, in the order asked; fewer than eligible under a limit.
    """

    kind: ProbeKind
    cap: int
    time: float
    eligible: int
    engine: str
    engine_version: str
    dtype: str
    seconds: float
    responses: tuple[ProbedResponse, ...]
