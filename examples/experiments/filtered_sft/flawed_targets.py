"""Writes a data folder in which every second training target is flawed; the test split is as ever.

python examples/experiments/filtered_sft/flawed_targets.py DATA FOLDER

One in four targets gives a wrong answer, one in four never closes its answer.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path

from core.data.load import load_data
from core.data.problem import Problem
from core.prompts.template import PromptTemplate, load_prompt


def main(source: str, folder: Path) -> None:
    """Write train.jsonl and test.jsonl."""
    data = load_data(source)
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "train.jsonl", flawed(data.split("train")))
    write(folder / "test.jsonl", asked(data.split("test")))


def flawed(problems: Iterable[Problem]) -> Iterator[dict[str, str]]:
    """Prompts, targets and truths; the flaws come in turn, so that every subset has its share."""
    template = load_prompt("think_answer")
    for number, problem in enumerate(problems):
        target = template.target(problem) or ""
        if number % 4 == 0:
            target = wrong(template, problem)
        elif number % 4 == 1:
            target, _, _ = target.partition(" </answer>")
        yield {
            "prompt": template.prompt(problem),
            "response": target,
            "ground_truth": problem.truth,
        }


def wrong(template: PromptTemplate, problem: Problem) -> str:
    """The target with an answer that is one too high."""
    right = f"<answer> {problem.truth} </answer>"
    slip = f"<answer> {Decimal(problem.truth) + 1} </answer>"
    return (template.target(problem) or "").replace(right, slip)


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
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], Path(sys.argv[2]))
