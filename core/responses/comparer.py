"""Answers every comparison of a batch once: by rules here, else in the worker, within a time limit.

The limit is that of one response: its questions to the worker share it, and after one of them ran
into it the others count as timed out without being asked. What was answered for another response
before does not matter, so a response gets the same grade in every batch.
"""

import time

from core.responses.equality import quick_equal
from core.responses.expressions import quickly_same
from core.responses.symbolic import Comparison, Question, compare_symbolically, prepare_worker

_Key = tuple[Question, str, str]


class Comparer:
    """Compares answers with truths for one batch of responses; not thread-safe."""

    def __init__(self, time_limit_s: float) -> None:
        self._limit = self._left = time_limit_s
        self._decided_here: dict[_Key, Comparison | None] = {}
        self._answered: dict[_Key, Comparison] = {}

    def begin_response(self) -> None:
        """Give the next response its time."""
        self._left = self._limit

    def course(self, answer: str, truth: str) -> Comparison:
        """Compare as the course's grader does."""
        return self._compare((Question.COURSE, answer, truth))

    def value(self, expression: str, truth: str) -> Comparison:
        """Compare with a truth that is no plain number, by value."""
        return self._compare((Question.VALUE, expression, truth))

    def _compare(self, key: _Key) -> Comparison:
        if key not in self._decided_here:
            self._decided_here[key] = _decide_here(*key)
        return self._decided_here[key] or self._ask(key)

    def _ask(self, key: _Key) -> Comparison:
        if self._left <= 0:
            return Comparison.TIMED_OUT
        outcome = self._answered.get(key)
        if outcome is None:
            outcome = self._ask_worker(key)
        if outcome is Comparison.TIMED_OUT:
            self._left = 0.0
        return outcome

    def _ask_worker(self, key: _Key) -> Comparison:
        question, given, truth = key
        prepare_worker(question)
        allowed, started = self._left, time.monotonic()
        outcome = compare_symbolically(given, truth, allowed, question)
        self._left -= time.monotonic() - started
        if outcome is not Comparison.TIMED_OUT or allowed == self._limit:
            self._answered[key] = outcome
        return outcome


def _decide_here(question: Question, given: str, truth: str) -> Comparison | None:
    decide = quick_equal if question is Question.COURSE else quickly_same
    equal = decide(given, truth)
    if equal is None:
        return None
    return Comparison.EQUAL if equal else Comparison.DIFFERENT
