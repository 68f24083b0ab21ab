"""Preflight's checks of the texts: what targets teach, how they close, and how prompts are made."""

import re
from collections.abc import Iterable

from core.data.filters import targets_graded_right
from core.responses.parse import parse_response
from trainers.defaults import training_grader
from trainers.preflight_report import PreflightInput, Result, doubtful, fine
from trainers.preflight_tokens import END_MARKS

_SHORTEST_PROMPT = 20
_ESCAPED_OR_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)


def stop(given: PreflightInput) -> Result:
    """Every target reaches a stop string, and ends with it."""
    stops = given.config.evaluation.stop
    if not stops:
        return fine("no stop string; responses end with EOS or the cap")
    shown = ", ".join(stops)
    unreachable = _ids(given, (not any(s in target for s in stops) for target in given.targets))
    if unreachable:
        return doubtful(
            f"{len(unreachable)} of {len(given.targets)} targets never contain a stop string "
            f"({shown}; first: {unreachable[0]}): the model learns responses that do not close"
        )
    swallowed = [given.problems[i].id for i in given.sample if _swallowed(given, i, stops)]
    if swallowed:
        return doubtful(
            f"the tokenizer gives {len(swallowed)} targets back without their stop string "
            f"({shown}; first: {swallowed[0]}): no response can reach it; choose another "
            "evaluation.stop"
        )
    marks = (*END_MARKS, given.tokenizer.eos_token or END_MARKS[0])
    going_on = _ids(given, (_goes_on(target, stops, marks) for target in given.targets))
    if going_on:
        return doubtful(
            f"{len(going_on)} targets go on behind their first stop string ({shown}; first: "
            f"{going_on[0]}): evaluation cuts responses there"
        )
    return fine(f"every target reaches the stop string {shown}")


def closing(given: PreflightInput) -> Result:
    """Think blocks, answer tags and boxes that a target opens are closed in it."""
    opened = [
        (problem.id, mark)
        for problem, target in zip(given.problems, given.targets, strict=True)
        if (mark := _left_open(given.template.prompt(problem), target)) is not None
    ]
    if not opened:
        return fine("every think block, answer tag and box is closed")
    first, mark = opened[0]
    return doubtful(
        f"{len(opened)} of {len(given.targets)} targets never close their {mark} (first: {first}): "
        "the model learns to leave it open; correct the data, or leave them out with --filter "
        "correct"
    )


def graded(given: PreflightInput) -> Result:
    """The run's own grader accepts the targets."""
    grader = training_grader(given.config, given.template, given.problems)
    right = targets_graded_right(given.problems, given.template, grader)
    share = sum(right) / len(right)
    if share == 1.0:
        return fine(f"the {grader} grader accepts all {len(right)} training targets")
    wrong = _ids(given, (not ok for ok in right))[0]
    return doubtful(
        f"the {grader} grader accepts only {share:.1%} of the training targets (first refused: "
        f"{wrong}); the run will learn answers that count as wrong: --filter correct leaves them "
        "out"
    )


def prompt_in_target(given: PreflightInput) -> Result:
    """No target says its own prompt again, which would be learned."""
    repeating = _ids(
        given,
        (
            _begins_with(target, given.template.prompt(problem))
            or _begins_with(target, problem.question)
            for problem, target in zip(given.problems, given.targets, strict=True)
        ),
    )
    if repeating:
        return doubtful(
            f"{len(repeating)} of {len(given.targets)} targets begin with their own prompt (first: "
            f"{repeating[0]}), so that the prompt is supervised; take it out of the responses"
        )
    return fine("no target repeats its prompt")


def prompt(given: PreflightInput) -> Result:
    """Training asks in the form that evaluation asks in."""
    own = [p for p in given.problems if p.prompt is not None]
    if not own:
        return fine(_rendering(given))
    tail = given.template.text.rpartition("}")[2]
    differing = [p for p in own if not (p.prompt or "").endswith(tail)]
    if differing and tail:
        return doubtful(
            f"{len(differing)} training prompts do not end like the template {given.template.name} "
            f"(first: {differing[0].id}); evaluation on other data would ask in another form"
        )
    return fine("the data brings its own prompts")


def _ids(given: PreflightInput, marks: Iterable[bool]) -> list[str]:
    return [p.id for p, marked in zip(given.problems, marks, strict=True) if marked]


def _swallowed(given: PreflightInput, index: int, stops: Iterable[str]) -> bool:
    example = given.examples[index]
    if example.truncated:
        return False
    text = given.tokenizer.decode(list(example.token_ids[example.prompt_length :]))
    return not any(stop in text for stop in stops)


def _goes_on(target: str, stops: Iterable[str], marks: Iterable[str]) -> bool:
    ends = [target.find(stop) + len(stop) for stop in stops if stop in target]
    rest = target[min(ends) :]
    for mark in marks:  # what the check of endings is for
        rest = rest.replace(mark, "")
    return bool(rest.strip())


def _left_open(prompt_text: str, target: str) -> str | None:
    parsed = parse_response(target)
    opens = len(parsed.think_opens) + prompt_text.rstrip().endswith("<think>")
    if opens > len(parsed.think_closes):
        return "<think>"
    if parsed.answer_opens and not parsed.closed:
        return "<answer>"
    box = target.rfind("\\boxed{")
    if box >= 0 and _never_closes(target[box + len("\\boxed") :]):
        return "\\boxed{"
    return None


def _never_closes(text: str) -> bool:
    depth = 0
    for match in _ESCAPED_OR_BRACE.finditer(text):
        depth += {"{": 1, "}": -1}.get(match.group(), 0)
        if depth == 0:
            return False
    return True


def _begins_with(target: str, text: str) -> bool:
    text = text.strip()
    return len(text) >= _SHORTEST_PROMPT and target.lstrip().startswith(text)


def _rendering(given: PreflightInput) -> str:
    text = f"prompts are rendered by {given.template.name}"
    if given.config.prompt.chat:
        return f"{text} inside the model's chat template"
    if getattr(given.tokenizer, "chat_template", None):
        return (
            f"{text}; the model's chat template is not used (--set prompt.chat=true uses it, which "
            "models trained on conversations need)"
        )
    return text
