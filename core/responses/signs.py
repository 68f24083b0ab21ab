"""What the text of one response shows of how it failed: read once, judged in `causes`.

The failure classes name the first thing that is wrong. Here everything is looked at on its own,
because causes hold together: an answer can be a sentence and be left open.
"""

import re
import zlib
from dataclasses import dataclass
from enum import StrEnum

from core.responses.breakdown import OutcomeRow
from core.responses.equality import last_boxed
from core.responses.failures import is_sentence
from core.responses.names import FailureFlag, GraderName
from core.responses.number_words import number_in_words
from core.responses.numerals import find_numerals, number_of

_OPEN, _CLOSE, _THINK_CLOSE = "<answer>", "</answer>", "</think>"
_SPECIAL = re.compile(r"<\|[^|<>]{1,40}\|>|</?(?:s|pad|eos|think|answer)>|\[PAD\]")
_OTHER_FORMAT = re.compile(
    r"\\boxed\s*\{|####|\banswer\b\W{0,4}(?:is\b|=|:)?\W{0,6}\d", re.IGNORECASE
)
_PLACEHOLDER = re.compile(
    r"(?:(?:your|the|put|insert|write|final|numeric(?:al)?) )*"
    r"(?:answer|result|number|value|solution|working|reasoning|thoughts|thinking|reasoning process)"
    r"(?: goes)?(?: here)?"
)
"""What prompts write where an answer or its reasoning belongs, in lower case without marks."""
_PLAIN_WORD = re.compile(r"[^\W\d_]{2,}")
_LATEX = re.compile(r"\\(?:text|mathrm|mathbf)\{[^{}]*\}|\\[A-Za-z]+")

TAIL_CHARS = 600
"""How much of the end of a response is searched for repetition."""
_LEAST_TAIL = 200
LOOP_RATIO = 0.35
"""Share to which zlib compresses a tail that repeats itself. The solutions of GSM8K and complete
responses of the built-in model lie above 0.40 (99 of 100), loops that vary a little at 0.07 to
0.33; exact loops are flagged anyhow."""


class Asked(StrEnum):
    """What a grader reads an answer from."""

    TAGS = "tags"
    BOX = "box"
    NUMBER = "number"


class AnswerForm(StrEnum):
    """What an answer looks like, right or wrong."""

    BARE = "bare"
    SENTENCE = "sentence"
    """Prose or an equation around the number."""
    DRESSED = "dressed"
    """A number with a unit, a currency word or another word beside it, or one spelled out."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One response as the search for causes reads it.

    Attributes:
        outcome: Its class, flags and length under the grader that counts.
        text: What was generated.
        truth: The right answer.
        given: What the grader compared, else the last number; None where there is neither.
        problem: Which problem it answers.
    """

    outcome: OutcomeRow
    text: str
    truth: str
    given: str | None
    problem: str


@dataclass(frozen=True, slots=True)
class Signs:
    """What stands in a text.

    Attributes:
        complete: A finished answer in the form that is asked for.
        goes_on: More follows after the first such answer.
        opened: An answer is begun, finished or not.
        tail: What follows the opening of an unfinished answer.
        answer: Content of the last answer, finished or not; None without one.
        form: What that looks like; None without one.
        separated: The tags follow each other as asked; True where the grader asks for no tags.
        think_closed: The reasoning is closed, or needs not be.
        other_format: A box, `####` or words name an answer outside the form that is asked for.
        loops: Its end repeats itself.
        copies: Reasoning or answer is a placeholder of the prompt.
    """

    complete: bool
    goes_on: bool
    opened: bool
    tail: str
    answer: str | None
    form: AnswerForm | None
    separated: bool
    think_closed: bool
    other_format: bool
    loops: bool
    copies: bool


def asked_by(grader: GraderName) -> Asked:
    """What this grader reads."""
    if grader is GraderName.QUESTION_ONLY:
        return Asked.BOX
    return Asked.NUMBER if grader is GraderName.LENIENT else Asked.TAGS


def read_signs(subject: Subject, asked: Asked) -> Signs:
    """Look at one response; any text is accepted."""
    text, flags = subject.text, subject.outcome.flags
    answer, opened, complete, after, tail = _answer(text, asked)
    tags = asked is Asked.TAGS
    return Signs(
        complete=complete,
        goes_on=complete and tags and has_words(after),
        opened=opened,
        tail=tail,
        answer=answer,
        form=None if answer is None else form_of(answer),
        separated=not tags
        or _THINK_CLOSE not in text
        or not opened
        or f"{_THINK_CLOSE} {_OPEN}" in text,
        think_closed=not tags or _THINK_CLOSE in text,
        other_format=_OTHER_FORMAT.search(text) is not None,
        loops=FailureFlag.DEGENERATE_REPETITION in flags or repeats_itself(text),
        copies=FailureFlag.TEMPLATE_COPY in flags or _copies(text, answer),
    )


def repeats_itself(text: str) -> bool:
    """Its end says the same again and again, exactly or nearly so."""
    tail = text[-TAIL_CHARS:].encode("utf-8", "replace")
    return len(tail) >= _LEAST_TAIL and len(zlib.compress(tail)) < LOOP_RATIO * len(tail)


def form_of(answer: str) -> AnswerForm:
    """What an answer looks like; a text without digits and words is bare."""
    plain = _LATEX.sub(" ", answer)
    words = _PLAIN_WORD.findall(plain)
    if not words:
        several = len(find_numerals(answer)) > 1 and "=" in answer
        return AnswerForm.SENTENCE if several else AnswerForm.BARE
    if number_in_words(plain) is not None:
        return AnswerForm.DRESSED
    before = _PLAIN_WORD.findall(re.split(r"\d", plain, maxsplit=1)[0])
    if "=" in plain or is_sentence(answer) or (len(before) >= 2 and re.search(r"\d", plain)):
        return AnswerForm.SENTENCE
    return AnswerForm.DRESSED


def same_number(answer: str, truth: str) -> bool:
    """The one number of an answer, in digits or words, is the truth."""
    wanted = number_of(truth)
    if wanted is None:
        return False
    found = find_numerals(answer)
    if len(found) == 1:
        return found[0].value == wanted
    return not found and number_in_words(answer) == wanted


def has_words(text: str) -> bool:
    """Anything is left of a text without special tokens, tags and marks."""
    return re.search(r"\w", _SPECIAL.sub("", text)) is not None


def _answer(text: str, asked: Asked) -> tuple[str | None, bool, bool, str, str]:
    """Content of the last answer; opened; complete; what follows the first; the open tail."""
    if asked is Asked.NUMBER:
        found = find_numerals(text)
        last = text[found[-1].start : found[-1].end] if found else None
        return last, bool(found), bool(found), "", ""
    if asked is Asked.BOX:
        box, start = last_boxed(text), text.rfind("\\boxed")
        tail = text[start:] if start >= 0 and box is None else ""
        return box, start >= 0, box is not None, "", tail
    first = text.find(_OPEN)
    if first < 0:
        return None, False, False, "", ""
    end = text.find(_CLOSE, first)
    last = text.rpartition(_OPEN)[2]
    content, closed, _ = last.partition(_CLOSE)
    if end < 0:
        return content, True, False, "", last
    if not closed:
        content = text[first + len(_OPEN) : end]
    return content, True, True, text[end + len(_CLOSE) :], ""


def _copies(text: str, answer: str | None) -> bool:
    """Any answer or reasoning in it is a placeholder, or the whole text is."""
    parts = [text if answer is None else answer]
    parts += [chunk.partition(_CLOSE)[0] for chunk in text.split(_OPEN)[1:3]]
    parts += [chunk.rpartition("<think>")[2] for chunk in text.split(_THINK_CLOSE)[:-1][:3]]
    return any(_is_placeholder(part) for part in parts)


def _is_placeholder(text: str) -> bool:
    if len(text) > 80:
        return False
    bare = " ".join(re.sub(r"[^\w\s]", " ", text).lower().split())
    return ("..." in text and not bare) or _PLACEHOLDER.fullmatch(bare) is not None
