"""The unit of data: one word problem with its ground truth and, for training, a worked solution."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem.

    Attributes:
        id: Stable within its data set, for example `gsm8k-test-00012`.
        question: The question as a person would ask it.
        truth: The ground truth as text, for example `18` or `\\frac{1}{2}`.
        reasoning: A worked solution without the final answer; None when the data has none.
        prompt: The whole prompt when the data file brings its own; None means 'render a template'.
        target: The whole training response when the data file brings its own; None means
            'build it from reasoning and truth with the prompt template'.
        template: Name of the generator's template (synthetic data), else None.
        steps: Number of arithmetic steps of the solution where it is known, else None.
        difficulty: Those steps plus the sentences whose number does not matter, else None.
    """

    id: str
    question: str
    truth: str
    reasoning: str | None = None
    prompt: str | None = None
    target: str | None = None
    template: str | None = None
    steps: int | None = None
    difficulty: int | None = None
