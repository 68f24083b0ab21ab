"""Finding data by name, and subsets that nest."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.load import load_data, nested_subset
from core.data.problem import Problem
from core.errors import UserError

GSM8K = Path(__file__).parents[3].parent / "shared" / "data" / "gsm8k"


def lines(count: int) -> str:
    return "\n".join(
        json.dumps({"question": f"Q{i}", "answer": f"a #### {i}"}) for i in range(count)
    )


def problems(count: int) -> list[Problem]:
    return [Problem(f"p{i}", f"Q{i}", str(i)) for i in range(count)]


def test_a_folder_gives_its_splits(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text(lines(5))
    (tmp_path / "test.jsonl").write_text(lines(3))
    data = load_data(str(tmp_path))
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 5, "test": 3}
    with pytest.raises(UserError, match="no split 'dev'; it has train, test"):
        data.split("dev")


def test_a_folder_without_test_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text(lines(5))
    with pytest.raises(UserError, match=r"no test\.jsonl"):
        load_data(str(tmp_path))


def test_a_single_file_holds_out_a_tenth_always_the_same(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    path.write_text(lines(100))
    data = load_data(str(path))
    assert len(data.split("test")) == 10
    questions = {p.question for split in data.splits.values() for p in split}
    assert len(questions) == 100
    assert load_data(str(path)) == data


def test_an_evaluation_asks_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    path.write_text(lines(20))
    assert len(load_data(str(path), whole_file_is_test=True).split("test")) == 20


def test_unknown_data_says_what_is_possible() -> None:
    with pytest.raises(UserError, match="name builtin, gsm8k, a folder"):
        load_data("nowhere")


def test_the_built_in_data_has_all_splits() -> None:
    data = load_data("builtin")
    assert set(data.splits) == {"train", "dev", "test", "test-hard"}
    assert len(data.split("test")) >= 512


@pytest.mark.slow
@pytest.mark.skipif(not GSM8K.is_dir(), reason="the GSM8K files are not beside the checkout")
def test_real_gsm8k_has_its_published_sizes() -> None:
    data = load_data(str(GSM8K))
    assert len(data.split("train")) == 7473
    assert len(data.split("test")) == 1319
    assert not any("<<" in (p.reasoning or "") for p in data.split("train"))
    assert all(p.truth.lstrip("-").replace(".", "").isdigit() for p in data.split("test"))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 60), st.integers(0, 1000), st.data())
def test_smaller_sizes_are_prefixes_of_larger_ones(
    count: int, seed: int, data: st.DataObject
) -> None:
    large = data.draw(st.integers(1, count))
    small = data.draw(st.integers(1, large))
    everything = problems(count)
    assert nested_subset(everything, small, seed) == nested_subset(everything, large, seed)[:small]
    assert sorted(p.id for p in nested_subset(everything, None, seed)) == sorted(
        p.id for p in everything
    )


def test_other_seeds_choose_other_problems() -> None:
    everything = problems(100)
    assert nested_subset(everything, 10, 0) != nested_subset(everything, 10, 1)


def test_a_size_beyond_the_data_names_both_numbers() -> None:
    with pytest.raises(UserError, match="size 9 is larger than the 5 training problems"):
        nested_subset(problems(5), 9, 0)
