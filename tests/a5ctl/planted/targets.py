"""Writes data folders with faulty training targets, out of the built-in problems.

PYTHONPATH=. python -m tests.a5ctl.planted.targets newline|packed FOLDER
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from core.data.load import load_data
from core.data.problem import Problem
from core.prompts.template import load_prompt
from examples.flawed_targets import asked, write

_TOGETHER = 3


def newline(problems: Sequence[Problem]) -> Iterator[dict[str, str]]:
    """The usual target, with a newline where one space belongs."""
    template = load_prompt("think_answer")
    for problem in problems:
        target = str(template.target(problem)).replace("</think> <answer>", "</think>\n<answer>")
        yield _example(problem, target)


def packed(problems: Sequence[Problem]) -> Iterator[dict[str, str]]:
    """The usual target with the next problems right behind it, as packing without an end does."""
    template = load_prompt("think_answer")
    texts = [template.prompt(problem).partition("\n")[2] for problem in problems]
    for at, problem in enumerate(problems):
        behind = [(at + i) % len(problems) for i in range(1, _TOGETHER)]
        further = [f"\n{texts[i]}{template.target(problems[i])}" for i in behind]
        yield _example(problem, str(template.target(problem)) + "".join(further))


def _example(problem: Problem, target: str) -> dict[str, str]:
    prompt = load_prompt("think_answer").prompt(problem)
    return {"prompt": prompt, "response": target, "ground_truth": problem.truth}


FAULTS: Mapping[str, Callable[[Sequence[Problem]], Iterator[dict[str, str]]]] = {
    "newline": newline,
    "packed": packed,
}


def main(fault: str, folder: Path) -> None:
    """Write train.jsonl with this fault, and test.jsonl as it is."""
    data = load_data("builtin")
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "train.jsonl", FAULTS[fault](list(data.split("train"))))
    write(folder / "test.jsonl", asked(data.split("test")))


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in FAULTS:
        sys.exit(__doc__)
    main(sys.argv[1], Path(sys.argv[2]))
