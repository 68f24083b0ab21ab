from hypothesis import given, settings
from hypothesis import strategies as st

from a5ctl.tables.word_diff import changes_json, compare_words, diff_text

OLD = " 3 * 14 = 42. 204 + 42 = 246. So 246 </think> <answer> 246 </answer>"


def test_changed_words_stand_in_the_words_around_them():
    shown = diff_text(OLD, OLD.replace("= 246", "= 236"), marked=True).plain
    assert "204 + 42 = [-246-]{+236+}. So 246" in shown


def test_with_colours_there_are_no_marks():
    shown = diff_text(OLD, OLD.replace("= 246", "= 236"), marked=False)
    assert "[-" not in shown.plain
    assert {str(span.style) for span in shown.spans} >= {"red strike", "bold green"}


def test_the_same_text_and_texts_without_anything_in_common_say_so():
    assert diff_text(OLD, OLD, marked=True).plain == "the same text"
    assert changes_json(OLD, OLD) == []
    assert changes_json("a b c d e", "1 2 3 4 5 6 7 8 9") is None
    assert "too little" in diff_text("abc", "1234567", marked=True).plain


def test_a_long_shared_stretch_loses_its_middle():
    old = "start " + "word " * 300 + "end"
    shown = diff_text(old, old.replace("end", "stop"), marked=True).plain
    assert len(shown) < 120
    assert shown.endswith("[-end-]{+stop+}")


@settings(max_examples=100, deadline=None)
@given(*[st.lists(st.sampled_from(["12", "so", " ", "<answer>", "\n", "."])).map("".join)] * 2)
def test_pieces_put_together_are_both_texts(old: str, new: str):
    pieces = compare_words(old, new)
    if pieces is not None:
        assert "".join(piece.removed for piece in pieces) == old
        assert "".join(piece.added for piece in pieces) == new
