"""The causes that a diagnosis names, and what is said about each that was found."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from core.responses.names import GraderName
from core.responses.wrong_math import Earlier


class CauseName(StrEnum):
    """What went wrong; causes behind equally many failures are named in this order."""

    TEMPLATE_COPY = "template_copy"
    NEVER_STOPS = "never_stops"
    NEVER_CLOSES = "never_closes"
    LENGTH_CAP = "length_cap"
    SAYS_NOTHING = "says_nothing"
    NO_TAGS = "no_tags"
    WRONG_SEPARATOR = "wrong_separator"
    SENTENCE_ANSWER = "sentence_answer"
    REFUSED_NUMBERS = "refused_numbers"
    CONSTANT_ANSWER = "constant_answer"
    WRONG_MATH = "wrong_math"
    FALLS_WITH_SIZE = "falls_with_size"


MEANINGS: Mapping[CauseName, str] = {
    CauseName.TEMPLATE_COPY: "it copies the prompt's placeholders",
    CauseName.NEVER_STOPS: "it does not end its responses",
    CauseName.NEVER_CLOSES: "it leaves its answer or its reasoning open",
    CauseName.LENGTH_CAP: "the length cap cuts responses that were still working",
    CauseName.SAYS_NOTHING: "it ends before it has said anything",
    CauseName.NO_TAGS: "it answers in another format than the grader asks for",
    CauseName.WRONG_SEPARATOR: "not one space stands between </think> and <answer>",
    CauseName.SENTENCE_ANSWER: "its answers are sentences instead of numbers",
    CauseName.REFUSED_NUMBERS: "its numbers are right, in a form that the grader refuses",
    CauseName.CONSTANT_ANSWER: "it gives one answer whatever the question",
    CauseName.WRONG_MATH: "its format is right and its arithmetic is not",
    CauseName.FALLS_WITH_SIZE: "a run with less training data does far better",
}
"""Each cause in a few words about the model."""


@dataclass(frozen=True, slots=True)
class FoundCause:
    """One cause that holds.

    Attributes:
        count: Responses that it explains.
        share: The same, of all responses.
        failures: Wrong responses among them.
        evidence: One sentence with the numbers behind it; it may quote model output.
    """

    cause: CauseName
    count: int
    share: float
    failures: int
    evidence: str


@dataclass(frozen=True, slots=True)
class Sibling:
    """A run that was trained on fewer problems and did far better.

    Attributes:
        run: Its id.
        size: Its training problems.
        here: Training problems of the run that is diagnosed; infinite means all there are.
        accuracy: Its accuracy.
        lost: Problems that only it gets right.
        difference: How far the diagnosed run lies below it; positive.
        p: Paired p-value, corrected for the number of siblings that were tried.
        note: What else differs between the two; empty where nothing does.
    """

    run: str
    size: float
    here: float
    accuracy: float
    lost: int
    difference: float
    p: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class CauseContext:
    """What is known beside the responses.

    Attributes:
        grader: Decides what is right and which format is asked for.
        cap: Length cap in tokens; None where it is not known.
        from_tool: Another tool generated them: it may have cut stop strings off, and its reasons
            of ending may be missing.
        earlier: How the weights did when the run began; None where nobody measured it.
        sibling: The smaller sibling that did best; None without one that did far better.
    """

    grader: GraderName = GraderName.R1_ZERO
    cap: int | None = None
    from_tool: bool = False
    earlier: Earlier | None = None
    sibling: Sibling | None = None


@dataclass(frozen=True, slots=True)
class Findings:
    """What the search for causes came to.

    Attributes:
        causes: Those that hold, the one behind most failures first; empty for a working model.
        stop_cut_off: A tool cut the stop string off, so that every answer looks open; answers were
            judged as if it stood there.
        boxes: Most responses box their answer, whatever the grader asks for.
    """

    causes: tuple[FoundCause, ...] = ()
    stop_cut_off: bool = False
    boxes: bool = False
