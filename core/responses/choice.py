"""Multiple choice: which letter a response names, and why one is wrong."""

from collections.abc import Sequence

from core.engines.base import FinishReason
from core.responses.course import parse_mmlu_response
from core.responses.failures import is_sentence
from core.responses.names import FailureClass
from core.responses.parse import ParsedResponse


def chosen_letter(parsed: ParsedResponse, options: Sequence[str]) -> str | None:
    """The letter that a response chooses; None when it names none.

    What stands from the last `<answer>` on is read where there is one, else the whole response.

    Args:
        parsed: The response.
        options: Texts of the options from A on; an answer may quote one of them.
    """
    said = parsed.answer_text
    return parse_mmlu_response({"options": options}, parsed.text if said is None else said)


def choice_failure(
    parsed: ParsedResponse, finish: FinishReason, letter: str | None
) -> FailureClass:
    """The primary class of a response whose letter is wrong or missing."""
    if letter is not None:
        return FailureClass.WRONG_NUMBER  # well formed and wrong, whatever was asked for
    if parsed.closed:
        return _without_letter(parsed.answer_text or "")
    if finish is FinishReason.UNKNOWN:
        return FailureClass.UNKNOWN_STOP
    capped = finish is FinishReason.LENGTH
    if parsed.answer_opens:
        return FailureClass.TRUNCATED_ANSWER if capped else FailureClass.UNCLOSED_ANSWER
    return FailureClass.TRUNCATED_THINKING if capped else FailureClass.STOPPED_WITHOUT_ANSWER


def _without_letter(answer: str) -> FailureClass:
    """The class of an answer between tags that names no option."""
    if not answer.strip():
        return FailureClass.EMPTY_ANSWER
    return FailureClass.SENTENCE_ANSWER if is_sentence(answer) else FailureClass.WRONG_NUMBER
