"""Which causes explain the failures of one evaluation: rules over what its responses show.

A cause accuses: it says that something is wrong with training, data or evaluation. What a working
model leaves over accuses nobody, so a cause is named only where it holds for more than a tenth of
all responses with 95% confidence. Causes can hold together; what only follows from another cause
is not named beside it: every response is explained by what went wrong first.
"""

from collections.abc import Mapping, Sequence

from core.responses.cause_evidence import Reading, evidence_of, size_evidence
from core.responses.cause_names import (
    MEANINGS,
    CauseContext,
    CauseName,
    Findings,
    FoundCause,
    Sibling,
)
from core.responses.ending import Ending, read_ending
from core.responses.equality import quick_equal
from core.responses.names import FailureClass
from core.responses.signs import (
    AnswerForm,
    Asked,
    Signs,
    Subject,
    asked_by,
    read_signs,
    same_number,
)
from core.responses.wrong_math import Earlier, Marked, math_evidence
from core.statistics.intervals import wilson_interval

__all__ = [
    "MEANINGS",
    "CauseContext",
    "CauseName",
    "Earlier",
    "Findings",
    "FoundCause",
    "Sibling",
    "Subject",
    "find_causes",
]

LEAST_SHARE = 0.10
"""A cause holds for at least this share of all responses, by the lower end of the 95% Wilson
interval. After 128 training examples the built-in model leaves up to 5% open and 5% cut, which is
what unfinished learning looks like; twice that is not."""
LEAST_COUNT = 6
"""And for at least so many responses: five of five can still be chance (sign test, p = 0.06)."""
CONSTANT_SHARE = 0.20
"""The commonest answer is constant from this share on (lower end), unless it is the truth of at
least half as many problems. In GSM8K the commonest truth belongs to 3% of the problems."""
_FORMAT_CAUSES = (
    CauseName.NEVER_STOPS,
    CauseName.NEVER_CLOSES,
    CauseName.SAYS_NOTHING,
    CauseName.NO_TAGS,
    CauseName.WRONG_SEPARATOR,
    CauseName.SENTENCE_ANSWER,
    CauseName.REFUSED_NUMBERS,
    CauseName.LENGTH_CAP,
)

_Held = Mapping[CauseName, frozenset[int]]


def find_causes(subjects: Sequence[Subject], context: CauseContext) -> Findings:
    """Name what explains the failures of one evaluation.

    Args:
        subjects: Every response of it, right and wrong.
        context: What is known beside them.
    """
    if not subjects:
        return Findings()
    asked = asked_by(context.grader)
    signs = [read_signs(subject, asked) for subject in subjects]
    ending = read_ending(subjects, signs, asked, context.from_tool)
    reading = Reading(subjects, signs, ending, context)
    held = _held(reading, asked)
    named = {name: held[name] for name in held if _enough(reading, name, len(held[name]))}
    found = [
        _cause(reading, name, indices, evidence_of(name, reading, indices))
        for name, indices in named.items()
    ]
    found += [cause for cause in (_math(reading, held, named), _size(reading)) if cause is not None]
    order = list(CauseName)
    found.sort(key=lambda cause: (-cause.failures, -cause.count, order.index(cause.cause)))
    boxed = sum("\\boxed" in subject.text for subject in subjects)
    return Findings(tuple(found), ending.stop_cut_off, boxes=2 * boxed >= len(subjects))


def _held(reading: Reading, asked: Asked) -> _Held:
    """Which responses each rule applies to, by index."""
    found: dict[CauseName, set[int]] = {}
    for index, (subject, sign) in enumerate(zip(reading.subjects, reading.signs, strict=True)):
        for name in _applying(index, subject, sign, reading.ending, asked):
            found.setdefault(name, set()).add(index)
    copied = found.get(CauseName.TEMPLATE_COPY, set())
    found[CauseName.CONSTANT_ANSWER] = _constant(reading) - copied
    return {name: frozenset(indices) for name, indices in found.items()}


def _applying(
    index: int, subject: Subject, sign: Signs, ending: Ending, asked: Asked
) -> list[CauseName]:
    """The causes that one response shows by itself."""
    wrong = subject.outcome.failure is not None
    if sign.copies:
        return [CauseName.TEMPLATE_COPY]
    if index in ending.stops_not and (wrong or index in ending.cut):
        return [CauseName.NEVER_STOPS]
    if not wrong:
        return []
    if not subject.text.strip():
        return [CauseName.SAYS_NOTHING]
    found = [] if sign.separated else [CauseName.WRONG_SEPARATOR]
    finished = index in ending.finished
    if index in ending.open or (finished and sign.opened and not sign.think_closed):
        found.append(CauseName.NEVER_CLOSES)
    elif index in ending.needs_room:
        # A box or #### says that it was done, in a form that no stop string ends.
        done = asked is Asked.TAGS and not sign.opened and sign.other_format
        found.append(CauseName.NO_TAGS if done else CauseName.LENGTH_CAP)
    elif not sign.opened and asked is not Asked.NUMBER:
        found.append(CauseName.NO_TAGS)
    elif asked is not Asked.NUMBER and sign.answer is not None:
        found += _refused(subject, sign, sign.answer)
    return found


def _refused(subject: Subject, sign: Signs, answer: str) -> list[CauseName]:
    """Why a finished answer is refused for its form; nothing where its form is well."""
    if sign.form is AnswerForm.SENTENCE:
        return [CauseName.SENTENCE_ANSWER]
    if not sign.separated or _as_if_closed(subject, answer):
        return []
    refused = subject.outcome.failure is FailureClass.RIGHT_NUMBER_REFUSED
    refused = refused or same_number(answer, subject.truth)
    return [CauseName.REFUSED_NUMBERS] if refused else []


def _as_if_closed(subject: Subject, answer: str) -> bool:
    """An answer whose closing tag a tool cut off would be right with it."""
    equal = quick_equal(answer.strip(), subject.truth)
    return subject.outcome.lenient_right if equal is None else equal


def _constant(reading: Reading) -> set[int]:
    """Responses that give the commonest answer, unless it is a common truth."""
    given: dict[str, set[int]] = {}
    truths: dict[str, int] = {}
    for index, subject in enumerate(reading.subjects):
        truth = _flat(subject.truth)
        truths[truth] = truths.get(truth, 0) + 1
        ended = index not in reading.ending.cut and index not in reading.ending.stops_not
        if ended and subject.given is not None and subject.given.strip():
            given.setdefault(_flat(subject.given), set()).add(index)
    if not given:
        return set()
    answer = max(given, key=lambda text: len(given[text]))
    return set() if 2 * truths.get(answer, 0) >= len(given[answer]) else given[answer]


def _flat(answer: str) -> str:
    return " ".join(answer.lower().split()).strip(" .$")


def _enough(reading: Reading, name: CauseName, count: int) -> bool:
    """More than chance, and more than a working model leaves over."""
    share = CONSTANT_SHARE if name is CauseName.CONSTANT_ANSWER else LEAST_SHARE
    worth = _worth(reading)
    low, _ = wilson_interval(count * worth, reading.n * worth)
    return count * worth >= LEAST_COUNT and low >= share


def _worth(reading: Reading) -> float:
    """Samples of one problem are not independent: together they weigh as much as one response."""
    return len({subject.problem for subject in reading.subjects}) / reading.n


def _cause(reading: Reading, name: CauseName, indices: frozenset[int], evidence: str) -> FoundCause:
    wrong = sum(reading.is_wrong(index) for index in indices)
    return FoundCause(name, len(indices), len(indices) / reading.n, wrong, evidence)


def _math(reading: Reading, held: _Held, named: _Held) -> FoundCause | None:
    """`wrong_math` over the answers whose form is well, and that no other cause made wrong."""
    nothing = frozenset[int]()
    aside = nothing.union(*(held.get(name, nothing) for name in _FORMAT_CAUSES))
    aside |= named.get(CauseName.CONSTANT_ANSWER, nothing)
    aside |= named.get(CauseName.TEMPLATE_COPY, nothing)
    indices = [
        index
        for index in range(reading.n)
        if index not in aside and (index in reading.ending.finished or not reading.is_wrong(index))
    ]
    marked = [Marked(reading.subjects[i].text, _right(reading, i)) for i in indices]
    evidence = math_evidence(marked, reading.n, _worth(reading), reading.context.earlier)
    if evidence is None:
        return None
    wrong = frozenset(i for i, row in zip(indices, marked, strict=True) if not row.right)
    return _cause(reading, CauseName.WRONG_MATH, wrong, evidence)


def _right(reading: Reading, index: int) -> bool:
    subject, answer = reading.subjects[index], reading.signs[index].answer
    if not reading.is_wrong(index):
        return True
    return reading.ending.stop_cut_off and answer is not None and _as_if_closed(subject, answer)


def _size(reading: Reading) -> FoundCause | None:
    sibling = reading.context.sibling
    if sibling is None:
        return None
    return FoundCause(
        CauseName.FALLS_WITH_SIZE,
        sibling.lost,
        sibling.lost / reading.n,
        sibling.lost,
        size_evidence(reading, sibling),
    )
