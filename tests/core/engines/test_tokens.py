"""Counting tokens before places in a text, against counting by decoding every prefix."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.engines.base import Completion, FinishReason
from core.engines.streaming import TextStream
from core.engines.tokens import token_spans
from core.models import load_tokenizer

TEXTS = st.text(
    st.one_of(st.sampled_from(list("abT 3</>answerthink€é漢🎈")), st.characters(codec="utf-8")),
    max_size=60,
).filter(lambda text: "\ufffd" not in text)


@pytest.fixture(scope="module")
def tokenizer(model_dir):
    return load_tokenizer(model_dir)


@pytest.fixture(scope="module")
def spans(tokenizer):
    return token_spans(tokenizer)


def completion(text: str, ids: list[int]) -> Completion:
    return Completion(text, tuple(ids), FinishReason.LENGTH)


def test_tags_are_counted_to_the_token_before_them(tokenizer, spans):
    parts = [" 3 + 14 = 17 ", "</think>", " ", "<answer>", " 17 </answer>"]
    ids = [tokenizer(part, add_special_tokens=False)["input_ids"] for part in parts]
    text = "".join(parts)
    flat = [token for part in ids for token in part]
    expected = [len(ids[0]), sum(len(part) for part in ids[:3])]
    offsets = [text.index("</think>"), text.index("<answer>")]
    assert spans(completion(text, flat), offsets) == expected


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(text=TEXTS, data=st.data())
def test_byte_lengths_agree_with_the_bytes_of_every_prefix(tokenizer, spans, text, data):
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    offset = data.draw(st.integers(0, len(text)))
    before = len(text[:offset].encode())
    backend = tokenizer.backend_tokenizer
    lengths = [_bytes(backend.id_to_token(token)) for token in ids]
    expected = sum(sum(lengths[: k + 1]) <= before for k in range(len(ids)))
    assert spans(completion(text, ids), [offset]) == [expected]


@settings(deadline=None, max_examples=100)
@given(ids=st.lists(st.integers(0, 300), max_size=40))
def test_any_sampled_tokens_are_counted_completely_and_in_order(tokenizer, spans, ids):
    stream = TextStream(tokenizer)
    text = "".join(stream.step(token) for token in ids)
    counts = spans(completion(text, ids), list(range(len(text) + 1)))
    assert counts == sorted(counts)
    assert all(0 <= count <= len(ids) for count in counts)


def test_special_tokens_have_no_length(tokenizer, spans):
    ids = tokenizer("17", add_special_tokens=False)["input_ids"]
    assert spans(completion("17", [0, *ids, 0]), [0, 2]) == [1, len(ids) + 2]


def test_broken_characters_are_counted_by_decoding(tokenizer, spans):
    euro = tokenizer("€", add_special_tokens=False)["input_ids"]
    ids = [euro[0], *tokenizer(" Tom", add_special_tokens=False)["input_ids"]]
    stream = TextStream(tokenizer)
    text = "".join(stream.step(token) for token in ids)
    assert text == "\ufffd Tom"
    assert spans(completion(text, ids), [0, len(text)]) == [0, len(ids)]


def test_other_decoders_are_counted_by_decoding():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"▁two": 0, "▁plus": 1, "▁three": 2, "<unk>": 3}
    backend = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    spans = token_spans(PreTrainedTokenizerFast(tokenizer_object=backend))
    assert spans(completion("two plus three", [0, 1, 2]), [0, 3, 8, 14]) == [0, 1, 2, 3]


def _bytes(token: str) -> int:
    return len(token)
