"""Writes the planted dumps that no model generated: GSM8K questions, answered as tools dump them.

PYTHONPATH=. python -m tests.a5ctl.planted.dumps
"""

import gzip
import json
import random
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.a5ctl.planted.solutions import Solved, questions, right, wrong

FOLDER = Path(__file__).parent
GSM8K = FOLDER.parents[3] / "shared" / "data" / "gsm8k" / "test.jsonl"
Line = dict[str, Any]

R1_ZERO = (
    "A conversation between User and Assistant. The User asks a question, and the Assistant "
    "solves it. The Assistant first thinks about the reasoning process in the mind and then "
    "provides the User with the answer. The reasoning process is enclosed within <think> </think> "
    "and answer is enclosed within <answer> </answer> tags, respectively, i.e., <think> reasoning "
    "process here </think> <answer> answer here </answer>.\nUser: {}\nAssistant: <think>"
)
SENTENCES = (
    *("The answer is {n}.", "{n} is the answer", "So the total comes to {n}.", "It is {n} in all."),
    *("The final answer is {n}", "There are {n} of them.", "That makes {n} altogether."),
    *("Therefore, the result is {n}.", "He or she ends up with {n}.", "We get {n} at the end"),
    *("After all of this, {n} is what remains.", "In total, the number asked for is {n}."),
)


def formed(thought: str, answer: str) -> str:
    """A response in the format that the grader asks for."""
    return f" {thought} </think> <answer> {answer} </answer>"


def ordinary(solved: Solved, rng: random.Random, accuracy: float) -> tuple[str, str]:
    """What a working model says, and how it ended: mostly well formed, a little of everything."""
    thought, end = (right if rng.random() < accuracy else wrong)(solved, rng)
    stray = rng.random()
    if stray < 0.012:
        return f" {thought} {thought[: len(thought) // 2]}", "length"
    if stray < 0.022:
        return f" {thought} </think> <answer> {end}", "stop"
    if stray < 0.030:
        return f" {thought} </think>\n<answer> {end} </answer>", "stop"
    if stray < 0.036:
        return formed(thought, f"{end} apples"), "stop"
    if stray < 0.040:
        return formed(thought, rng.choice(SENTENCES).format(n=end)), "stop"
    return formed(thought, end), "stop"


def healthy(rng: random.Random) -> Iterable[Line]:
    """Layout of verl's validation dumps; nothing planted."""
    for solved in questions(GSM8K, 320, 21):
        text, _ = ordinary(solved, rng, 0.62)
        prompt = R1_ZERO.format(solved.question)
        yield {"input": prompt, "output": text, "gts": solved.truth, "step": 240}


def wrong_math(rng: random.Random) -> Iterable[Line]:
    """The format without a fault, and slips in nearly every chain of steps."""
    for solved in questions(GSM8K, 320, 22):
        thought, end = (right if rng.random() < 0.07 else wrong)(solved, rng)
        yield {
            "question": solved.question,
            "answer": solved.answer,
            "response": formed(thought, end),
            "finish_reason": "stop",
        }


def sentence_answer(rng: random.Random) -> Iterable[Line]:
    """Chat messages as TRL keeps them; most answers are sentences around a number."""
    for solved in questions(GSM8K, 300, 23):
        text, finish = ordinary(solved, rng, 0.6)
        if rng.random() < 0.72:
            thought, end = (right if rng.random() < 0.6 else wrong)(solved, rng)
            text, finish = formed(thought, _sentence(solved, end, rng)), "stop"
        prompt = [{"role": "user", "content": R1_ZERO.format(solved.question)}]
        reply = [{"role": "assistant", "content": text}]
        yield {
            "prompt": prompt,
            "completion": reply,
            "answer": solved.answer,
            "stop_reason": finish,
        }


def template_copy(rng: random.Random) -> Iterable[Line]:
    """Whole prompts in the file; the prompt's own words come back, in full or in part."""
    for solved in questions(GSM8K, 300, 24):
        text, finish = ordinary(solved, rng, 0.55)
        if rng.random() < 0.66:
            text, finish = _copied(solved, rng), "stop"
        prompt = R1_ZERO.format(solved.question)
        yield {
            "prompt": prompt,
            "completion": text,
            "ground_truth": solved.truth,
            "finish_reason": finish,
        }


def _sentence(solved: Solved, end: str, rng: random.Random) -> str:
    asked = solved.question.rstrip("?").rpartition(". ")[2]
    if asked.startswith(("How many ", "How much ")) and rng.random() < 0.4:
        thing = asked.split(" ", 3)[2].strip(",")
        return f"{end} {thing}, because the steps above add up to that."
    return rng.choice(SENTENCES).format(n=end)


def _copied(solved: Solved, rng: random.Random) -> str:
    thought, _ = (right if rng.random() < 0.5 else wrong)(solved, rng)
    whole = " reasoning process here </think> <answer> answer here </answer>"
    texts = (
        *(whole, whole),
        *(formed(thought, "answer here"), formed(thought, "answer here")),
        formed("reasoning process here", wrong(solved, rng)[1]),
        f" {thought.split('.')[0]}. reasoning process here </think> <answer> answer here </answer>",
    )
    return rng.choice(texts)


DUMPS: Mapping[str, tuple[int, Callable[[random.Random], Iterable[Line]]]] = {
    "healthy_dump": (1, healthy),
    "wrong_math": (2, wrong_math),
    "sentence_answer": (3, sentence_answer),
    "template_copy": (4, template_copy),
}


def write(path: Path, lines: Iterable[Line]) -> None:
    """Gzip without a time in its header, so that the same lines make the same file."""
    text = "".join(json.dumps(line) + "\n" for line in lines)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    for name, (seed, lines) in DUMPS.items():
        write(FOLDER / f"{name}.jsonl.gz", lines(random.Random(seed)))
