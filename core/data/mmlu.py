"""Multiple-choice questions from CSV files as MMLU has them.

A row is question, A, B, C, D and the letter of the right option (or its number from 0). A header is
understood: then the columns are found by name (question, A, B, C, D, answer). The subject comes
from the file's name, `abstract_algebra_test.csv`, and stands in the ids.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from core.data.choices import LETTERS, with_options
from core.data.problem import Problem
from core.errors import UserError
from core.given_files import read_given
from core.units import MIB

SPLITS = ("dev", "val", "test")
_LARGEST_TABLE = 256 * MIB
_COLUMNS = ("question", "a", "b", "c", "d", "answer")
_EXPECTED = "six columns: question, A, B, C, D and the letter of the right option"


def read_choices(path: Path, prefix: str) -> list[Problem]:
    """Read one CSV file.

    Args:
        path: The file.
        prefix: Ids are `<prefix>-<index from 0>`.

    Raises:
        UserError: names file and line of the first row that cannot be used.
    """
    problems = [
        choice_problem(row[0], row[1:5], row[5], f"{prefix}-{index:05d}", place)
        for index, (row, place) in enumerate(_rows(path))
    ]
    if not problems:
        raise UserError(f"{path} holds no questions; each row needs {_EXPECTED}")
    return problems


def choice_problem(
    question: str, options: Sequence[str], answer: str, identity: str, place: str
) -> Problem:
    """One question with four options; the truth is the letter of the right one, or its number.

    Raises:
        UserError: the question is empty, or the answer is not A, B, C or D.
    """
    said = answer.strip().upper()
    letter = LETTERS[int(said)] if said in ("0", "1", "2", "3") else said
    if letter not in LETTERS or len(letter) != 1:
        raise UserError(f"{place}: the answer is {answer[:40]!r}, and must be A, B, C or D")
    if not question.strip():
        raise UserError(f"{place}: the question is empty; a row needs {_EXPECTED}")
    return Problem(id=identity, question=with_options(question, options), truth=letter)


def choice_files(folder: Path) -> Mapping[str, list[Path]]:
    """CSV files by split: `dev/*.csv`, `val/*.csv` and `test/*.csv`, or files beside each other.

    Files that lie in the folder itself belong to the split that their name ends with, else to
    test. Empty when there are none.
    """
    found: dict[str, list[Path]] = {}
    for split in SPLITS:
        found[split] = _tables(folder / split)
    for path in _tables(folder):
        found[_split_of(path) or "test"].append(path)
    return {split: paths for split, paths in found.items() if paths}


def subject_of(path: Path) -> str:
    """`abstract_algebra` for `abstract_algebra_test.csv`."""
    split = _split_of(path)
    return path.stem if split is None else path.stem.removesuffix(f"_{split}")


def _tables(folder: Path) -> list[Path]:
    """By name; hidden files, which some archives bring along, are no tables."""
    return sorted(path for path in folder.glob("*.csv") if not path.name.startswith("."))


def _split_of(path: Path) -> str | None:
    return next((split for split in SPLITS if path.stem.endswith(f"_{split}")), None)


def _rows(path: Path) -> Iterator[tuple[list[str], str]]:
    """Rows in the order of `_COLUMNS` with their places; blank lines are passed over."""
    order: list[int] | None = None
    width = len(_COLUMNS)
    for line, row in _cells(path):
        if not any(cell.strip() for cell in row):
            continue
        if order is None:
            header = _header(row)
            order = header or list(range(width))
            if header is not None:
                width = len(row)
                continue
        if len(row) != width:
            have = f"the row has {len(row)} columns instead of {width}"
            raise UserError(f"{path}:{line}: {have}; it needs {_EXPECTED}")
        yield [row[place] for place in order], f"{path}:{line}"


def _header(row: Sequence[str]) -> list[int] | None:
    """Where the columns stand, when the row names them."""
    names = [cell.strip().casefold() for cell in row]
    if all(name in names for name in _COLUMNS):
        return [names.index(name) for name in _COLUMNS]
    plain_order = len(names) == len(_COLUMNS) and (names[0], names[-1]) == ("question", "answer")
    return list(range(len(_COLUMNS))) if plain_order else None


def _cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Rows with the number of their first line."""
    try:
        text = read_given(path, _LARGEST_TABLE).decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"data file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{line}: the line is not UTF-8 text; save the file so") from error
    reader = csv.reader(io.StringIO(text, newline=""))
    first = 1
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise UserError(
                f"{path}:{first}: the row is not CSV ({error}); it needs {_EXPECTED}"
            ) from error
        yield first, row
        first = reader.line_num + 1
