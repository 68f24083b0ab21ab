"""GRPO runs that are driven into a failure, and some that are not: what is run, and what shows it.

    python benchmarks/watchdog_cases.py /tmp/planted.jsonl

Nothing is faked in them but the engine that misses its copies: a reward that pays for the failure,
a rate, a temperature or many updates with one batch bring it about. Two failures need a start that
shows them now and then, because a policy cannot learn what it never says: the command writes what
`a5ctl run sft --init RUN --data` teaches it.
"""

import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

LR = 3e-4
"""Of healthy runs of the built-in model."""
COPIES = 4
"""Copies of the weights that reach a stale engine: those of the first updates."""


@dataclass(frozen=True, slots=True)
class Symptom:
    """When a failure can be seen in what was recorded, whatever the rules say.

    Attributes:
        metric: The recorded course that shows it.
        mark: How far that course has moved from its first value; negative for a fall. A good deal
            less than any rule asks for.
        relative: As a part of the first value.
    """

    metric: str
    mark: float
    relative: bool = False

    def visible(self, course: Sequence[tuple[int, float]]) -> int | None:
        """The first of three steps in a row that show it; None where no three do."""
        shown = [self._beyond(value, course[0][1]) for _, value in course]
        for place in range(len(course) - 2):
            if all(shown[place : place + 3]):
                return course[place][0]
        return None

    def _beyond(self, value: float, first: float) -> bool:
        moved = value - first
        if self.relative:
            moved /= max(abs(first), 1e-9)
        return moved >= self.mark if self.mark > 0 else moved <= self.mark


SYMPTOMS = {
    "constant_answer": Symptom("constant_share", 0.1),
    "format_hacked": Symptom("right_share", -0.5, relative=True),
    "rollout_format_lost": Symptom("formatted_share", -0.1),
    "template_copied": Symptom("template_copy_share", 0.1),
    "second_think": Symptom("second_think_share", 0.05),
    "drift_into_cap": Symptom("truncated_share", 0.1),
    "reward_lost": Symptom("right_share", -0.5, relative=True),
    "nothing_to_learn": Symptom("zero_advantage_share", 0.3),
    "entropy_exploded": Symptom("rollout_entropy", 1.0, relative=True),
    "entropy_collapsed": Symptom("rollout_entropy", -0.5, relative=True),
    "engine_gap": Symptom("engine_gap", 1.0, relative=True),
    "kl_high": Symptom("kl", 0.1),
    "ratios_clipped": Symptom("clip_fraction", 0.1),
}
"""By the rule that is to tell it."""


@dataclass(frozen=True, slots=True)
class Case:
    """One run.

    Attributes:
        name: What is special about it.
        options: Of `a5ctl run grpo`.
        expected: The rules that have to fire; none for a healthy run.
        stale: Only the first copies of the weights reach the engine.
        planted: Begins from a run on planted data.
    """

    name: str
    options: tuple[str, ...]
    expected: tuple[str, ...] = ()
    stale: bool = False
    planted: bool = False


_HIGH = ("--lr", str(10 * LR))
_R1 = ("--train-grader", "r1_zero")

FAILING = (
    Case(
        "learning rate 100 times too high",
        ("--lr", str(100 * LR)),
        (
            *("entropy_exploded", "reward_lost", "rollout_format_lost", "drift_into_cap"),
            *("nothing_to_learn", "second_think"),
        ),
    ),
    Case("missed weight copies", (), ("engine_gap",), stale=True),
    Case(
        "missed weight copies, float32",
        ("--set", "train.precision=float32"),
        ("engine_gap",),
        stale=True,
    ),
    Case(
        "reward for short formatted responses",
        ("--reward", "format=1,length=-3", *_HIGH, *_R1),
        ("format_hacked", "constant_answer", "reward_lost", "entropy_collapsed"),
    ),
    Case("reward for length", ("--reward", "length=1", *_HIGH), ("drift_into_cap",)),
    Case(
        "second think blocks pay",
        ("--reward", "format=1,length=1", *_HIGH, *_R1),
        ("second_think",),
        planted=True,
    ),
    Case(
        "copying the template pays",
        ("--reward", "format=1,length=-1", "--kl", "0.0001", *_HIGH, *_R1),
        ("template_copied", "constant_answer", "entropy_collapsed", "kl_high"),
        planted=True,
    ),
    Case(
        "many updates with one batch",
        ("--train-batch", "16", "--epochs-per-rollout", "4", *_HIGH, "--steps", "3"),
        ("ratios_clipped",),
    ),
)
HEALTHY = (
    Case("default", ()),
    Case("lower rate", ("--lr", str(LR / 3))),
    Case("no std normalization", ("--no-std-normalization",)),
    Case("constant length", ("--length-normalization", "constant")),
    Case("off-policy", ("--train-batch", "16", "--lr", str(LR / 3))),
    Case("no baseline", ("--loss", "no_baseline", "--lr", str(LR / 3))),
    Case("kl", ("--kl", "0.05")),
    Case("format and answer", ("--reward", "answer=1,format=0.1")),
)


def planted(problems: int = 96, share: float = 0.3) -> list[dict[str, str]]:
    """Built-in training pairs, of which some copy the template and some think twice.

    Args:
        problems: How many.
        share: Of them that have either fault.
    """
    from core.data.load import load_data
    from core.prompts.template import load_prompt

    template = load_prompt("think_answer")
    drawn = random.Random(0)
    rows = []
    for problem in load_data("builtin").split("train")[:problems]:
        target, chance = template.target(problem) or "", drawn.random()
        if chance < share:
            target = " your working </think> <answer> your result </answer>"
        elif chance < 2 * share:
            target = target.replace("</think>", f"</think> <think> {problem.reasoning} </think>", 1)
        row = {"prompt": template.prompt(problem), "response": target}
        rows.append({**row, "ground_truth": problem.truth})
    return rows


if __name__ == "__main__":
    lines = "\n".join(map(json.dumps, planted()))
    Path(sys.argv[1]).write_text(lines + "\n", encoding="utf-8")
