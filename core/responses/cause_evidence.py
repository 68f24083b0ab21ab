"""The sentence behind each cause: what was counted, with the numbers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.responses.breakdown import right_last_words
from core.responses.cause_names import CauseContext, CauseName, Sibling
from core.responses.ending import Ending
from core.responses.signs import Signs, Subject

_QUOTED = 40


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything that was read out of one evaluation; the parts belong together by index."""

    subjects: Sequence[Subject]
    signs: Sequence[Signs]
    ending: Ending
    context: CauseContext

    @property
    def n(self) -> int:
        """Responses."""
        return len(self.subjects)

    def of_all(self, count: int) -> str:
        """A count beside the number of responses."""
        return f"{count:,} of {self.n:,}"

    def right_last(self, indices: Iterable[int]) -> str:
        """How many of them hold the right number last."""
        right = sum(self.subjects[index].outcome.lenient_right for index in indices)
        return right_last_words(right)

    def is_wrong(self, index: int) -> bool:
        """The grader refuses this response."""
        return self.subjects[index].outcome.failure is not None


def evidence_of(name: CauseName, reading: Reading, indices: frozenset[int]) -> str:
    """What speaks for a cause, over the responses that it explains."""
    return _SENTENCES[name](reading, indices)


def size_evidence(reading: Reading, sibling: Sibling) -> str:
    """What speaks for `falls_with_size`."""
    here = sum(not reading.is_wrong(index) for index in range(reading.n)) / reading.n
    p = "p < 0.001" if sibling.p < 0.001 else f"p {sibling.p:.3f}"
    note = f"; {sibling.note}" if sibling.note else ""
    trained = "all" if sibling.here == float("inf") else f"{sibling.here:,.0f}"
    return (
        f"trained on {trained} problems it gets {here:.1%}, {sibling.run} on "
        f"{sibling.size:,.0f} got {sibling.accuracy:.1%}: {100 * sibling.difference:.1f} points "
        f"better on the same problems ({sibling.lost:,} right only there; paired test, {p}){note}"
    )


def _template_copy(reading: Reading, indices: frozenset[int]) -> str:
    right = sum(not reading.is_wrong(index) for index in indices)
    said = f"{reading.of_all(len(indices))} copy a placeholder of the prompt"
    shown = _commonest(reading, indices, _placeholder)
    said += f", most often {shown!r}" if shown else ""
    return f"{said}; {right:,} of these are right" if right else said


def _never_stops(reading: Reading, indices: frozenset[int]) -> str:
    after = {index for index in indices if reading.signs[index].goes_on}
    loops = {index for index in indices - after if reading.signs[index].loops}
    parts = (
        (len(after), "go on after </answer>"),
        (len(loops), "repeat themselves"),
        (len(indices - after - loops), "run far past the length of the others"),
    )
    said = ", ".join(f"{count:,} {what}" for count, what in parts if count)
    cut = len(indices & reading.ending.cut)
    cap = f"; {cut:,} reach the cap{_cap(reading, ' of')}" if cut else ""
    return f"{reading.of_all(len(indices))} do not end where they should: {said}{cap}"


def _never_closes(reading: Reading, indices: frozenset[int]) -> str:
    opened = indices & reading.ending.open
    cut = len(opened & reading.ending.cut)
    parts = []
    if opened:
        ended = f"{len(opened) - cut:,} end there" + (f", {cut:,} go on to the cap" if cut else "")
        parts.append(f"{reading.of_all(len(opened))} open an answer and never close it ({ended})")
    if rest := len(indices - opened):
        parts.append(f"{reading.of_all(rest)} answer without having written </think>")
    return f"{'; '.join(parts)}; {reading.right_last(indices)}"


def _length_cap(reading: Reading, indices: frozenset[int]) -> str:
    said = f"{reading.of_all(len(indices))} are cut{_cap(reading, ' at')} while still at work"
    recovered = sum(reading.subjects[index].outcome.recovered for index in indices)
    if recovered:
        said += f"; a probe made {recovered:,} of them right"
    usual = reading.ending.usual_length
    if usual is not None:
        said += f"; nine of ten of the others end within {usual:,.0f} tokens"
    return said


def _says_nothing(reading: Reading, indices: frozenset[int]) -> str:
    return f"{reading.of_all(len(indices))} are empty or blank: no reasoning and no answer to judge"


def _no_tags(reading: Reading, indices: frozenset[int]) -> str:
    other = sum(reading.signs[index].other_format for index in indices)
    marked = f", {other:,} of them with a box, #### or 'the answer is'" if other else ""
    return (
        f"{reading.of_all(len(indices))} never open an answer in the form asked for{marked}; "
        f"{reading.right_last(indices)}"
    )


def _wrong_separator(reading: Reading, indices: frozenset[int]) -> str:
    return (
        f"{reading.of_all(len(indices))} have something else than one space between </think> and "
        f"<answer>, most often {_commonest(reading, indices, _between)!r}; "
        f"{reading.right_last(indices)}"
    )


def _sentence_answer(reading: Reading, indices: frozenset[int]) -> str:
    return (
        f"{reading.of_all(len(indices))} put a sentence or a calculation into the answer, such as "
        f"{_commonest(reading, indices, _answer)!r}; "
        f"{reading.right_last(indices)}"
    )


def _refused_numbers(reading: Reading, indices: frozenset[int]) -> str:
    return (
        f"{reading.of_all(len(indices))} are the right number in a form that the grader refuses, "
        f"such as {_commonest(reading, indices, _answer)!r}"
    )


def _constant_answer(reading: Reading, indices: frozenset[int]) -> str:
    right = sum(not reading.is_wrong(index) for index in indices)
    return (
        f"{reading.of_all(len(indices))} answer {_commonest(reading, indices, _given)!r}, which is "
        f"right for {right:,} of them"
    )


_SENTENCES: Mapping[CauseName, Callable[[Reading, frozenset[int]], str]] = {
    CauseName.TEMPLATE_COPY: _template_copy,
    CauseName.NEVER_STOPS: _never_stops,
    CauseName.NEVER_CLOSES: _never_closes,
    CauseName.LENGTH_CAP: _length_cap,
    CauseName.SAYS_NOTHING: _says_nothing,
    CauseName.NO_TAGS: _no_tags,
    CauseName.WRONG_SEPARATOR: _wrong_separator,
    CauseName.SENTENCE_ANSWER: _sentence_answer,
    CauseName.REFUSED_NUMBERS: _refused_numbers,
    CauseName.CONSTANT_ANSWER: _constant_answer,
}


def _cap(reading: Reading, word: str) -> str:
    cap = reading.context.cap
    return "" if cap is None else f"{word} {cap:,} tokens"


def _commonest(
    reading: Reading, indices: frozenset[int], read: Callable[[Subject, Signs], str]
) -> str:
    """What most of them show; the first of those that are equally common."""
    counts: dict[str, int] = {}
    for index in sorted(indices):
        shown = read(reading.subjects[index], reading.signs[index])
        counts[shown] = counts.get(shown, 0) + 1
    return max(counts, key=lambda text: counts[text])


def _answer(subject: Subject, sign: Signs) -> str:
    return _quoted(sign.answer or "")


def _given(subject: Subject, sign: Signs) -> str:
    return _quoted(subject.given or "")


def _placeholder(subject: Subject, sign: Signs) -> str:
    """The answer that was copied, else the reasoning."""
    if sign.answer is not None and not any(char.isdigit() for char in sign.answer):
        return _quoted(sign.answer)
    return _quoted(subject.text.partition("</think>")[0])


def _between(subject: Subject, sign: Signs) -> str:
    before, _, _ = subject.text.rpartition("<answer>")
    return before.rpartition("</think>")[2][:_QUOTED]


def _quoted(text: str) -> str:
    flat = " ".join(text[: 4 * _QUOTED].split())
    return flat if len(flat) <= _QUOTED else f"{flat[: _QUOTED - 3]}..."
