"""Filters against a second, independent reading of them: plain Python over the same rows."""

import math
import operator
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import UserError
from core.registry.query.parser import parse_filter
from core.registry.query.request import Selection
from core.registry.query.syntax import Comparison
from core.registry.store import Registry
from tests.core.registry.query.conftest import HOSTILE, ROWS, Row, quoted, registry_of

# a filter as this test knows it: its text, and what it says about a row
Said = tuple[str, Callable[[Row], bool]]

_ORDER = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_NUMBERS = {
    "size": lambda row: row.size,
    "seed": lambda row: row.seed,
    "accuracy": lambda row: row.accuracy,
    "n": lambda row: None if row.accuracy is None else 10,
    "accuracy.lenient": lambda row: None if row.accuracy is None else 0.5,
    "metric.loss": lambda row: row.metrics.get("loss"),
    "metric.kl.min": lambda row: row.metrics.get("kl"),
}
_TEXTS = {
    "id": lambda row: row.id,
    "kind": lambda row: row.kind,
    "name": lambda row: row.name,
    "note": lambda row: row.note,
    "split": lambda row: None if row.accuracy is None else row.split,
}
_WRITTEN_NUMBERS = ("0", "-0.25", "0.25", "128", "256", "512", "3e-1", ".3", "1e-4", "3", "1e300",
                    "9223372036854775807", "99999999999999999999")  # fmt: skip
_WRITTEN_TEXTS = ("sft", "eval", "plain", "128", "a\nb", "", "größe_1", "%", "_", "'", '"', "\\",
                  "it's", "good", HOSTILE, ";", "--", "auto", "ß")  # fmt: skip


def lowered(text: str) -> str:
    """As SQL does: only the letters of the English alphabet have a case."""
    return "".join(char.lower() if char.isascii() else char for char in text)


def about_numbers() -> st.SearchStrategy[Said]:
    def said(name: str, sign: str, written: str) -> Said:
        of, wanted = _NUMBERS[name], float(written)

        def holds(row: Row) -> bool:
            value = of(row)
            usable = value is not None and not math.isnan(value)
            if sign in _ORDER:
                return usable and _ORDER[sign](value, wanted)
            return (usable and value == wanted) == (sign == "=")

        return f"{name}{sign}{written}", holds

    # integers near 2**63 are told apart by the database and not by floats
    exact = [w for w in _WRITTEN_NUMBERS if len(w) < 15]
    signs = st.sampled_from([*_ORDER, "=", "!="])
    return st.builds(said, st.sampled_from(list(_NUMBERS)), signs, st.sampled_from(exact))


def about_texts() -> st.SearchStrategy[Said]:
    def said(name: str, sign: str, wanted: str) -> Said:
        of = _TEXTS[name]

        def holds(row: Row) -> bool:
            value = of(row)
            if sign in ("~", "!~"):
                return (value is not None and lowered(wanted) in lowered(value)) == (sign == "~")
            return (value == wanted) == (sign == "=")

        return f"{name} {sign} {quoted(wanted)}", holds

    signs = st.sampled_from(["=", "!=", "~", "!~"])
    return st.builds(
        said, st.sampled_from(list(_TEXTS)), signs, st.sampled_from(_WRITTEN_TEXTS)
    ) | st.builds(said, st.just("name"), signs, st.text("abP%_'\"\\;-\n1", max_size=4))


def about_settings() -> st.SearchStrategy[Said]:
    """Settings have the type that they were given in each run."""

    def rate(row: Row) -> Any:
        return row.config.get("train", {}).get("lr")

    def is_number(value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool)

    cases: list[Said] = [
        ("train.lr = 1e-4", lambda row: is_number(rate(row)) and rate(row) == 1e-4),
        ("train.lr != 3", lambda row: not (is_number(rate(row)) and rate(row) == 3)),
        ("train.lr >= 0.0001", lambda row: is_number(rate(row)) and rate(row) >= 1e-4),
        ("config.train.lr < 1", lambda row: is_number(rate(row)) and rate(row) < 1),
        ("train.lr = auto", lambda row: rate(row) == "auto"),
        ("train.lr ~ UT", lambda row: isinstance(rate(row), str) and "ut" in rate(row)),
        ("train.lr = true", lambda row: rate(row) is True),
        ("train.lr != false", lambda row: rate(row) is not False),
        ("train.lr is none", lambda row: rate(row) is None),
        ("train.lr in (3, auto)", lambda row: rate(row) in (3, "auto")),
        ("config.no.such is none", lambda row: True),
    ]
    return st.sampled_from(cases)


def about_the_rest() -> st.SearchStrategy[Said]:
    def loss(row: Row) -> float | None:
        return row.metrics.get("loss")

    cases: list[Said] = [
        ("tags has good", lambda row: "good" in row.tags),
        (f"tags has {quoted(HOSTILE)}", lambda row: HOSTILE in row.tags),
        ("tags has goo", lambda row: False),
        ("tags ~ GOO", lambda row: any("goo" in lowered(tag) for tag in row.tags)),
        ("tags is none", lambda row: not row.tags),
        ("name is not none", lambda row: row.name is not None),
        ("metric.loss is none", lambda row: loss(row) is None),
        ("metric.loss is nan", lambda row: loss(row) is not None and math.isnan(loss(row) or 0)),
        ("size in (1, 256)", lambda row: row.size in (1, 256)),
        ("size not in (1, 256)", lambda row: row.size not in (1, 256)),
        ("kind in (eval, 'grpo')", lambda row: row.kind in ("eval", "grpo")),
        ("accuracy >= 30%", lambda row: row.accuracy is not None and row.accuracy >= 0.3),
        ("archived = true", lambda row: row.archived),
    ]
    return st.sampled_from(cases)


def filters() -> st.SearchStrategy[Said]:
    single = about_numbers() | about_texts() | about_settings() | about_the_rest()

    def joined(word: str, parts: list[Said]) -> Said:
        text = f" {word} ".join(f"({part[0]})" for part in parts)
        test = all if word == "and" else any
        return text, lambda row: test(part[1](row) for part in parts)

    def negated(part: Said) -> Said:
        return f"not ({part[0]})", lambda row: not part[1](row)

    def larger(inner: st.SearchStrategy[Said]) -> st.SearchStrategy[Said]:
        several = st.lists(inner, min_size=2, max_size=3)
        return st.builds(joined, st.sampled_from(["and", "or"]), several) | st.builds(
            negated, inner
        )

    return st.recursive(single, larger, max_leaves=6)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(said=filters())
def test_a_filter_finds_the_runs_that_plain_python_finds(handmade: Registry, said: Said) -> None:
    text, holds = said
    found = handmade.select_runs(Selection(where=text, archived=True))
    assert list(found.uuids) == [f"uuid-{row.id}" for row in ROWS if holds(row)]
    assert found.total == len(found.uuids)


_PIECES = ("and", "or", "not", "in", "is", "has", "none", "(", ")", ",", "=", "!=", "<", "~",
           "size", "kind", "metric.loss", "tags", "train.lr", "age", "created", "3d", "1e999", "'",
           '"', "\\", "%", ";", "--", "\0", "\ud800", "ä", "256", "5%", "true", " ")  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=60) | st.lists(st.sampled_from(_PIECES), max_size=14).map(" ".join))
def test_garbage_is_refused_in_one_sentence_or_is_a_filter(handmade: Registry, text: str) -> None:
    with suppress(UserError):  # and nothing else
        assert handmade.select_runs(Selection(where=text)).total <= len(ROWS)


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=40))
def test_garbage_as_order_or_columns_is_refused_in_one_sentence(
    handmade: Registry, text: str
) -> None:
    for selection in (Selection(sort=text), Selection(columns=text)):
        with suppress(UserError):
            assert handmade.select_runs(selection).total <= len(ROWS)


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30))
def test_any_text_can_be_quoted_and_is_only_a_value(text: str) -> None:
    tree = parse_filter(f"name = {quoted(text)}")
    assert isinstance(tree, Comparison)
    assert tree.value.text == text


def test_a_setting_under_an_older_name_is_found_as_what_it_meant(tmp_path: Path) -> None:
    configs = {
        "older-a": {"model": {"dtype": "bfloat16"}},
        "older-b": {"model": {"dtype": "float32"}},
        "today-a": {"model": {}, "train": {"precision": "mixed"}},
        "today-b": {"train": {"precision": "bfloat16"}},
        "neither": {},
    }
    registry = registry_of(tmp_path, [Row(name, config=tree) for name, tree in configs.items()])
    expected = {
        "train.precision = mixed": {"older-a", "today-a"},
        "train.precision = bfloat16": {"today-b"},
        "train.precision = float32": {"older-b"},
        "train.precision = true": set(),
        "train.precision > 3": set(),
    }
    for text, wanted in expected.items():
        found = registry.select_runs(Selection(where=text))
        assert set(found.uuids) == {f"uuid-{name}" for name in wanted}, text
