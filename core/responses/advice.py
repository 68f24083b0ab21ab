"""What to try about each cause, as commands that work as they stand."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.responses.cause_names import CauseContext, CauseName, FoundCause
from core.responses.names import FailureClass, GraderName
from core.responses.wrong_math import Earlier

DEFAULT_CAP = 1024
_STOP = "</answer>"


@dataclass(frozen=True, slots=True)
class Advice:
    """Something to try.

    Attributes:
        text: Why, in one clause.
        command: The command that does it.
    """

    text: str
    command: str


@dataclass(frozen=True, slots=True)
class Commands:
    """How the advice on one evaluation is typed; options are appended to each.

    Attributes:
        diagnose: Shows this evaluation.
        evaluate: Evaluates the same weights again; None where they are not to be had.
        train: Trains on from them, or trains where nothing was trained; None likewise.
        more_data: Training problems are left that the run did not use.
        probe: Asks the same weights for single responses again; None where they are not to be had.
        graded: Shows this evaluation, with no grader named yet; `diagnose` when not given.
        restore: Reads a file again with the stop string put back; None where it was kept.
        supervise: Part of the response that the run was trained on.
        show: Shows the training behind these weights, with its alarms; None where there was none.
        stops: Strings that ended a response; None where nobody wrote them down.
    """

    diagnose: str
    evaluate: str | None
    train: str | None
    more_data: bool = True
    probe: str | None = None
    graded: str | None = None
    restore: str | None = None
    supervise: str = "response"
    show: str | None = None
    stops: tuple[str, ...] | None = None

    @property
    def under(self) -> str:
        """What a grader is appended to."""
        return f"{self.graded or self.diagnose} --grader"


def commands_of_run(run: str) -> Commands:
    """The commands for the last evaluation of a run that trained."""
    name = shlex.quote(run)
    return Commands(
        diagnose=f"a5ctl diagnose {name}",
        evaluate=f"a5ctl run eval --run {name}",
        train=f"a5ctl run sft --init {name}",
        probe=f"a5ctl probe {name}",
        show=f"a5ctl show {name}",
    )


def advice_on(
    cause: CauseName, commands: Commands, context: CauseContext, *, boxes: bool = False
) -> Iterator[Advice]:
    """What to try about one cause, what tells most first.

    Args:
        cause: What was found.
        commands: How things are typed here.
        context: What it was found with.
        boxes: Most responses box their answer.
    """
    sibling = context.sibling
    train = commands.train
    if cause is CauseName.LENGTH_CAP:
        yield from _more_room(commands, context.cap)
    elif cause is CauseName.NEVER_STOPS:
        if commands.evaluate is not None and commands.stops is not None and not commands.stops:
            stop = shlex.join(["--set", f'evaluation.stop=["{_STOP}"]'])
            yield Advice(f"end responses at {_STOP}", f"{commands.evaluate} {stop}")
        if train is not None:
            yield Advice("train on with EOS at the end of every target, the default", train)
    elif cause is CauseName.NEVER_CLOSES:
        yield from _unclosed(commands)
    elif cause is CauseName.TEMPLATE_COPY:
        if train is not None:
            text = "train on whole responses, reasoning included"
            yield Advice(text, f"{train} --supervise response")
    elif cause is CauseName.SAYS_NOTHING:
        if commands.show is not None:
            text = "look for alarms of its training; a learning rate that is too high does this"
            yield Advice(text, commands.show)
    elif cause in _FORM:
        grader = GraderName.QUESTION_ONLY if boxes else GraderName.LENIENT
        by = "the boxes" if boxes else "the last number"
        yield Advice(f"see what is left when {by} counts", f"{commands.under} {grader}")
        if train is not None:
            yield Advice(_FORM[cause], f"{train} --supervise {_part(cause)}")
    elif cause is CauseName.WRONG_MATH:
        yield from _math(commands, context.earlier)
    elif cause is CauseName.CONSTANT_ANSWER:
        text = "read some of the responses that give this answer"
        yield Advice(text, f"{commands.diagnose} --class {FailureClass.WRONG_NUMBER}")
        yield from _broken(commands, context.earlier)
    elif cause is CauseName.FALLS_WITH_SIZE and sibling is not None:
        text = f"see which problems {sibling.run} gets right and this run does not"
        yield Advice(text, f"{commands.diagnose} --against {shlex.quote(sibling.run)}")


def command_for(
    found: FoundCause, commands: Commands, context: CauseContext, *, boxes: bool = False
) -> str | None:
    """The first command to try about a cause; None where nothing can be done from here."""
    first = next(advice_on(found.cause, commands, context, boxes=boxes), None)
    return None if first is None else first.command


def without_repeats(advice: Sequence[Advice]) -> tuple[Advice, ...]:
    """Each command once, under its first reason."""
    kept: dict[str, Advice] = {}
    for item in advice:
        kept.setdefault(item.command, item)
    return tuple(kept.values())


_FORM = {
    CauseName.NO_TAGS: "train on responses in the format",
    CauseName.WRONG_SEPARATOR: "train on the part from </think> on, in the right form",
    CauseName.SENTENCE_ANSWER: "train on bare numbers in the answer",
    CauseName.REFUSED_NUMBERS: "train on numbers as the grader takes them",
}


def _part(cause: CauseName) -> str:
    """The shortest part of a response that teaches the form."""
    parts = {CauseName.NO_TAGS: "response", CauseName.WRONG_SEPARATOR: "closing"}
    return parts.get(cause, "answer")


def _more_room(commands: Commands, cap: int | None) -> Iterator[Advice]:
    first = DEFAULT_CAP if cap is None else 2 * cap
    if commands.probe is not None:
        command = f"{commands.probe} --max-tokens {first},{2 * first}"
        yield Advice("see what the cut responses come to with more room", command)
    if commands.evaluate is not None:
        yield Advice("evaluate under a larger cap", f"{commands.evaluate} --max-tokens {first}")


def _unclosed(commands: Commands) -> Iterator[Advice]:
    if commands.restore is not None:
        yield Advice("put the closing tag back, in case the tool cut it off", commands.restore)
    if commands.probe is not None:
        yield Advice("see what it answers when asked to close", f"{commands.probe} --close")
    if commands.train is not None:
        text = "train on targets that the grader takes as right, which are closed"
        yield Advice(text, f"{commands.train} --filter correct")


def _broken(commands: Commands, earlier: Earlier | None) -> Iterator[Advice]:
    if earlier is None or not earlier.fell:
        return
    before = shlex.quote(f"{earlier.run}:{earlier.step}")
    yield Advice("see what its training broke", f"{commands.diagnose} --against {before}")
    if commands.show is not None:
        text = "look at its rate, its rewards and its alarms before it is trained again"
        yield Advice(text, commands.show)


def _math(commands: Commands, earlier: Earlier | None) -> Iterator[Advice]:
    train = commands.train
    if earlier is not None and earlier.fell:
        yield from _broken(commands, earlier)
    elif train is None:
        wrong = FailureClass.WRONG_NUMBER
        yield Advice("read some of the wrong ones", f"{commands.diagnose} --class {wrong}")
    elif commands.supervise != "response":
        text = "train on the reasoning too, not on its end alone"
        yield Advice(text, f"{train} --supervise response")
    elif commands.more_data:
        yield Advice("train on more problems; the math is what is missing", f"{train} --size full")
    else:
        yield Advice("train longer; the math is what is missing, and all problems were used", train)
