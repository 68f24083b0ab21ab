"""What a column cannot hold as it is comes back unchanged."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.registry.codec import (
    clean,
    compress_text,
    decompress_text,
    join_value,
    split_value,
)
from core.registry.records import MetricSummary
from core.registry.segments import visible_ranges
from core.registry.summaries import extend, extend_by


@given(st.text(st.characters()))
def test_any_text_survives_compression(text: str) -> None:
    assert decompress_text(compress_text(text)) == text


def test_long_text_gets_smaller_and_short_text_one_byte_longer() -> None:
    assert len(compress_text("so 1 + 1 = 2. " * 100)) < 100
    assert len(compress_text("42")) == 3


def test_an_unknown_codec_asks_for_an_upgrade() -> None:
    with pytest.raises(ValueError, match="newer a5ctl"):
        decompress_text(b"\x09whatever")


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_any_float_survives_splitting(value: float) -> None:
    finite, name = split_value(value)
    assert (finite is None) != (name is None)
    back = join_value(finite, name)
    assert back == value or (math.isnan(back) and math.isnan(value))


@given(st.text(st.characters()))
def test_clean_text_can_be_encoded(text: str) -> None:
    assert clean(text).encode() == text.encode("utf-8", "backslashreplace")


def test_a_segment_hides_older_steps_behind_its_start() -> None:
    ranges = {r.segment: r.last_step for r in visible_ranges([(1, 10), (2, 20), (3, 15)])}
    assert ranges == {0: 10, 1: 15, 2: 15, 3: None}
    assert visible_ranges([])[0].holds(10**9)


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(allow_nan=True)), min_size=1))
def test_summaries_do_not_change_when_values_are_seen_again(
    points: list[tuple[int, float]],
) -> None:
    once = _summary(points)
    assert repr(once) == repr(_summary(points, once))


@given(
    st.lists(st.tuples(st.integers(0, 50), st.floats(allow_nan=True)), min_size=1),
    st.lists(st.tuples(st.integers(0, 50), st.floats(allow_nan=True)), min_size=1),
)
def test_a_summary_takes_many_values_as_it_takes_them_one_by_one(
    earlier: list[tuple[int, float]], points: list[tuple[int, float]]
) -> None:
    summary = together = _summary(earlier)
    for step, value in points:
        summary = extend(summary, step, value)
    assert repr(extend_by(together, points)) == repr(summary)


def _summary(
    points: list[tuple[int, float]], summary: MetricSummary | None = None
) -> MetricSummary | None:
    for step, value in sorted(dict(points).items()):
        summary = extend(summary, step, value)
    return summary
