"""Pair files: what is read, and one sentence about what cannot be."""

import json
from pathlib import Path

import pytest

from core.data.pairs import PreferencePair, pair_line, pairs_hash, read_pairs
from core.errors import UserError

PLAIN = {"prompt": "2 + 2? <think>", "chosen": " 4", "rejected": " 5"}


def written(tmp_path: Path, *lines: object) -> Path:
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines))
    return path


def test_three_texts_are_enough(tmp_path: Path) -> None:
    path = written(tmp_path, PLAIN, "", {**PLAIN, "score_chosen": 9.5})
    first, second = read_pairs(path)
    assert first == PreferencePair("pairs-00000", "2 + 2? <think>", " 4", " 5")
    assert (second.id, second.chosen) == ("pairs-00001", " 4")


def test_what_else_is_known_is_read(tmp_path: Path) -> None:
    known = {"problem_id": "p7", "question": "2 + 2?", "truth": "4", "grader": "strict"}
    (pair,) = read_pairs(written(tmp_path, {**PLAIN, **known, "rejected_truncated": True}))
    assert (pair.id, pair.question, pair.truth, pair.grader) == ("p7", "2 + 2?", "4", "strict")
    assert (pair.chosen_truncated, pair.rejected_truncated) == (False, True)


def test_a_pair_that_is_written_again_is_the_same_under_any_name(tmp_path: Path) -> None:
    known = {"question": "2 + 2?", "truth": "4", "grader": "strict", "chosen_truncated": True}
    pairs = read_pairs(written(tmp_path, PLAIN, {**PLAIN, **known, "chosen": " 4\u2028é\n"}))
    copy = tmp_path / "copy.jsonl"
    copy.write_text("".join(map(pair_line, pairs)))
    assert read_pairs(copy) == pairs
    assert pairs_hash(read_pairs(copy)) == pairs_hash(pairs)


def test_unicode_line_separators_end_no_line(tmp_path: Path) -> None:
    line = json.dumps({**PLAIN, "rejected": " 5\u2028\x85 or 6"}, ensure_ascii=False)
    assert read_pairs(written(tmp_path, line, PLAIN))[0].rejected == " 5\u2028\x85 or 6"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"prompt": "a", "rejected": "b"}, "has no field 'chosen'; a pair needs the texts"),
        ({"chosen": "a"}, "has no field 'prompt' and no field 'rejected'"),
        ({**PLAIN, "chosen": ""}, "'chosen' must be a text that is not empty"),
        ({**PLAIN, "chosen": 4}, "'chosen' must be a text that is not empty"),
        ({**PLAIN, "prompt": [{"role": "user", "content": "x"}]}, "'prompt' is a conversation"),
        ({**PLAIN, "truth": 4}, "'truth' must be a text"),
        ({**PLAIN, "chosen_truncated": "no"}, "'chosen_truncated' must be true or false"),
        ('{"prompt": "a", "chosen": "\\ud800", "rejected": "b"}', "holds half a character"),
        ("[1, 2]", "the line is not a JSON object"),
        ("{prompt", "the line is not valid JSON"),
        ("[" * 100_000, "the line is not valid JSON"),
    ],
)
def test_a_bad_line_is_named_by_file_and_line(tmp_path: Path, line: object, message: str) -> None:
    path = written(tmp_path, PLAIN, line)
    with pytest.raises(UserError, match=r"pairs\.jsonl:2: ") as error:
        read_pairs(path)
    assert message in str(error.value)


def test_a_file_without_pairs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no pairs"):
        read_pairs(written(tmp_path, "", "  "))
    with pytest.raises(UserError, match="a5ctl pairs RUN writes one"):
        read_pairs(tmp_path / "absent.jsonl")


def test_the_hash_sees_everything_that_is_learned_from(tmp_path: Path) -> None:
    pairs = [
        PreferencePair("p", "q", "a", "b"),
        PreferencePair("p", "q ", "a", "b"),
        PreferencePair("p", "q", "b", "a"),
        PreferencePair("p", "q", "a", "b", rejected_truncated=True),
    ]
    assert len({pairs_hash([pair]) for pair in pairs}) == len(pairs)
    assert pairs_hash(pairs) != pairs_hash(pairs[::-1])
    assert pairs_hash(pairs[:1]) == pairs_hash([PreferencePair("p", "q", "a", "b", grader="x")])
