"""Data sets on the hub, by the package datasets: their rows, or a folder of jsonl files of them."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from core.data.files import parse_record
from core.errors import UserError
from core.hub import offline

HUB_NAMES = {"gsm8k": "openai/gsm8k"}
_CONFIGURATIONS = {"openai/gsm8k": "main"}
_SPLITS = {"validation": "val"}


def hub_rows(name: str) -> dict[str, Iterable[Mapping[str, Any]]]:
    """Rows by split.

    Args:
        name: A hub id.

    Raises:
        UserError: the package datasets is missing, or the data cannot be had.
    """
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise UserError(
            f"data {name} is on the hub, and reading it needs the package datasets; install "
            "a5ctl[hub], or give a folder with train.jsonl and test.jsonl"
        ) from error
    try:
        loaded = dict(load_dataset(name, _CONFIGURATIONS.get(name)))
    except Exception as error:  # the library raises many unrelated types for 'not reachable'
        if offline():
            raise UserError(
                f"data {name} is not in the cache of the package datasets, and HF_HUB_OFFLINE says "
                f"that there is no network; where there is one, a5ctl fetch --data {name} --to DIR "
                "brings it into a folder for --data"
            ) from error
        raise UserError(
            f"data {name} could not be loaded from the hub ({type(error).__name__}); check the "
            "name and the network, or give a folder with train.jsonl and test.jsonl (a5ctl fetch "
            "makes one where there is a network)"
        ) from error
    return {_SPLITS.get(str(split), str(split)): rows for split, rows in loaded.items()}


def fetch_data(name: str, folder: Path) -> dict[str, int]:
    """Write a data set of the hub as `<split>.jsonl` files into a new folder, rows as they are.

    Args:
        name: `gsm8k` or a hub id.
        folder: Must not exist; it appears when everything is in it.

    Returns:
        Rows by split.

    Raises:
        UserError: the data cannot be had, or a row is in no form that `parse_record` knows.
    """
    hub_id = HUB_NAMES.get(name, name)
    rows = hub_rows(hub_id)
    partial = folder.with_name(f".{folder.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    counts = {}
    for split, each in rows.items():
        with (partial / f"{split}.jsonl").open("w", encoding="utf-8") as file:
            for index, row in enumerate(each):
                # what could not be read there is refused here, where something else can be had
                parse_record(row, f"{split}-{index}", f"{hub_id}/{split}:{index}")
                file.write(json.dumps(dict(row), ensure_ascii=False) + "\n")
                counts[split] = index + 1
    partial.rename(folder)
    return counts
