"""Protocols as files: written, read back exactly, and refused when they are not what they say."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.engines.base import Sampling
from core.errors import UserError
from core.protocol import (
    DumpProtocol,
    EvaluationProtocol,
    GenerationProtocol,
    GradingProtocol,
    fingerprints,
)
from core.protocol_file import ProtocolSource, RecordedProtocol, read_protocol, to_toml

NAMES = ("think_answer", "Ask {question} <think>", "data", "test", "d4" * 32)
PROTOCOL = EvaluationProtocol(
    GenerationProtocol(*NAMES, Sampling(max_tokens=9, n=2, seed=3), "hf", "5.1", "float32"),
    GradingProtocol("strict", 1),
)
SOURCE = ProtocolSource("sft-1-aaaa", 96, "/data/set", False, 32, 32)
RECORDED = RecordedProtocol("sft-1-aaaa step 96", PROTOCOL.fields(), SOURCE)


def written(folder: Path, text: str) -> Path:
    path = folder / "p.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_holds_every_field_and_where_the_problems_are(tmp_path: Path) -> None:
    path = written(tmp_path, to_toml(RECORDED))
    found = read_protocol(path)
    assert found == RecordedProtocol(str(path), RECORDED.fields, SOURCE)


def test_stored_fields_give_the_fingerprints_of_the_protocol() -> None:
    expected = (PROTOCOL.generation.fingerprint, PROTOCOL.grading.fingerprint)
    assert fingerprints(PROTOCOL.fields()) == expected
    assert f'"{expected[0]}"' in to_toml(RECORDED)


@pytest.mark.slow
@given(prompt=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_prompt_survives_the_file_to_the_letter(
    tmp_path_factory: pytest.TempPathFactory, prompt: str
) -> None:
    fields = {**PROTOCOL.fields(), "prompt_text": prompt}
    path = tmp_path_factory.mktemp("p") / "p.toml"
    path.write_bytes(to_toml(RecordedProtocol("x", fields)).encode())
    assert read_protocol(path).fields == fields


def test_what_nobody_recorded_is_left_out_and_stays_unknown(tmp_path: Path) -> None:
    dump = DumpProtocol(*NAMES, Sampling(), "another tool", "", "", tokenizer="builtin")
    fields = EvaluationProtocol(dump, GradingProtocol("strict", 1)).fields()
    text = to_toml(RecordedProtocol("dump", fields))
    assert "temperature" not in text
    found = read_protocol(written(tmp_path, text))
    assert found.fields["temperature"] is None
    assert found.fields["tokenizer"] == "builtin"


def test_an_edited_file_says_so_until_its_fingerprints_are_taken_out(tmp_path: Path) -> None:
    text = to_toml(RECORDED).replace("max_tokens = 9", "max_tokens = 10")
    with pytest.raises(UserError, match="was edited: its generation fields do not give"):
        read_protocol(written(tmp_path, text))
    path = written(tmp_path, text.partition("[fingerprints]")[0])
    assert read_protocol(path).fields["max_tokens"] == 10


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("format = 1", "format = 2", "has format 2, and this a5ctl reads format 1"),
        ("format = 1", "format = ", "is not valid TOML"),
        ("format = 1", "format = 1\nextra = 1", "extra is not part of a protocol"),
        ("grader_version = 1", "", "grading.grader_version is missing; a5ctl protocol show"),
        ("max_tokens = 9", 'max_tokens = "many"', "generation.max_tokens: "),
        ("limit = 32", "limit = 0", "source.limit: "),
    ],
)
def test_a_broken_file_is_one_sentence(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = written(tmp_path, to_toml(RECORDED).replace(old, new))
    with pytest.raises(UserError) as raised:
        read_protocol(path)
    assert str(raised.value).startswith(f"protocol file {path}")
    assert message in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.toml cannot be read"):
        read_protocol(tmp_path / "none.toml")
