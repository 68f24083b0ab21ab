"""The trained tokenizer: any text comes back, digits stand alone, parts encode like the whole."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.synthetic import Split, generate_split, pretraining_documents
from core.errors import UserError
from core.models import load_tokenizer
from trainers.tokenizer_training import EOS_TOKEN, PAD_TOKEN, train_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(pretraining_documents(1, count=500), 600, folder)
    return load_tokenizer(folder)


@given(text=st.text(max_size=60))
def test_any_text_comes_back(tokenizer, text: str) -> None:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=False) == text


def test_special_tokens_are_two_and_nothing_is_put_in_front(tokenizer) -> None:
    assert (tokenizer.eos_token, tokenizer.pad_token) == (EOS_TOKEN, PAD_TOKEN)
    assert tokenizer.eos_token_id != tokenizer.pad_token_id
    assert tokenizer.bos_token_id is None
    assert tokenizer("Question")["input_ids"][0] != tokenizer.eos_token_id


def test_every_digit_is_a_token_of_its_own(tokenizer) -> None:
    assert tokenizer.tokenize("2048") == ["2", "0", "4", "8"]


def test_vocabulary_has_the_size_asked_for(tokenizer) -> None:
    assert len(tokenizer) == 600


def test_prompt_and_response_encode_apart_as_they_do_together(tokenizer) -> None:
    for problem in generate_split(Split.TEST)[:50]:
        prompt = f"User: {problem.question}\nAssistant: <think>"
        response = f" {problem.reasoning} </think> <answer> {problem.truth} </answer>"
        apart = tokenizer(prompt)["input_ids"] + tokenizer(response)["input_ids"]
        assert apart == tokenizer(prompt + response)["input_ids"]


@pytest.mark.slow
def test_vocabulary_too_small_for_all_bytes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least 258"):
        train_tokenizer(["text"], 200, tmp_path)
