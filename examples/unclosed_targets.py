"""Writes a data folder whose training targets never close their answer; the test split is as ever.

python examples/unclosed_targets.py FOLDER
"""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from core.data.load import load_data
from core.data.problem import Problem
from core.prompts.template import load_prompt


def main(folder: Path) -> None:
    """Write train.jsonl and test.jsonl."""
    data = load_data("builtin")
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "train.jsonl", unclosed(data.split("train")))
    write(folder / "test.jsonl", asked(data.split("test")))


def unclosed(problems: Iterable[Problem]) -> Iterator[dict[str, str]]:
    """Prompts with the usual target up to its answer, the closing tag cut off."""
    template = load_prompt("think_answer")
    for problem in problems:
        target, _, _ = template.target(problem).partition(" </answer>")
        yield {
            "prompt": template.prompt(problem),
            "response": target,
            "ground_truth": problem.truth,
        }


def asked(problems: Iterable[Problem]) -> Iterator[dict[str, str]]:
    """Questions with worked solutions in the layout of GSM8K."""
    for problem in problems:
        yield {
            "question": problem.question,
            "answer": f"{problem.reasoning}\n#### {problem.truth}",
        }


def write(path: Path, records: Iterable[Mapping[str, str]]) -> None:
    """One JSON object per line."""
    lines = (json.dumps(record) + "\n" for record in records)
    path.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
