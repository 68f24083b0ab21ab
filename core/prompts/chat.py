"""A template inside a model's chat template, for models that were trained on conversations."""

from dataclasses import replace
from typing import Any

from core.errors import UserError
from core.prompts.template import PromptTemplate

_OPEN_THINK = "<think>"
_SPEAKER = "Assistant:"


def in_chat_template(template: PromptTemplate, tokenizer: Any) -> PromptTemplate:
    """The template as the user's turn of a conversation whose next turn is the model's.

    A template that ends with an open think block opens it in the model's turn instead. The result
    is a template again, so that the protocol records exactly what is asked.

    Raises:
        UserError: the tokenizer has no chat template.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise UserError(
            "prompt.chat is on, but the model's tokenizer has no chat template; leave it off, or "
            "take a model that has one"
        )
    content = template.head
    opening = _OPEN_THINK if template.opens_think else ""
    if opening:
        content = content.rstrip().removesuffix(_OPEN_THINK).rstrip().removesuffix(_SPEAKER)
    turns = [{"role": "user", "content": content.rstrip()}]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    return replace(template, text=text + opening)
