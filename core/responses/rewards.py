"""The course's two reward functions under the course's own names and signatures."""

from core.engines.base import FinishReason
from core.responses.grade import GradingItem, Verdict, grade_responses
from core.responses.names import GraderName

GroundTruth = str | int | float | list[str]


def r1_zero_reward_fn(response: str, ground_truth: GroundTruth) -> dict[str, float]:
    """Reward of a response in the think/answer format.

    Args:
        response: What followed the prompt `... Assistant: <think>`, stop string included.
        ground_truth: The truth; any member of a list counts.

    Returns:
        `reward`, `format_reward` and `answer_reward`, each 0.0 or 1.0; `reward` is 1.0 only for a
        formatted and right response.
    """
    return _reward(response, ground_truth, GraderName.R1_ZERO)


def question_only_reward_fn(response: str, ground_truth: GroundTruth) -> dict[str, float]:
    """Reward of a response to the bare question, whose answer stands in `\\boxed{}`.

    Arguments and result are those of `r1_zero_reward_fn`.
    """
    return _reward(response, ground_truth, GraderName.QUESTION_ONLY)


def _reward(response: str, ground_truth: GroundTruth, grader: GraderName) -> dict[str, float]:
    truths = ground_truth if isinstance(ground_truth, list) else [ground_truth]
    items = [GradingItem(response, str(truth), FinishReason.UNKNOWN) for truth in truths]
    verdicts = [graded.verdicts[grader] for graded in grade_responses(items)]
    return as_reward(verdicts)


def as_reward(verdicts: list[Verdict]) -> dict[str, float]:
    """The course's dictionary for the verdicts of one response against its possible truths."""
    right = float(any(verdict.right for verdict in verdicts))
    formatted = float(any(verdict.formatted for verdict in verdicts))
    return {"reward": right, "format_reward": formatted, "answer_reward": right}
