"""A prompt template: the text around a question, and the training target that answers it."""

import re
from dataclasses import dataclass
from pathlib import Path

from core.data.problem import Problem
from core.errors import UserError
from core.given_files import read_given_text
from core.responses.grade import Placeholders

BUILTIN_PROMPTS = ("think_answer", "question_only", "instruction", "multiple_choice")
_QUESTION_FIELDS = ("{question}", "{instruction}")
_RESPONSE_FIELD = "{response}"


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """One template.

    Attributes:
        name: Built-in name or file name, for people.
        text: The template with its field `{question}` (or `{instruction}`). A `{response}` field
            ends the prompt: what follows it is not part of the prompt.
    """

    name: str
    text: str

    def render(self, question: str) -> str:
        """The prompt for one question; braces in the question are left alone."""
        for field in _QUESTION_FIELDS:
            before, found, after = self.head.partition(field)
            if found:
                return before + question + after
        return self.head

    def prompt(self, problem: Problem) -> str:
        """The prompt for one problem; data that brings its own prompts keeps them."""
        return problem.prompt if problem.prompt is not None else self.render(problem.question)

    def target(self, problem: Problem) -> str | None:
        """The training response for one problem, without EOS; None when the data has none."""
        if problem.target is not None:
            return problem.target
        if problem.reasoning is None:
            return None
        if self.opens_think:
            return f" {problem.reasoning} </think> <answer> {problem.truth} </answer>"
        return f"{self._joint}{problem.reasoning}\nThe answer is \\boxed{{{problem.truth}}}."

    def document(self, question: str, response: str) -> str:
        """Prompt and response as one text, for data that is packed.

        The line break that ends a template file is none of the document.

        Raises:
            UserError: the template has no `{response}` field.
        """
        _, found, tail = self.text.partition(_RESPONSE_FIELD)
        if not found:
            raise UserError(
                f"prompt template {self.name} has no {{response}} field; packed data needs one, "
                "as the built-in template instruction has"
            )
        return self.render(question) + response + tail.removesuffix("\n")

    @property
    def head(self) -> str:
        """The template up to where the response begins, its question field included."""
        return self.text.split(_RESPONSE_FIELD, 1)[0]

    @property
    def opens_think(self) -> bool:
        """The prompt ends inside an open think block, so that responses continue it."""
        return self.text.rstrip().endswith("<think>")

    @property
    def placeholders(self) -> Placeholders:
        """Texts between tags in the template itself; an echo is neither reasoning nor answer."""
        return Placeholders(
            reasoning=_between(self.text, "think"), answer=_between(self.text, "answer")
        )

    @property
    def _joint(self) -> str:
        return "" if self.head.endswith(("\n", " ")) else "\n"


def load_prompt(spec: str) -> PromptTemplate:
    """Load a template by built-in name or by path.

    Raises:
        UserError: no such name or file, or the file has no question field.
    """
    if spec in BUILTIN_PROMPTS:
        path = Path(__file__).parent / f"{spec}.prompt"
        return PromptTemplate(spec, path.read_text(encoding="utf-8"))
    path = Path(spec).expanduser()
    if not path.is_file():
        raise UserError(
            f"prompt {spec!r} is neither a built-in template ({', '.join(BUILTIN_PROMPTS)}) "
            "nor a file; name one of these or give the path of a template file"
        )
    try:
        text = read_given_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"prompt file {path} cannot be read as UTF-8 text ({error}); save it as UTF-8"
        ) from error
    check_question_field(text, f"prompt file {path}")
    return PromptTemplate(path.name, text)


def check_question_field(text: str, what: str) -> None:
    """A template without a place for the question would ask every problem the same.

    Raises:
        UserError: there is none; `what` names the template.
    """
    if not any(field in text for field in _QUESTION_FIELDS):
        raise UserError(f"{what} has no {{question}} field; write {{question}} where it belongs")


def _between(text: str, tag: str) -> frozenset[str]:
    found = re.findall(rf"<{tag}>(.*?)</{tag}>", text, flags=re.DOTALL)
    return frozenset(part.strip() for part in found if part.strip())
