"""Templates: rendering, targets, placeholders, and files that cannot be one."""

from pathlib import Path

import pytest

from core.data.problem import Problem
from core.errors import UserError
from core.prompts.template import BUILTIN_PROMPTS, PromptTemplate, load_prompt

SOLVED = Problem("p", "What is {2}+{2}?", "4", reasoning="2 + 2 = 4.")


@pytest.mark.parametrize("name", BUILTIN_PROMPTS)
def test_built_in_templates_ask_the_question_and_leave_its_braces(name: str) -> None:
    prompt = load_prompt(name).prompt(SOLVED)
    assert "What is {2}+{2}?" in prompt
    assert "{question}" not in prompt
    assert "{response}" not in prompt


def test_think_answer_ends_open_and_its_target_closes_it() -> None:
    template = load_prompt("think_answer")
    assert template.prompt(SOLVED).endswith("Assistant: <think>")
    assert template.target(SOLVED) == " 2 + 2 = 4. </think> <answer> 4 </answer>"


def test_other_templates_have_a_boxed_target() -> None:
    assert load_prompt("question_only").target(SOLVED).endswith("\\boxed{4}.")
    assert load_prompt("instruction").target(SOLVED).startswith("2 + 2")


def test_data_that_brings_prompt_and_target_keeps_them() -> None:
    own = Problem("p", "Q", "4", prompt="my prompt", target="my target")
    template = load_prompt("think_answer")
    assert (template.prompt(own), template.target(own)) == ("my prompt", "my target")


def test_placeholders_are_what_the_template_shows_between_tags() -> None:
    placeholders = load_prompt("think_answer").placeholders
    assert placeholders.reasoning == {"your working"}
    assert placeholders.answer == {"your result"}
    assert PromptTemplate("x", "{question}").placeholders.reasoning == frozenset()


def test_a_file_is_a_template(tmp_path: Path) -> None:
    path = tmp_path / "mine.prompt"
    path.write_text("Ask: {question}\n")
    assert load_prompt(str(path)).render("Q") == "Ask: Q\n"


def test_unknown_names_and_files_without_a_field_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="think_answer, question_only, instruction"):
        load_prompt("nothing")
    path = tmp_path / "bad.prompt"
    path.write_text("no field")
    with pytest.raises(UserError, match=r"no \{question\} field"):
        load_prompt(str(path))


def test_the_line_break_that_ends_a_template_file_is_no_part_of_a_document(tmp_path: Path) -> None:
    path = tmp_path / "own.prompt"
    path.write_text("Ask: {question}\nSay: {response}\n")
    assert load_prompt(str(path)).document("2 + 2?", "4.") == "Ask: 2 + 2?\nSay: 4."
