"""A template inside a model's chat template, for models that were trained on conversations."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.errors import UserError, first_line
from core.prompts.template import PromptTemplate

_OPEN_THINK = "<think>"
_SPEAKER = "Assistant:"
_REHEARSAL = Path(__file__).with_name("chat_rehearsal.py")
_LONGEST_S = 120.0


def in_chat_template(template: PromptTemplate, tokenizer: Any) -> PromptTemplate:
    """The template as the user's turn of a conversation whose next turn is the model's.

    A template that ends with an open think block opens it in the model's turn instead. The result
    is a template again, so that the protocol records exactly what is asked.

    Raises:
        UserError: the tokenizer has no chat template, or one that cannot be rendered.
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
    _rehearse(tokenizer, turns)
    try:
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    except Exception as error:  # whatever a template makes of its values
        raise _refused(first_line(error)) from error
    if content.strip() not in text:  # blanks around it many templates take away
        raise _refused("it leaves out what the user says, or changes it")
    return replace(template, text=text + opening)


def _rehearse(tokenizer: Any, turns: list[dict[str, str]]) -> None:
    """A template that loops without end does so where it can be killed."""
    chosen = tokenizer.get_chat_template()
    values = {"messages": turns, "tools": None, "documents": None, "add_generation_prompt": True}
    given = {"template": chosen, "values": {**tokenizer.special_tokens_map, **values}}
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(_REHEARSAL)],
            input=json.dumps(given, default=str),
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=_LONGEST_S,
        )
    except subprocess.TimeoutExpired as error:
        raise _refused("it does not end") from error
    if done.returncode:
        why = first_line(done.stdout) if done.stdout else "it does not end"
        raise _refused(why)


def _refused(why: str) -> UserError:
    return UserError(
        f"the chat template of the model's tokenizer cannot be rendered ({why}); leave prompt.chat "
        "off, or correct the template"
    )
