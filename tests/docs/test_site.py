"""The site is built without a warning and without a network, and none of its links is dead."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse

import pytest

ROOT = Path(__file__).parents[2]
NOWHERE = "http://127.0.0.1:9"


class Links(HTMLParser):
    """What a page leads to, and what it loads by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.leads: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "a" and given.get("href"):
            self.leads.append(given["href"] or "")
        if tag in ("script", "img", "iframe") and given.get("src"):
            self.loads.append(given["src"] or "")
        if tag == "link" and given.get("rel") != "canonical" and given.get("href"):
            self.loads.append(given["href"] or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("site")
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    environment |= dict.fromkeys(("http_proxy", "https_proxy", "ALL_PROXY"), NOWHERE)
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    return folder


def pages(site: Path) -> dict[Path, Links]:
    found = {}
    for path in site.rglob("*.html"):
        links = Links()
        links.feed(path.read_text(encoding="utf-8"))
        found[path] = links
    return found


@pytest.mark.slow
def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    for path, links in pages(site).items():
        assert [place for place in links.loads if urlparse(place).netloc] == [], path
    styles = [p.read_text(encoding="utf-8") for p in site.rglob("*.css")]
    assert not any(re.search(r"url\(\s*['\"]?https?:", text) for text in styles)


@pytest.mark.slow
def test_every_link_leads_to_a_file_of_the_site(site: Path) -> None:
    dead = []
    for path, links in pages(site).items():
        if path.name == "404.html":  # its links are absolute, as it is shown anywhere
            continue
        for link in (*links.leads, *links.loads):
            place, _ = urldefrag(link)
            if not place or urlparse(place).scheme:
                continue
            target = (path.parent / unquote(place)).resolve()
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                dead.append(f"{path.relative_to(site)}: {link}")
    assert dead == []


@pytest.mark.slow
def test_what_docs_say_of_the_repository_comes_along(site: Path) -> None:
    assert (site / "repository" / "README" / "index.html").is_file() or (
        site / "repository" / "index.html"
    ).is_file()
    assert "repository/examples" in (site / "results" / "index.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_every_page_has_its_place_in_the_navigation(site: Path) -> None:
    links = pages(site)[site / "index.html"].leads
    there = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
    assert {name for name in there if not any(name in link.split("/") for link in links)} == set()
