"""How the responses of one evaluation end, told apart by looking at all of them.

One response that stands open at the cap says little. Whether the others end well below the cap,
whether any of them closes an answer, and where the lengths of unfinished ones pile up, says more;
it also stands in for the reasons of ending that a tool did not write down.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from core.engines.base import FinishReason
from core.responses.signs import Asked, Signs, Subject

SHORT_TAIL = 60
"""Characters after an opened answer that still are that answer; a number with its unit is shorter,
so that a longer tail went on with the answer left open."""
BITE = 0.5
"""The cap bites where nine of ten of the others need at least this share of it. Where lengths are
lognormal and a tenth is cut, this holds up to a spread of 1.5 in log lengths; a gap of a factor of
two below a crowd at the cap means that those at the cap were not about to end."""
SAME_LENGTH = 0.7
"""Without a reason of ending, responses that break off were cut if their lengths are nearly the
same (tenth percentile to ninetieth): a cap does that, and lengths of texts that ended by
themselves differ by a factor of two and more. Another tokenizer than the tool's counts up to about
a fifth differently."""
BREAKS = 0.25
"""Share of them that ends in a word or an operator; a cut at any place leaves about half so."""
NEARLY_ALL = 0.9
"""The same for responses that do not break off in the middle of a sentence, or that loop."""
_LEAST_OTHERS = 10
_LEAST_BROKEN = 6
_BREAKS_OFF = re.compile(r"[^\W\d_]\Z|[-+*/=×÷,:;($]\s*\Z")
"""Ends in a word, an operator or a mark that something follows."""
_ENDS_WELL = re.compile(r"[.!?}\])>*]\s*\Z")


@dataclass(frozen=True, slots=True)
class Ending:
    """How responses end, by their index.

    Attributes:
        cut: The length cap stopped them, or seems to have.
        stops_not: They go on after their answer, repeat themselves, or wander.
        open: Their answer is left open, without a cap that cut it.
        needs_room: They were cut while working.
        finished: They have a complete answer and end with it.
        stop_cut_off: The tool cut the stop string off, so that no answer seems closed.
        usual_length: Tokens within which nine of ten uncut responses end; None with too few.
    """

    cut: frozenset[int]
    stops_not: frozenset[int]
    open: frozenset[int]
    needs_room: frozenset[int]
    finished: frozenset[int]
    stop_cut_off: bool
    usual_length: float | None


def read_ending(
    subjects: Sequence[Subject],
    signs: Sequence[Signs],
    asked: Asked,
    from_tool: bool,
) -> Ending:
    """Sort responses by how they end.

    Args:
        subjects: All responses of one evaluation.
        signs: What stands in each.
        asked: The form of answer that the grader reads.
        from_tool: Stop strings may have been cut off.
    """
    cut = _cut(subjects, signs)
    stop_cut_off = from_tool and _stop_cut_off(signs, cut)
    usual = _usual_length(subjects, cut)
    bites = _bites(subjects, signs, cut, usual)
    loops = _loops_in_answers(signs)
    sorted_by: dict[str, set[int]] = {name: set() for name in ("on", "open", "room", "done", "")}
    for index, (subject, sign) in enumerate(zip(subjects, signs, strict=True)):
        kind = _kind(sign, asked, index in cut, loops=loops, stop_cut_off=stop_cut_off)
        if kind == "room" and not bites and not subject.outcome.recovered:
            kind = "on"
        sorted_by[kind].add(index)
    return Ending(
        cut=cut,
        stops_not=frozenset(sorted_by["on"]),
        open=frozenset(sorted_by["open"]),
        needs_room=frozenset(sorted_by["room"]),
        finished=frozenset(sorted_by["done"]),
        stop_cut_off=stop_cut_off,
        usual_length=usual,
    )


def _kind(sign: Signs, asked: Asked, cut: bool, *, loops: bool, stop_cut_off: bool) -> str:
    """on, open, room, done, or nothing of these (it ended without an answer)."""
    if cut and asked is not Asked.TAGS and sign.complete:
        # A box or a number may stand in the middle of the work: only a loop tells that it is over.
        return "on" if sign.loops or asked is Asked.BOX else "room"
    if sign.goes_on:
        return "on"
    if sign.complete:
        return "done"
    if not sign.opened:
        return ("on" if sign.loops else "room") if cut else ""
    if stop_cut_off and not cut:
        return "done"
    if not _goes_on_open(sign):
        return "room" if cut else "open"
    return "on" if loops else "open"


def _cut(subjects: Sequence[Subject], signs: Sequence[Signs]) -> frozenset[int]:
    """Those that the cap stopped; where nobody wrote that down, those that look like it."""
    known = {i for i, s in enumerate(subjects) if s.outcome.finish is FinishReason.LENGTH}
    unknown = [
        index
        for index, subject in enumerate(subjects)
        if subject.outcome.finish is FinishReason.UNKNOWN and not signs[index].complete
    ]
    looping = {index for index in unknown if signs[index].loops}
    working = [i for i in unknown if not signs[i].other_format and i not in looping]
    found = known | looping
    caps = [_cap_of([subjects[i].outcome.tokens for i in looping], NEARLY_ALL)]
    thinking = [index for index in working if not signs[index].opened]
    broken = [index for index in thinking if _BREAKS_OFF.search(subjects[index].text)]
    if len(broken) >= BREAKS * len(thinking):
        caps.append(_cap_of([subjects[i].outcome.tokens for i in broken], SAME_LENGTH))
    unfinished = [i for i in thinking if not _ENDS_WELL.search(subjects[i].text)]
    if 2 * len(unfinished) >= len(thinking):
        caps.append(_cap_of([subjects[i].outcome.tokens for i in unfinished], NEARLY_ALL))
    # Where there is a cap, it also falls behind digits, behind sentences and inside of answers.
    least = min((cap for cap in caps if cap is not None), default=None)
    if least is not None:
        found |= {i for i in working if subjects[i].outcome.tokens >= least}
    return frozenset(found)


def _cap_of(lengths: Sequence[int], alike: float) -> float | None:
    """The least length that a cap at these lengths leaves; None where they are not alike."""
    if len(lengths) < _LEAST_BROKEN:
        return None
    ordered = sorted(lengths)
    low, middle, high = (ordered[int(share * (len(ordered) - 1))] for share in (0.1, 0.5, 0.9))
    return alike * middle if low >= alike * high else None


def _stop_cut_off(signs: Sequence[Signs], cut: frozenset[int]) -> bool:
    """No answer is closed, and the open ones end in the space that stands before `</answer>`.

    A model that never learnt to close ends right after its number.
    """
    opened = [sign for index, sign in enumerate(signs) if sign.opened and index not in cut]
    if len(opened) < _LEAST_OTHERS or any(sign.complete for sign in opened):
        return False
    spaced = sum(sign.tail[-1:].isspace() and sign.tail.strip() != "" for sign in opened)
    return 2 * spaced >= len(opened)


def _goes_on_open(sign: Signs) -> bool:
    """More stands behind the opening of an unfinished answer than an answer is long."""
    return sign.opened and not sign.complete and (len(sign.tail.strip()) > SHORT_TAIL or sign.loops)


def _loops_in_answers(signs: Sequence[Signs]) -> bool:
    """Open answers that go on loop, in a model that mostly closes what it opens.

    Decided for all of them at once: else they are a model that does not close its answers.
    """
    opened = [sign for sign in signs if sign.opened]
    going_on = [sign for sign in opened if _goes_on_open(sign)]
    closes = 2 * sum(sign.complete for sign in opened) >= len(opened)
    return closes and 2 * sum(sign.loops for sign in going_on) > len(going_on)


def _usual_length(subjects: Sequence[Subject], cut: frozenset[int]) -> float | None:
    lengths = sorted(s.outcome.tokens for i, s in enumerate(subjects) if i not in cut)
    if len(lengths) < _LEAST_OTHERS:
        return None
    return float(lengths[int(0.9 * (len(lengths) - 1))])


def _bites(
    subjects: Sequence[Subject],
    signs: Sequence[Signs],
    cut: frozenset[int],
    usual: float | None,
) -> bool:
    """A larger cap would let those that were cut come to an answer."""
    if not cut:
        return True
    if usual is None:  # nobody ends by itself: those that loop speak for those that do not yet
        return 2 * sum(signs[index].loops for index in cut) < len(cut)
    lengths = sorted(subjects[index].outcome.tokens for index in cut)
    return usual >= BITE * lengths[len(lengths) // 2]
