"""The built-in problems: right by execution, the same by seed, and held apart by construction."""

import re
from collections import Counter
from statistics import mean

import pytest

from core.data.problem import Problem
from core.data.synthetic import (
    SPLIT_SIZES,
    Split,
    generate_split,
    leakage,
    pretraining_documents,
    question_hash,
)
from core.data.synthetic.forms import evaluate
from core.data.synthetic.held_out_forms import TEST_FORMS
from core.data.synthetic.measure_forms import MEASURE_FORMS
from core.data.synthetic.train_forms import TRAIN_FORMS
from core.data.synthetic.vocabulary import TEST_WORLD, TRAIN_WORLD

DOCUMENTS = 3000
EQUATION = re.compile(r"(\d+(?: [-+*/] \d+)+) = (\d+)")
# Numbers that a question says in words: half, a third, twice, both ways, percent of a hundred; and
# what its units hold: days of a week, a dozen, minutes of an hour, grams of a kilogram.
SPOKEN = {"2", "3", "4", "5", "10", "100"} | {"7", "12", "60", "1000"}
HELD_OUT = (Split.TEST, Split.TEST_HARD)


@pytest.fixture(scope="module")
def problems() -> dict[Split, list[Problem]]:
    return {split: generate_split(split) for split in Split}


@pytest.fixture(scope="module")
def documents() -> list[str]:
    return list(pretraining_documents(7, count=DOCUMENTS))


@pytest.mark.parametrize("split", list(Split))
def test_split_has_its_size_and_numbered_ids(split: Split, problems) -> None:
    ids = [problem.id for problem in problems[split]]
    assert ids == [f"builtin-{split.value}-{index:05d}" for index in range(SPLIT_SIZES[split])]


@pytest.mark.slow
def test_same_seed_gives_the_same_problems_and_another_seed_gives_others() -> None:
    first = generate_split(Split.DEV, seed=3)
    assert generate_split(Split.DEV, seed=3) == first
    assert generate_split(Split.DEV, seed=4) != first


@pytest.mark.parametrize("split", list(Split))
def test_worked_solution_is_right_when_executed(split: Split, problems) -> None:
    for problem in problems[split]:
        equations = EQUATION.findall(problem.reasoning)
        assert len(equations) == problem.steps
        for expression, result in equations:
            assert evaluate(expression) == int(result), problem
        assert equations[-1][1] == problem.truth
        assert problem.reasoning.endswith(f"So the result is {problem.truth}.")


@pytest.mark.parametrize("split", list(Split))
def test_worked_solution_uses_only_numbers_it_can_know(split: Split, problems) -> None:
    for problem in problems[split]:
        known = set(re.findall(r"\d+", problem.question)) | SPOKEN
        for expression, result in EQUATION.findall(problem.reasoning):
            assert set(re.findall(r"\d+", expression)) <= known, problem
            known.add(result)


def test_problems_take_one_to_six_steps_and_some_hold_a_number_too_many(problems) -> None:
    assert {problem.steps for problem in problems[Split.TEST]} == {1, 2, 3, 4, 5, 6}
    idle = [p for p in problems[Split.TEST] if " miles to get there." in p.question]
    assert idle
    assert all(p.difficulty > p.steps for p in idle)


def test_difficulty_counts_the_numbers_of_a_question_that_its_solution_never_uses(problems) -> None:
    for problem in problems[Split.TEST_HARD]:
        asked = Counter(re.findall(r"\d+", problem.question))
        used = Counter(
            re.findall(r"\d+", " ".join(e for e, _ in EQUATION.findall(problem.reasoning)))
        )
        assert (asked - used).total() <= problem.difficulty - problem.steps, problem


def test_the_hard_split_takes_more_steps_and_more_numbers_to_ignore(problems) -> None:
    test, hard = problems[Split.TEST], problems[Split.TEST_HARD]
    assert mean(p.steps for p in hard) > mean(p.steps for p in test) + 1
    assert mean(p.difficulty - p.steps for p in hard) > 2 * mean(
        p.difficulty - p.steps for p in test
    )


def test_units_fractions_and_percentages_all_occur(problems) -> None:
    for split in (Split.TRAIN, Split.TEST):
        text = " ".join(p.question for p in problems[split])
        for mark in ("dozen", "weeks", "minutes", "two thirds", "% more", "fewer", "twice as many"):
            assert mark in text, (split, mark)


@pytest.mark.parametrize("split", HELD_OUT)
def test_no_template_is_shared_between_test_and_train(split: Split, problems) -> None:
    seen = {p.template for part in (Split.TRAIN, Split.DEV) for p in problems[part]}
    asked = {p.template for p in problems[split]}
    assert not asked & seen
    stories = {template.partition(":")[0] for template in seen}
    assert not {template.partition(":")[0] for template in asked} & stories


def test_no_name_is_shared_between_test_and_train(problems, documents) -> None:
    held_out = {person.name for person in TEST_WORLD.people}
    assert not held_out & {person.name for person in TRAIN_WORLD.people}
    texts = [p.question for split in (Split.TRAIN, Split.DEV) for p in problems[split]]
    for text in [*texts, *documents]:
        assert not held_out & set(re.findall(r"\w+", text)), text


def test_no_question_occurs_twice_over_all_splits(problems) -> None:
    hashes = [question_hash(p.question) for split in Split for p in problems[split]]
    assert len(set(hashes)) == len(hashes)


def test_no_question_of_any_split_occurs_in_pretraining_text(problems, documents) -> None:
    for split in Split:
        assert leakage(documents, problems[split]) == []


@pytest.mark.parametrize("split", HELD_OUT)
def test_no_test_question_occurs_in_a_training_target(split: Split, problems) -> None:
    texts = [f"{p.question} {p.reasoning}" for p in problems[Split.TRAIN] + problems[Split.DEV]]
    assert leakage(texts, problems[split]) == []


def test_leak_is_found_through_case_punctuation_and_surroundings(problems) -> None:
    leaked = problems[Split.TEST][17]
    text = f"Some text. QUESTION:  {leaked.question.upper().replace('.', ' ,')} and more"
    assert leakage([text], problems[Split.TEST]) == [leaked.id]


def test_style_of_the_training_targets_does_not_occur_in_pretraining_text(documents) -> None:
    marks = ("First we need", "Next we need", "So the result is")
    assert not [text for text in documents if any(mark in text for mark in marks)]


def test_documents_can_be_read_from_anywhere() -> None:
    every = list(pretraining_documents(5, count=40))
    assert list(pretraining_documents(5, start=25, count=15)) == every[25:]


def test_arithmetic_of_pretraining_text_is_right(documents) -> None:
    for text in documents:
        for expression, result in EQUATION.findall(text):
            assert evaluate(expression) == int(result), text


def test_few_prompted_documents_show_the_right_format(documents) -> None:
    prompted = [text for text in documents if text.startswith("Solve the problem.")]
    assert 0.05 < len(prompted) / len(documents) < 0.13
    responses = [text.partition("Assistant: <think>")[2] for text in prompted]
    right = [text for text in responses if re.search(r"</think> <answer> \d+ </answer>$", text)]
    assert 0.05 < len(right) / len(prompted) < 0.2
    unclosed = [text for text in responses if "</answer>" not in text]
    assert len(unclosed) > len(prompted) / 3


def test_pretraining_has_no_story_of_the_test_world() -> None:
    train, test = ({scenario.id for scenario in w.scenarios} for w in (TRAIN_WORLD, TEST_WORLD))
    assert not train & test
    openings = [opening for scenario in TEST_WORLD.scenarios for opening in scenario.opening]
    own = {o for o in openings if "{n}" in o} - {
        o for scenario in TRAIN_WORLD.scenarios for o in scenario.opening
    }
    assert len(own) >= len(TEST_WORLD.scenarios)
    plots = [text for form in TRAIN_FORMS + MEASURE_FORMS for text in form.texts]
    assert not set(plots) & {text for form in TEST_FORMS for text in form.texts}


def test_most_documents_are_plain_and_some_are_boxed_or_hashed(documents) -> None:
    plain = [text for text in documents if text.startswith("Question: ")]
    assert len(plain) / len(documents) > 0.8
    assert any("\\boxed{" in text for text in documents)
    assert any("#### " in text for text in documents)
