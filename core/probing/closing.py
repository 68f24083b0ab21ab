"""What is put behind a response without a complete answer, so that the model can finish it.

| the stored response | is appended | then |
| --- | --- | --- |
| has no open answer: capped, or ended by itself | ` </think> <answer>` | the model goes on |
| ends with a part of that, as `</think>` or ` </thi` | what is missing of it | as above |
| stands inside an open answer, capped | nothing | the model goes on from there |
| stands inside an open answer, ended by itself | nothing | it has had its say |

Wherever the model has ended by itself inside the answer, ` </answer>` is put behind it: what it
wanted to say is complete, only the tag is missing. Where the budget ends inside the answer nothing
more is appended, and the answer counts as unclosed.
"""

from dataclasses import dataclass

from core.engines.base import FinishReason
from core.responses.parse import parse_response

CLOSING = " </think> <answer>"
CLOSE_TOKENS = 64
"""What the model may add; answers to word problems are a number, rarely a short sentence."""
STOP = "</answer>"
_ENDING = f" {STOP}"


@dataclass(frozen=True, slots=True)
class Opening:
    """How a response is made ready for its answer.

    Attributes:
        appended: What is put behind the stored text.
        ended: The model has ended inside the answer already and is not asked again.
    """

    appended: str
    ended: bool = False


def open_answer(text: str, finish: FinishReason) -> Opening:
    """Make room for an answer behind an unclosed response."""
    if parse_response(text).answer_opens:
        return Opening("", ended=finish is FinishReason.EOS)
    return Opening(missing_part(text, CLOSING))


def close_answer(text: str, finish: FinishReason) -> str:
    """The whole text after the model went on, with the tag that it left out when it ended."""
    if finish is not FinishReason.EOS or parse_response(text).closed:
        return text
    return text + missing_part(text, _ENDING)


def missing_part(text: str, tail: str) -> str:
    """What `text` lacks to end with `tail`, whose leading space may be missing too."""
    bare = tail.lstrip()
    for size in range(len(tail), 0, -1):
        if text.endswith(tail[:size]):
            return tail[size:]
        if size <= len(bare) and text.endswith(bare[:size]):
            return bare[size:]
    return tail
