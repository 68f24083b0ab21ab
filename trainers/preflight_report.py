"""What preflight looks at, and what it hands back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from core.config.schema import RunConfig
from core.data.problem import Problem
from core.prompts.template import PromptTemplate
from trainers.memory import MemoryPlan
from trainers.observer import Severity
from trainers.tokenization import Example

_SAMPLE = 256

Given = TypeVar("Given")
"""What the checks of a method look at."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        check: Short name of the check.
        severity: `error` stops the run.
        message: One sentence with the figures.
    """

    check: str
    severity: Severity
    message: str


@dataclass(frozen=True, slots=True)
class DecodedExample:
    """One training example as the loss sees it, for a person to read.

    Attributes:
        context: Decoded tokens that are not supervised.
        supervised: Decoded supervised labels, in order.
    """

    context: str
    supervised: str


@dataclass(frozen=True, slots=True)
class PreflightReport:
    """All findings, in the order of the checks, and one example."""

    findings: tuple[Finding, ...]
    example: DecodedExample | None

    @property
    def fatal(self) -> tuple[Finding, ...]:
        """Findings that must stop the run."""
        return tuple(f for f in self.findings if f.severity is Severity.ERROR)


@dataclass(frozen=True)
class PreflightInput:
    """What the checks look at.

    Attributes:
        problems: Training problems, in the order of `examples`.
        examples: The same, tokenized.
        max_context: Positions the model was built for; None when it does not say.
        vocabulary: Rows of the embedding; None when not known.
        evaluated: Problems the run is evaluated on.
        memory: What was decided about memory; None when nothing was.
    """

    config: RunConfig
    problems: Sequence[Problem]
    examples: Sequence[Example]
    template: PromptTemplate
    tokenizer: Any
    max_context: int | None
    vocabulary: int | None = None
    evaluated: Sequence[Problem] = ()
    memory: MemoryPlan | None = None

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """The text every example teaches, without EOS."""
        return tuple(self.template.target(problem) or "" for problem in self.problems)

    @cached_property
    def sample(self) -> tuple[int, ...]:
        """Indices spread evenly over the examples, for checks that cost too much on all of them."""
        step = max(1, -(-len(self.examples) // _SAMPLE))
        return tuple(range(0, len(self.examples), step))


@dataclass(frozen=True, slots=True)
class Result:
    """Severity and sentence of one check."""

    severity: Severity
    message: str


@dataclass(frozen=True, slots=True)
class Check(Generic[Given]):
    """One row of the table of checks.

    Attributes:
        name: Short name; events are called `preflight.<name>`.
        looks_at: What it looks at, for people.
        worst: The severest it can say; `error` stops the run.
        look: Does it.
    """

    name: str
    looks_at: str
    worst: Severity
    look: Callable[[Given], Result]


def run_checks(
    given: Given, checks: Sequence[Check[Given]], example: DecodedExample
) -> PreflightReport:
    """Run every check; no check raises for what it finds.

    Args:
        given: What they look at.
        checks: Which ones, in the order of the report.
        example: What a person can read beside the findings.
    """
    findings = []
    for check in checks:
        result = check.look(given)
        findings.append(Finding(check.name, result.severity, result.message))
    return PreflightReport(tuple(findings), example)


def fine(message: str) -> Result:
    """Nothing is wrong."""
    return Result(Severity.INFO, message)


def doubtful(message: str) -> Result:
    """It may be wrong, and may be meant."""
    return Result(Severity.WARNING, message)


def fatal(message: str) -> Result:
    """The run would be meaningless."""
    return Result(Severity.ERROR, message)
