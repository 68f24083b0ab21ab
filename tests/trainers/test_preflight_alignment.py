"""Alignment is read off the tensors: each way to get labels wrong is told apart."""

import pytest

from core.config.schema import Supervise
from tests.trainers.test_sft import encoded
from trainers.policy import Policy
from trainers.preflight_alignment import FORMS, Row, find_defect
from trainers.tokenization import IGNORED, Example

TOKENS = (300, 301, 302, 303, 0)
EXAMPLE = Example("p", TOKENS, (False, False, True, True, True), 2, 5)
RIGHT = (IGNORED, 302, 303, 0)


def defect(policy: Policy, *labels: int, ids: tuple[int, ...] = TOKENS[:-1]) -> str | None:
    return find_defect(Row(EXAMPLE, ids, labels), policy.tokenizer)


def test_labels_of_the_next_token_are_right_with_and_without_padding(policy: Policy) -> None:
    assert defect(policy, *RIGHT) is None
    assert defect(policy, *RIGHT, IGNORED, ids=(*TOKENS[:-1], 0)) is None


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ((302, 303, 0, IGNORED), "position 0 is labelled"),
        ((IGNORED, IGNORED, 302, 303), "position 2 is labelled"),
        ((301, 302, 303, 0), "position 1 of the prompt is supervised"),
        ((IGNORED, 302, 303, IGNORED), "EOS at position 4 is masked"),
        ((IGNORED, IGNORED, 303, 0), "a token at position 2 is masked"),
        ((IGNORED, 302, 303), "4 tokens have 3 labels"),
    ],
)
def test_false_labels_are_told_apart(policy: Policy, labels: tuple[int, ...], said: str) -> None:
    assert said in (defect(policy, *labels) or "")


def test_supervised_padding_is_found(policy: Policy) -> None:
    said = defect(policy, *RIGHT, 0, ids=(*TOKENS[:-1], 0))
    assert said == "padding at position 5 is supervised"


def test_other_tokens_than_the_examples_are_found(policy: Policy) -> None:
    said = defect(policy, *RIGHT, ids=(9, *TOKENS[1:-1]))
    assert said == "the tokens fed are not those of the example"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("supervise", list(Supervise))
def test_every_form_of_training_is_aligned(policy: Policy, form: str, supervise: Supervise) -> None:
    examples = encoded(policy, supervise)
    rows = list(FORMS[form](examples, 0))
    assert {row.example.problem_id for row in rows} == {e.problem_id for e in examples}
    assert [find_defect(row, policy.tokenizer) for row in rows] == [None] * len(examples)
