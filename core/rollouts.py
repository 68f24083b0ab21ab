"""The policy's own responses while it learns: what was asked, what came, and how it was graded."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.data.problem import Problem
from core.engines.base import FinishReason
from core.evaluation import GradedResponse
from core.responses.grade import GraderName


@dataclass(frozen=True, slots=True)
class Rollout:
    """One sampled response.

    Attributes:
        response: Text, the engine's own token ids (stop tokens and EOS included), and verdicts.
        prompt_ids: The prompt in tokens, as the engine read it.
        engine_logprobs: Log-probability of each sampled id in nats as the engine computed it, at
            the rollout temperature; as many as the response has ids.
        grader: Decides what is right while the policy learns.
    """

    response: GradedResponse
    prompt_ids: tuple[int, ...]
    engine_logprobs: tuple[float, ...]
    grader: GraderName

    @property
    def right(self) -> bool:
        """The binary outcome."""
        return self.response.verdicts[self.grader].right

    @property
    def formatted(self) -> bool:
        """The response keeps the grader's format rule."""
        return self.response.verdicts[self.grader].formatted

    @property
    def truncated(self) -> bool:
        """The token cap has cut it."""
        return self.response.finish is FinishReason.LENGTH


@dataclass(frozen=True, slots=True)
class RolloutBatch:
    """What was sampled with one state of the policy.

    Attributes:
        number: Of the batch, from 0.
        first_step: The update that first learns from it; the policy had `first_step - 1` updates.
        problems: What was asked, in order.
        per_question: Responses to each of them (the group size G).
        rollouts: Grouped by problem: those of problem i are [i * G, (i + 1) * G).
        generate_seconds: Wall time of the sampling.
        grade_seconds: Wall time of the grading.
        sync_seconds: Wall time of copying the weights into the engine.
    """

    number: int
    first_step: int
    problems: tuple[Problem, ...]
    per_question: int
    rollouts: tuple[Rollout, ...]
    generate_seconds: float = 0.0
    grade_seconds: float = 0.0
    sync_seconds: float = 0.0

    def groups(self) -> list[Sequence[Rollout]]:
        """The rollouts of each problem."""
        size = self.per_question
        return [self.rollouts[i : i + size] for i in range(0, len(self.rollouts), size)]
