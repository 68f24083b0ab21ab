"""What the form that starts a run asks for, and the command line that comes of it."""

import inspect
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter
from typing import Any, get_args

from core.errors import UserError

MORE = "more"
LINES = (
    *("model", "init", "run", "data", "pairs", "size", "seed", "lr", "epochs", "steps"),
    *("ei_steps", "group_size", "supervise", "eval_every", "group", "name", MORE),
)
"""All lines of the form; a kind of run has those that are parameters of its command."""


@dataclass(frozen=True, slots=True)
class Question:
    """One line of the form.

    Attributes:
        name: The parameter.
        hint: Where nothing was typed yet.
    """

    name: str
    hint: str

    @property
    def option(self) -> str:
        """Of `a5ctl run`."""
        return "--" + self.name.replace("_", "-")


Forms = Mapping[str, Sequence[Question]]
"""The lines of the form, by the kind of run."""


def forms_of(commands: Mapping[str, Callable[..., Any]]) -> Forms:
    """What to ask for, with the help of the commands as hints.

    Args:
        commands: By the kind of run that they start.
    """
    more = Question(MORE, "Anything else: --batch-size 16 --set train.warmup=0.1.")
    forms = {}
    for kind, command in commands.items():
        taken = inspect.signature(command).parameters
        asked = [Question(name, _hint(taken[name])) for name in LINES if name in taken]
        forms[kind] = (*asked, more)
    return forms


def run_arguments(
    kind: str, questions: Sequence[Question], answers: Mapping[str, str]
) -> list[str]:
    """Arguments of `a5ctl`; lines without an answer are left out.

    Raises:
        UserError: what was typed as anything else has an open quote.
    """
    arguments = ["run", kind]
    for question in questions:
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


def _hint(parameter: Parameter) -> str:
    _, option = get_args(parameter.annotation)
    return f"{option.metavar}: {option.help}" if option.metavar else str(option.help)


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UserError(f"{text!r} has an open quote; close it") from error
