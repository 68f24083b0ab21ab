"""Tokens kept from run to run: found by what decides them, and never trusted when damaged."""

import os
from pathlib import Path
from typing import Any

import pytest

import trainers.token_cache as token_cache
from core.config.schema import Supervise
from trainers.policy import Policy
from trainers.token_cache import cached_examples, content_hash, pack, unpack
from trainers.tokenization import Example, SourceText, encode_examples

TEXTS = [
    SourceText("a", "Tom has 3 apples. Assistant: <think>", " 3 + 14 = 17 </think>"),
    SourceText("b", "Le café coûte 5 €. 中文 😀", " <answer> 5 € </answer>"),
    SourceText("c", "", " x"),
]


class CountingTokenizer:
    """A real tokenizer that counts how often it is called."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.calls = 0

    def __call__(self, *args: Any, **settings: Any) -> Any:
        self.calls += 1
        return self._tokenizer(*args, **settings)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)


@pytest.fixture
def tokenizer(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> CountingTokenizer:
    monkeypatch.setattr(token_cache, "_WORTH_CHARACTERS", 0)
    return CountingTokenizer(policy.tokenizer)


def cached(folder: Path, tokenizer: Any, texts=TEXTS, **changed: Any) -> list[Example]:
    settings = {"supervise": Supervise.RESPONSE, "supervise_eos": True, "max_length": 30}
    return cached_examples(folder, texts, tokenizer, **(settings | changed))


def fresh(tokenizer: Any) -> list[Example]:
    return encode_examples(TEXTS, tokenizer, max_length=30)


def test_the_second_run_reads_what_the_first_has_made(
    tmp_path: Path, tokenizer: CountingTokenizer
) -> None:
    first = cached(tmp_path / "new" / "cache", tokenizer)
    calls = tokenizer.calls
    assert cached(tmp_path / "new" / "cache", tokenizer) == first == fresh(tokenizer)
    assert calls == 2
    assert tokenizer.calls == calls + 2  # those of `fresh`


@pytest.mark.parametrize(
    "changed",
    [
        {"supervise": Supervise.ANSWER},
        {"supervise_eos": False},
        {"max_length": 29},
        {"texts": TEXTS[::-1]},
        {"texts": [*TEXTS[:2], SourceText("c", "", " y")]},
        {"texts": [*TEXTS[:2], SourceText("c", " ", "x")]},
    ],
)
def test_whatever_decides_the_tokens_is_part_of_the_name(
    tmp_path: Path, tokenizer: CountingTokenizer, changed: dict[str, Any]
) -> None:
    cached(tmp_path, tokenizer)
    cached(tmp_path, tokenizer, **changed)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_tokenizer_that_learned_a_token_gets_another_name(policy: Policy) -> None:
    before = content_hash(TEXTS, policy.tokenizer, [])
    policy.tokenizer.add_tokens(["apples"])
    assert content_hash(TEXTS, policy.tokenizer, []) != before


def test_ids_of_problems_come_from_the_run_and_not_from_the_file(
    tmp_path: Path, tokenizer: CountingTokenizer
) -> None:
    cached(tmp_path, tokenizer)
    renamed = [SourceText(f"new-{t.problem_id}", t.prompt, t.target) for t in TEXTS]
    assert [e.problem_id for e in cached(tmp_path, tokenizer, renamed)] == [
        "new-a",
        "new-b",
        "new-c",
    ]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b"", lambda b: _flipped(b, 200)])
def test_a_damaged_file_is_made_again(
    tmp_path: Path, tokenizer: CountingTokenizer, damage: Any
) -> None:
    cached(tmp_path, tokenizer)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert cached(tmp_path, tokenizer) == fresh(tokenizer)
    assert file.read_bytes() == whole


def _flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def test_another_number_of_examples_is_refused(policy: Policy) -> None:
    with pytest.raises(ValueError, match="zip"):
        unpack(pack(fresh(policy.tokenizer)), ["a", "b"])


@pytest.mark.parametrize("obstacle", ["file", "unwritable"])
def test_a_folder_that_cannot_be_written_means_no_cache(
    tmp_path: Path, tokenizer: CountingTokenizer, obstacle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cache"
    if obstacle == "file":
        folder.write_text("in the way")
    else:
        folder.mkdir()

        def refuse(self: Path, data: bytes) -> int:
            raise PermissionError(13, "Permission denied", str(self))

        monkeypatch.setattr(Path, "write_bytes", refuse)
    assert cached(folder, tokenizer) == fresh(tokenizer)
    assert folder.is_file() or list(folder.iterdir()) == []


def test_little_text_is_not_worth_a_file(tmp_path: Path, policy: Policy) -> None:
    assert cached(tmp_path / "cache", policy.tokenizer) == fresh(policy.tokenizer)
    assert not (tmp_path / "cache").exists()


def test_what_was_used_longest_ago_goes_first(
    tmp_path: Path, tokenizer: CountingTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for age, length in ((3000, 20), (2000, 21), (1000, 22)):
        before = set(tmp_path.iterdir())
        cached(tmp_path, tokenizer, max_length=length)
        (made,) = set(tmp_path.iterdir()) - before
        os.utime(made, (made.stat().st_atime, made.stat().st_mtime - age))
    cached(tmp_path, tokenizer, max_length=20)  # a hit: it is the newest now
    calls = tokenizer.calls
    monkeypatch.setattr(token_cache, "_LIMIT_BYTES", 3 * made.stat().st_size)
    cached(tmp_path, tokenizer, max_length=23)
    assert len(list(tmp_path.iterdir())) == 3
    for length in (20, 22, 23):
        cached(tmp_path, tokenizer, max_length=length)
    assert tokenizer.calls == calls + 2  # only the one of 23 was made


def test_what_a_killed_process_left_is_deleted(
    tmp_path: Path, tokenizer: CountingTokenizer
) -> None:
    old, new = tmp_path / "old.1.partial", tmp_path / "new.2.partial"
    old.write_bytes(b"")
    new.write_bytes(b"")
    os.utime(old, (1, 1))
    cached(tmp_path, tokenizer)
    assert not old.exists()
    assert new.exists()
