"""What probes found, counted."""

from dataclasses import replace

import pytest

from core.probing.findings import find, recovered
from core.probing.names import ProbeKind
from core.registry.probe_records import ProbedResponse, ProbeRecord
from core.registry.records import StoredGrade, StoredResponse
from core.responses.names import GraderName

GRADER = GraderName.R1_ZERO
GOOD = {
    "r1_zero": StoredGrade(True, True, "4", None, 1),
    "lenient": StoredGrade(1, 1, "4", None, 1),
}
BAD = {
    "r1_zero": StoredGrade(False, False, None, "truncated_thinking", 1),
    "lenient": StoredGrade(True, True, "4", None, 1),
}


def stored(name: str, finish: str, *, closed: bool, right: bool) -> StoredResponse:
    return StoredResponse(
        *(name, "q", "4", 0, "text", finish, 9, None, None, closed, None, frozenset()),
        grades=GOOD if right else BAD,
    )


RESPONSES = [
    stored("a", "stop_string", closed=True, right=True),
    stored("b", "stop_string", closed=True, right=False),
    stored("c", "length", closed=False, right=False),
    stored("d", "length", closed=False, right=False),
    stored("e", "eos", closed=False, right=False),
]


def probed(name: str, finish: str, *, right: bool, same: bool | None = True) -> ProbedResponse:
    return ProbedResponse(name, 0, finish, 20, finish != "length", same, "", GOOD if right else BAD)


def record(kind: ProbeKind, eligible: int, *responses: ProbedResponse) -> ProbeRecord:
    return ProbeRecord(kind, 20, 0.0, eligible, "hf", "1", "float32", 1.0, responses)


LONGER = record(
    ProbeKind.MAX_TOKENS,
    2,
    probed("c", "stop_string", right=True),
    probed("d", "length", right=False),
)
CLOSED = record(
    ProbeKind.CLOSE,
    3,
    probed("c", "stop_string", right=False, same=None),
    probed("d", "length", right=False, same=None),
    probed("e", "eos", right=True, same=None),
)


def test_a_larger_cap_counts_ends_and_right_ones() -> None:
    found = find(LONGER, RESPONSES, GRADER)
    assert (found.all.n, found.all.ended, found.all.right) == (2, 1, 1)
    assert (found.accuracy, found.accuracy_if) == (pytest.approx(1 / 5), pytest.approx(2 / 5))
    assert not found.limited


def test_accuracy_counts_what_was_right_before() -> None:
    # under lenient every stored response is right already
    found = find(LONGER, RESPONSES, GraderName.LENIENT)
    assert (found.accuracy, found.accuracy_if) == (1.0, 1.0)


def test_closing_tells_capped_from_ended_and_knows_those_that_closed_alone() -> None:
    found = find(CLOSED, RESPONSES, GRADER)
    assert (found.capped.n, found.capped.ended, found.capped.right) == (2, 1, 0)
    assert (found.alone.n, found.alone.ended, found.alone.right) == (1, 1, 1)
    assert found.closed_alone == (2, 1)
    assert found.by_last_number == 3


def test_some_of_the_responses_are_a_limited_probe() -> None:
    assert find(replace(LONGER, eligible=9), RESPONSES, GRADER).limited


def test_a_response_is_recovered_by_any_probe() -> None:
    assert recovered([LONGER, CLOSED], GRADER) == {("c", 0), ("e", 0)}
    assert recovered([], GRADER) == frozenset()


def test_a_response_that_took_another_course_is_not_recovered() -> None:
    other = record(ProbeKind.MAX_TOKENS, 2, probed("c", "stop_string", right=True, same=False))
    assert recovered([other], GRADER) == frozenset()
    assert find(other, RESPONSES, GRADER).diverged == 1
