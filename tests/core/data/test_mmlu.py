"""MMLU's CSV files: rows, headers, subjects, folders, and what is wrong with a broken row."""

from pathlib import Path

import pytest

from core.data.load import load_data
from core.data.mmlu import read_choices, subject_of
from core.errors import UserError

ROW = "Where is the heart?,head,foot,chest,hand,C\n"
HEART = "Where is the heart?\nA. head\nB. foot\nC. chest\nD. hand"


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_row_becomes_a_question_with_options_and_a_letter(tmp_path: Path) -> None:
    quoted = '"He said ""no"",\nwhy?","1,000",2,3,4,b\n'
    path = written(tmp_path / "anatomy_test.csv", f"{ROW}\n{quoted}")
    first, second = read_choices(path, "m")
    assert (first.id, first.question, first.truth) == ("m-00000", HEART, "C")
    assert first.reasoning is None
    assert second.question == 'He said "no",\nwhy?\nA. 1,000\nB. 2\nC. 3\nD. 4'
    assert second.truth == "B"


def test_a_header_names_the_columns_in_any_order(tmp_path: Path) -> None:
    text = "index,answer,question,A,B,C,D\n0,C,Where is the heart?,head,foot,chest,hand\n"
    plain = f"question,choice0,choice1,choice2,choice3,answer\n{ROW.replace(',C', ',2')}"
    for number, table in enumerate((text, plain)):
        (problem,) = read_choices(written(tmp_path / f"{number}.csv", table), "m")
        assert (problem.question, problem.truth) == (HEART, "C")


def test_a_byte_order_mark_is_no_part_of_the_question(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"\xef\xbb\xbf" + ROW.encode())
    assert read_choices(path, "m")[0].question == HEART


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("Q,a,b,c,C\n", "the row has 5 columns instead of 6; it needs six columns: question"),
        ("Q,a,b,c,d,C,extra\n", "the row has 7 columns"),
        ("Q,a,b,c,d,E\n", "the answer is 'E', and must be A, B, C or D"),
        ("Q,a,b,c,d,AB\n", "the answer is 'AB'"),
        ("Q,a,b,c,d,\n", "the answer is ''"),
        (" ,a,b,c,d,A\n", "the question is empty"),
        ('"never closed,a,b,c,d,A\n', "the row has 1 columns"),
    ],
)
def test_a_broken_row_is_named_by_file_and_line(tmp_path: Path, row: str, message: str) -> None:
    path = written(tmp_path / "x_test.csv", '"two\nlines",a,b,c,d,A\n' + row)
    with pytest.raises(UserError) as raised:
        read_choices(path, "m")
    assert str(raised.value).startswith(f"{path}:3: ")
    assert message in str(raised.value)


def test_bytes_that_are_not_text_and_empty_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x_test.csv"
    path.write_bytes(ROW.encode() + b"\xff,a,b,c,d,A\n")
    with pytest.raises(UserError, match=r"x_test\.csv:2: the line is not UTF-8"):
        read_choices(path, "m")
    path.write_bytes(b"\n")
    with pytest.raises(UserError, match="holds no questions"):
        read_choices(path, "m")


def test_the_subject_comes_from_the_name_of_the_file() -> None:
    assert subject_of(Path("abstract_algebra_test.csv")) == "abstract_algebra"
    assert subject_of(Path("dev/anatomy_dev.csv")) == "anatomy"
    assert subject_of(Path("mine.csv")) == "mine"


def test_a_folder_as_the_tarball_has_it_holds_three_splits(tmp_path: Path) -> None:
    folder = tmp_path / "mmlu"
    for split in ("dev", "val", "test"):
        written(folder / split / f"anatomy_{split}.csv", ROW)
        written(folder / split / f"zoology_{split}.csv", ROW)
        written(folder / split / f"._zoology_{split}.csv", "not a table")
    data = load_data(str(folder))
    assert set(data.splits) == {"dev", "val", "test"}
    assert [problem.id for problem in data.split("val")] == [
        "mmlu-val-anatomy-00000",
        "mmlu-val-zoology-00000",
    ]


def test_files_beside_each_other_belong_to_the_split_in_their_name(tmp_path: Path) -> None:
    for name in ("anatomy_dev", "anatomy_test", "mine"):
        written(tmp_path / "d" / f"{name}.csv", ROW)
    data = load_data(str(tmp_path / "d"))
    assert {split: len(found) for split, found in data.splits.items()} == {"dev": 1, "test": 2}


def test_a_single_file_is_asked_whole(tmp_path: Path) -> None:
    data = load_data(str(written(tmp_path / "anatomy_test.csv", ROW)))
    assert [problem.id for problem in data.split("test")] == ["anatomy_test-00000"]
    with pytest.raises(UserError, match="has no split 'train'"):
        data.split("train")
