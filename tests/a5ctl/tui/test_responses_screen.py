"""Responses: by class, by words, from failure to failure, and never anything but text."""

from pathlib import Path

import pytest

from a5ctl.tui.response_view import response_body
from core.registry import response_lines
from tests.a5ctl import handmade
from tests.a5ctl.handmade import right, unclosed, wrong
from tests.a5ctl.tui.driven import LARGE, SMALL, Person, sit_down
from tests.a5ctl.tui.test_run_screen import open_run


@pytest.mark.slow
def test_a_response_stands_whole_below_its_question_with_every_verdict(lived_home: Path) -> None:
    async def play(person: Person) -> None:
        await open_run(person, "sft-256-best")
        await person.press("r")
        await person.sees("step 10", "50.0% right", "6 of 6 shown")
        await person.sees("How many is 0 + 10?", "truth 10", "✓ r1_zero", "✓ lenient")
        await person.sees("so it is 10 </think> <answer> 10 </answer>")
        text = person.app.screen.query_one("#text").render()
        spans = {str(text)[span.start : span.end] for span in text.spans}
        assert {"</think>", "<answer>", "</answer>"} <= {part.strip() for part in spans}
        await person.press("n")
        await person.sees("truncated_thinking", "first 15 then")
        await person.press("n", "n", "n")
        await person.hears("no further failure")
        await person.sees("so it is 16")
        await person.press("N")
        await person.sees("so it is 15")

    sit_down(lived_home, play, SMALL)


@pytest.mark.slow
def test_classes_and_types_filter_and_another_grader_judges_otherwise(lived_home: Path) -> None:
    async def play(person: Person) -> None:
        await open_run(person, "sft-128-base")
        await person.press("r", "f")
        await person.sees("6  all", "5  wrong", "1  bad_separator")
        await person.press("j", "enter")
        await person.sees("5 of 6 shown", "wrong")
        await person.press("f")
        await person.press("end", "enter")
        await person.sees("1 of 6 shown")
        await person.press("g")
        await person.sees("Judge by", "50.0%  lenient")
        await person.press("j", "j", "enter")
        await person.sees("test under lenient", "50.0% right")

    sit_down(lived_home, play)


@pytest.mark.slow
def test_a_search_looks_through_texts_and_questions_and_escape_ends_it(lived_home: Path) -> None:
    async def play(person: Person) -> None:
        await open_run(person, "sft-128-base")
        await person.press("r", "slash")
        await person.type("THEN")
        await person.press("enter")
        await person.sees("1 of 6 shown", "first 15 then", "/THEN")
        await person.press("escape")
        await person.sees("6 of 6 shown")
        await person.press("slash")
        await person.type("is 4 +")
        await person.press("enter")
        await person.sees("1 of 6 shown", "How many is 4 + 10?")

    sit_down(lived_home, play)


@pytest.mark.slow
def test_hostile_responses_are_shown_as_the_characters_they_are(lived_home: Path) -> None:
    async def play(person: Person) -> None:
        await open_run(person, "sft-evil")
        await person.press("r")
        await person.sees("[bold red]markup[/] \\x1b[31mred", "\\x9b2J", "\\u202ereversed", "\\x07")
        await person.sees("[@click=app.quit]x[/]")
        strips = person.app.screen._compositor.render_strips()
        shown = "".join(segment.text for strip in strips for segment in strip)
        assert shown.isprintable()
        await person.press("n")
        await person.sees("(empty)")

    sit_down(lived_home, play, LARGE)


@pytest.mark.slow
def test_the_first_piece_of_a_long_evaluation_is_shown_while_the_rest_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [(unclosed if n % 10 == 9 else right if n % 2 else wrong)(10 + n) for n in range(60)]
    handmade.record(tmp_path, "sft-long", [handmade.evaluation(answers)])
    monkeypatch.setattr(response_lines, "_FIRST_PIECE", 10)
    monkeypatch.setattr(response_lines, "_PIECE", 25)
    texts: list[object] = []
    whole = response_lines.whole_response
    monkeypatch.setattr(
        "a5ctl.tui.responses_screen.whole_response",
        lambda registry, key: texts.append(key) or whole(registry, key),
    )
    pieces: list[int] = []
    read = response_lines._piece
    monkeypatch.setattr(
        response_lines,
        "_piece",
        lambda *given: pieces.append(len(given[-1])) or read(*given),
    )

    async def play(person: Person) -> None:
        await open_run(person, "sft-long")
        await person.press("r")
        await person.sees("60 of 60 shown")
        await person.press("end")
        await person.sees("p059")
        assert pieces == [10, 25, 25]
        assert len(texts) <= 3  # of those that were looked at

    sit_down(tmp_path, play)


def test_an_endless_response_is_cut_on_the_screen_and_says_so() -> None:
    shown = response_body("y" * 70_000).plain
    assert shown.count("y") == 60_000
    assert "10,000 more characters" in shown
