"""Pages about responses that want to run, to hide, or to break out."""

import base64
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a5ctl.console import printable
from a5ctl.reports.excerpts import response_pieces
from tests.a5ctl.conftest import House
from tests.a5ctl.hostile_runs import RAN, TEXTS, record_hostile
from tests.a5ctl.test_report import Page

ALLOWED = {
    *("html", "head", "meta", "link", "title", "style", "script", "body", "header", "main", "nav"),
    *("section", "article", "footer", "div", "p", "span", "a", "b", "strong", "code", "pre"),
    *("h1", "h2", "h3", "h4", "ul", "ol", "li", "dl", "dt", "dd", "blockquote", "figure"),
    *("figcaption", "details", "summary", "table", "caption", "thead", "tbody", "tr", "th", "td"),
    *("form", "label", "select", "option", "input", "button"),
    *("svg", "g", "path", "rect", "circle", "text"),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("hostile")
    record_hostile(home)
    path = home / "page.html"
    house = House(home, home, home)
    result = house.run("report", "evil", "--examples", "100", "--out", str(path), "--quiet",
                       "--title", TEXTS[0])  # fmt: skip
    assert result.exit_code == 0, result.output
    return path


@pytest.fixture(scope="module")
def page(written: Path) -> Page:
    return Page(written.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_text_adds_no_element_and_no_handler(page: Page) -> None:
    names = [tag for tag, _ in page.tags]
    assert set(names) <= ALLOWED
    once = ("script", "style", "main", "form", "body", "html", "h1", "link")
    assert {name: names.count(name) for name in once} == dict.fromkeys(once, 1)
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    outside = {href for href in page.of("href") if not href.startswith("#")}
    assert outside == {"data:,"}
    assert "{{ 7 * 7 }} {% include 'report.html' %}" in page.text, "no text is a template"


def test_only_what_is_hashed_may_run(written: Path) -> None:
    text = written.read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    told = policy.group(1).replace("&#39;", "'")
    for name in ("script", "style"):
        (inside,) = re.findall(f"<{name}>(.*?)</{name}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in told


def test_control_and_bidirectional_characters_are_visible(written: Path) -> None:
    raw = written.read_bytes()
    raw.decode("utf-8")  # and no lone surrogate is in it
    text = raw.decode("utf-8")
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]", text
    )
    for shown in (r"\x1b", r"\u202e", r"\u2028", r"\x00", r"\u200b"):
        assert f'<span class="escape">{shown}</span>' in text, shown


def test_huge_texts_are_cut_and_say_so(written: Path) -> None:
    assert written.stat().st_size < 1_000_000
    assert "characters left out" in written.read_text(encoding="utf-8")


@pytest.mark.slow
@given(st.text(max_size=300) | st.sampled_from([text for text in TEXTS if len(text) < 2000]))
def test_pieces_are_the_whole_response(text: str) -> None:
    assert "".join(piece.text for piece in response_pieces(text)) == printable(text)


@given(st.text(alphabet="<>/thinkaswer \n\x1b", max_size=200))
def test_tags_are_pieces_of_their_own(text: str) -> None:
    for piece in response_pieces(text):
        if piece.kind in ("think", "answer"):
            assert piece.text in ("<think>", "</think>", "<answer>", "</answer>")
        elif piece.kind == "":
            assert "<answer>" not in piece.text


@pytest.mark.slow
def test_nothing_of_it_runs_in_a_browser(written: Path, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("needs chromium")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
               "--enable-logging=stderr", f"--user-data-dir={tmp_path}",
               "--virtual-time-budget=500", written.as_uri()]  # fmt: skip
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    seen = done.stdout.decode("utf-8")
    title = re.search("<title>(.*?)</title>", seen, re.DOTALL)
    assert title is not None
    assert title.group(1) != RAN
    assert "CONSOLE" not in done.stderr.decode("utf-8", "replace")
    assert re.search('id="found"[^>]*>25 of [0-9]+ responses', seen), "the page's own script ran"
