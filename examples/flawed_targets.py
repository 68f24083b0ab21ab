"""Writes a data folder with flawed training targets; its test split is as ever.

python examples/flawed_targets.py unclosed|half DATA FOLDER

unclosed: no target closes its answer. half: one in four gives a wrong answer, one in four never
closes it.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path

from core.data.load import load_data
from core.data.problem import Problem
from core.prompts.template import load_prompt


def main(flaws: str, source: str, folder: Path) -> None:
    """Write train.jsonl and test.jsonl."""
    data = load_data(source)
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "train.jsonl", flawed(data.split("train"), FLAWS[flaws]))
    write(folder / "test.jsonl", asked(data.split("test")))


def flawed(
    problems: Iterable[Problem], flaw: Callable[[str, str, int], str]
) -> Iterator[dict[str, str]]:
    """Prompts, flawed targets and truths; a flaw gets the target, the truth and the position."""
    template = load_prompt("think_answer")
    for position, problem in enumerate(problems):
        yield {
            "prompt": template.prompt(problem),
            "response": flaw(str(template.target(problem)), problem.truth, position),
            "ground_truth": problem.truth,
        }


def unclosed(target: str, _truth: str, _position: int) -> str:
    """The target up to its answer, the closing tag cut off."""
    return target.partition(" </answer>")[0]


def half(target: str, truth: str, position: int) -> str:
    """The flaws come in turn, so that every subset has its share."""
    if position % 4 == 0:
        return target.replace(
            f"<answer> {truth} </answer>", f"<answer> {Decimal(truth) + 1} </answer>"
        )
    return unclosed(target, truth, position) if position % 4 == 1 else target


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


FLAWS: Mapping[str, Callable[[str, str, int], str]] = {"unclosed": unclosed, "half": half}

if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in FLAWS:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
