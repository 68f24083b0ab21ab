"""Find the data a person named: the built-in set, a folder, a file, or a set on the hub."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from core.data.files import parse_record, read_problems
from core.data.hub import HUB_NAMES, hub_rows
from core.data.mmlu import choice_files, read_choices, subject_of
from core.data.problem import Problem
from core.errors import UserError

BUILTIN_DATA = "builtin"
_HOLDOUT_LIMIT = 512

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class DataSet:
    """Problems by split.

    Attributes:
        name: For people and for problem ids.
        splits: `train`, `test` and, where there are such, `dev`, `val` and `test-hard`.
    """

    name: str
    splits: dict[str, tuple[Problem, ...]]

    def split(self, name: str) -> tuple[Problem, ...]:
        """One split.

        Raises:
            UserError: the data has no such split.
        """
        if name not in self.splits:
            raise UserError(
                f"data {self.name} has no split {name!r}; it has {', '.join(self.splits)}"
            )
        return self.splits[name]


def load_data(source: str, *, whole_file_is_test: bool = False) -> DataSet:
    """Load `builtin`, a folder, a file, or a hub id.

    A folder holds train.jsonl and test.jsonl (dev, val and test-hard where there are such), or CSV
    files as MMLU has them. A single file is of either form.

    Args:
        source: What the person wrote.
        whole_file_is_test: A single file is asked whole (evaluation only) instead of being split
            into a training part and a held-out part.

    Raises:
        UserError: there is nothing by that name, or a line cannot be used.
    """
    if source == BUILTIN_DATA:
        return _builtin()
    path = Path(source).expanduser()
    if path.is_dir():
        return _folder(path)
    if path.is_file():
        return _single_file(path, whole_file_is_test)
    if source in HUB_NAMES or _looks_like_hub_id(source):
        return _hub(HUB_NAMES.get(source, source))
    raise UserError(
        f"data {source!r} was not found; name builtin, gsm8k, a folder with train.jsonl and "
        "test.jsonl or with MMLU's CSV files, or a .jsonl or .csv file"
    )


def is_on_hub(source: str) -> bool:
    """No folder or file of that name is here, and it reads like the id of a data set."""
    path = Path(source).expanduser()
    if source == BUILTIN_DATA or path.exists():
        return False
    return source in HUB_NAMES or _looks_like_hub_id(source)


def nested_subset(
    items: Sequence[Item], size: int | None, seed: int, what: str = "training problems"
) -> list[Item]:
    """The first `size` items of one seeded shuffle: sizes nest for one seed.

    Args:
        items: What there is.
        size: How many of them; all when None.
        seed: Of the shuffle.
        what: Their name, for messages.

    Raises:
        UserError: the size is larger than the data.
    """
    order = list(items)
    random.Random(f"subset-{seed}").shuffle(order)
    if size is None:
        return order
    if size > len(order):
        raise UserError(
            f"size {size} is larger than the {len(order)} {what} there are; "
            f"use 1 to {len(order)}, or full"
        )
    return order[:size]


def _builtin() -> DataSet:
    from core.data.synthetic import Split, generate_split

    return DataSet(BUILTIN_DATA, {split.value: tuple(generate_split(split)) for split in Split})


def _folder(path: Path) -> DataSet:
    name = path.resolve().name
    found = {
        split: path / f"{split}.jsonl"
        for split in ("train", "dev", "val", "test", "test-hard")
        if (path / f"{split}.jsonl").is_file()
    }
    if not found and (tables := choice_files(path)):
        return _choice_folder(name, tables)
    if "test" not in found:
        raise UserError(
            f"data folder {path} has no test.jsonl; put train.jsonl and test.jsonl in it, or CSV "
            "files of multiple-choice questions into dev/, val/ and test/ below it"
        )
    splits = {s: tuple(read_problems(file, f"{name}-{s}")) for s, file in found.items()}
    return DataSet(name, splits)


def _choice_folder(name: str, tables: Mapping[str, Sequence[Path]]) -> DataSet:
    return DataSet(
        name,
        {
            split: tuple(
                problem
                for file in files
                for problem in read_choices(file, f"{name}-{split}-{subject_of(file)}")
            )
            for split, files in tables.items()
        },
    )


def _single_file(path: Path, whole_file_is_test: bool) -> DataSet:
    if path.suffix.lower() == ".csv":
        return DataSet(path.stem, {"test": tuple(read_choices(path, path.stem))})
    problems = read_problems(path, path.stem)
    if whole_file_is_test:
        return DataSet(path.stem, {"test": tuple(problems)})
    held_out = min(_HOLDOUT_LIMIT, max(1, len(problems) // 10))
    if len(problems) < 2:
        raise UserError(f"data file {path} holds one problem; training and testing need at least 2")
    order = list(range(len(problems)))
    random.Random("holdout").shuffle(order)
    test = set(order[:held_out])
    return DataSet(
        path.stem,
        {
            "train": tuple(p for i, p in enumerate(problems) if i not in test),
            "test": tuple(problems[i] for i in sorted(test)),
        },
    )


def _hub(name: str) -> DataSet:
    short = name.rsplit("/", 1)[-1]
    return DataSet(
        short,
        {
            split: tuple(
                parse_record(row, f"{short}-{split}-{i:05d}", f"{name}/{split}:{i}")
                for i, row in enumerate(rows)
            )
            for split, rows in hub_rows(name).items()
        },
    )


def _looks_like_hub_id(source: str) -> bool:
    parts = source.split("/")
    return len(parts) == 2 and all(parts) and not source.startswith((".", "~", "/"))
