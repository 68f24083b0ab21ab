"""A template in a chat template: the question stays a field; thinking opens in the answer."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.data.problem import Problem
from core.errors import UserError
from core.prompts.chat import in_chat_template
from core.prompts.template import PromptTemplate, load_prompt
from trainers.policy import Policy

CHAT = (
    "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}[end]{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
ASKED = Problem("p", "What is {2}+{2}?", "4", reasoning="2 + 2 = 4.")


@pytest.fixture
def tokenizer(policy: Policy) -> object:
    policy.tokenizer.chat_template = CHAT
    return policy.tokenizer


def test_an_open_think_block_opens_in_the_models_turn(tokenizer: object) -> None:
    plain = load_prompt("think_answer")
    chat = in_chat_template(plain, tokenizer)
    prompt = chat.prompt(ASKED)
    assert prompt.startswith("[user]Solve the problem.")
    assert prompt.endswith("User: What is {2}+{2}?[end][assistant]<think>")
    assert chat.target(ASKED) == plain.target(ASKED)
    assert chat.placeholders == plain.placeholders


@pytest.mark.parametrize("name", ["question_only", "instruction"])
def test_other_templates_leave_the_models_turn_empty(tokenizer: object, name: str) -> None:
    prompt = in_chat_template(load_prompt(name), tokenizer).prompt(ASKED)
    assert prompt.endswith("[end][assistant]")
    assert "What is {2}+{2}?" in prompt


def test_blanks_that_a_chat_template_takes_away_are_no_change(tokenizer: Any) -> None:
    tokenizer.chat_template = CHAT.replace("m['content']", "m['content'] | trim")
    prompt = in_chat_template(PromptTemplate("own.prompt", "\n  {question}\n"), tokenizer)
    assert prompt.prompt(ASKED).startswith("[user]What is {2}+{2}?[end]")


def test_a_tokenizer_without_a_chat_template_is_refused() -> None:
    with pytest.raises(UserError, match="has no chat template"):
        in_chat_template(load_prompt("think_answer"), SimpleNamespace(chat_template=None))


@pytest.mark.parametrize(
    ("bomb", "why"),
    [
        (
            "{% for i in range(9**5) %}{% for j in range(9**5) %}{% endfor %}{% endfor %}",
            "not end",
        ),
        ("{% generation %}{{ 'x' * 10**11 }}{% endgeneration %}", "MemoryError"),
        ("{{ cycler.__init__.__globals__.os.popen('touch ran') }}", "unsafe"),
        ("{% for", "TemplateSyntaxError"),
        ("always the same", "leaves out what the user says"),
    ],
)
def test_a_template_that_is_a_bomb_is_refused_and_harms_nothing(
    tokenizer: Any, bomb: str, why: str
) -> None:
    tokenizer.chat_template = bomb
    with pytest.raises(UserError, match=why):
        in_chat_template(load_prompt("think_answer"), tokenizer)
    assert not Path("ran").exists()
