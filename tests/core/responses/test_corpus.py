"""Every hand-labelled response of the corpus gets its class, flags and verdicts."""

import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from core.engines.base import FinishReason
from core.prompts.template import load_prompt
from core.responses.grade import GradedText, GraderName, GradingItem, grade_responses
from core.responses.names import FailureClass, FailureFlag

FOLDER = Path(__file__).parent / "corpus"
R1_ZERO, QUESTION_ONLY = GraderName.R1_ZERO, GraderName.QUESTION_ONLY
AMPLE_S = 60.0
BOMB_S = 0.5
"""Limit of the comparisons that never end; how long they are watched does not matter."""


@cache
def read(name: str) -> dict[str, dict[str, Any]]:
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    return {row["id"]: row for row in map(json.loads, lines)}


def is_bomb(label: dict[str, Any]) -> bool:
    return "grader_timeout" in (label["class"], label.get("class_question_only"))


def item_of(row: dict[str, Any]) -> GradingItem:
    pieces = (p if isinstance(p, str) else p["repeat"][0] * p["repeat"][1] for p in row["text"])
    placeholders = load_prompt(row["prompt"]).placeholders
    return GradingItem("".join(pieces), row["truth"], FinishReason(row["finish"]), placeholders)


def grade(ids: list[str], limit: float) -> dict[str, GradedText]:
    texts = read("texts.jsonl")
    items = [item_of(texts[key]) for key in ids]
    return dict(zip(ids, grade_responses(items, time_limit_s=limit), strict=True))


def observed(graded: GradedText, label: dict[str, Any]) -> dict[str, Any]:
    """What the graders say, in the form of a label."""
    verdicts = {
        name: None
        if label["verdicts"][name] is None
        else {"formatted": verdict.formatted, "right": verdict.right}
        for name, verdict in graded.verdicts.items()
    }
    found = {
        "id": label["id"],
        "class": graded.failures[R1_ZERO],
        "closed": graded.closed,
        "unparseable": graded.unparseable,
        "verdicts": verdicts,
        "flags": sorted(graded.flags_under(R1_ZERO)),
    }
    if "class_question_only" in label:
        found["class_question_only"] = graded.failures[QUESTION_ONLY]
    return found


def mismatches(graded: dict[str, GradedText]) -> list[str]:
    labels = read("labels_agreed.jsonl")
    wrong = []
    for key, one in graded.items():
        found = observed(one, labels[key])
        wrong += [
            f"{key} {field}: label {labels[key][field]}, graded {value}"
            for field, value in found.items()
            if value != labels[key][field]
        ]
    return wrong


@pytest.mark.slow
def test_ordinary_and_hostile_responses_are_graded_as_labelled():
    ids = [key for key, label in read("labels_agreed.jsonl").items() if not is_bomb(label)]
    assert mismatches(grade(ids, AMPLE_S)) == []


@pytest.mark.slow
def test_comparisons_that_never_end_are_graded_as_labelled():
    ids = [key for key, label in read("labels_agreed.jsonl").items() if is_bomb(label)]
    assert mismatches(grade(ids, BOMB_S)) == []


def test_the_corpus_is_large_and_holds_every_class_ten_times():
    labels = read("labels_agreed.jsonl")
    assert labels.keys() == read("texts.jsonl").keys()
    assert len(labels) >= 300
    classes = Counter(label["class"] for label in labels.values())
    assert {name: classes[name] for name in FailureClass if classes[name] < 10} == {}


def test_the_corpus_holds_every_flag_and_question_only_prompts():
    labels = read("labels_agreed.jsonl").values()
    flags = Counter(flag for label in labels for flag in label["flags"])
    # Under r1_zero itself, its own verdict is no news.
    assert set(flags) == set(FailureFlag) - {FailureFlag.RIGHT_BY_R1_ZERO}
    assert sum("class_question_only" in label for label in labels) >= 40


def test_every_correction_is_written_down_with_its_reason():
    """What the agreed labels say beyond either labeller stands in corrections.md, by its id."""
    first, second = read("labels_first.jsonl"), read("labels_second.jsonl")
    written = (FOLDER / "corrections.md").read_text(encoding="utf-8")
    for key, label in read("labels_agreed.jsonl").items():
        if label["class"] not in (first[key]["class"], second[key]["class"]):
            assert f"| {key} |" in written
        for name, verdict in label["verdicts"].items():
            given = (first[key]["verdicts"][name], second[key]["verdicts"][name])
            if verdict not in given:
                assert f"| {key} |" in written
