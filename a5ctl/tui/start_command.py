"""What the form that starts a run asks for, and the command line that comes of it."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from core.errors import UserError

KINDS = ("sft", "ei", "grpo", "dpo", "eval")
_TRAINED = ("sft", "ei", "grpo", "dpo")
MORE = "more"


@dataclass(frozen=True, slots=True)
class Question:
    """One line of the form.

    Attributes:
        name: For programs.
        option: Of `a5ctl run`.
        hint: Where nothing was typed yet.
        kinds: Kinds of runs that have it.
    """

    name: str
    option: str
    hint: str
    kinds: tuple[str, ...] = KINDS


QUESTIONS = (
    Question("model", "--model", "builtin, a folder, or a hub id"),
    Question("init", "--init", "go on from a run: RUN, RUN:STEP or RUN:best", _TRAINED),
    Question("run", "--run", "evaluate a checkpoint: RUN, RUN:STEP or RUN:best", ("eval",)),
    Question("data", "--data", "builtin, a folder or file of problems, gsm8k"),
    Question("pairs", "--pairs", "preference pairs (JSON lines)", ("dpo",)),
    Question("size", "--size", "training problems: 256, or several: 128,256,full", _TRAINED),
    Question("seed", "--seed", "0, or several: 0,1,2"),
    Question("lr", "--lr", "peak learning rate", _TRAINED),
    Question("epochs", "--epochs", "passes over the data", ("sft", "ei", "dpo")),
    Question("steps", "--steps", "updates", ("sft", "grpo", "dpo")),
    Question("rounds", "--ei-steps", "rounds of sampling and fine-tuning", ("ei",)),
    Question("group_size", "--group-size", "rollouts per question", ("grpo",)),
    Question("supervise", "--supervise", "response, closing or answer", ("sft", "ei")),
    Question("eval_every", "--eval-every", "updates between evaluations", _TRAINED),
    Question("group", "--group", "runs that belong together"),
    Question("name", "--name", "a name for people"),
    Question(MORE, "", "anything else: --batch-size 16 --set train.warmup=0.1"),
)


def questions_for(kind: str) -> tuple[Question, ...]:
    """The lines of the form for one kind of run."""
    return tuple(question for question in QUESTIONS if kind in question.kinds)


def run_arguments(kind: str, answers: Mapping[str, str]) -> list[str]:
    """Arguments of `a5ctl`; lines without an answer are left out.

    Raises:
        UserError: what was typed as anything else has an open quote.
    """
    arguments = ["run", kind]
    for question in questions_for(kind):
        answer = answers.get(question.name, "").strip()
        if not answer:
            continue
        if question.name == MORE:
            arguments += _split(answer)
        else:
            arguments += [question.option, answer]
    return arguments


def shown_command(arguments: list[str]) -> str:
    """The command line as a person would type it."""
    return shlex.join(["a5ctl", *arguments])


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UserError(f"{text!r} has an open quote; close it") from error
