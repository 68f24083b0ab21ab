"""Lets links that leave docs/ work in the site too, and gives every page a place in it.

On the forge `../examples/README.md` is a file of the repository. In the site the same link leads
to a copy below `repository/`, and links from there lead back. A page that mkdocs.yml does not name
stands at the end of the how-to pages.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PREFIX = "repository"
_LINK = re.compile(r"(\]\(\s*)([^)\s#]+)([^)]*\))")


def on_config(config: Any) -> Any:
    """Put pages that the navigation does not name behind the how-to pages."""
    named = set(_pages(config.nav))
    there = sorted(path.name for path in DOCS.glob("*.md"))
    how_to = next(entry["How to"] for entry in config.nav if "How to" in entry)
    how_to += [name for name in there if name not in named]
    return config


def _pages(nav: Any) -> Iterator[str]:
    """All pages of a navigation, whatever it nests."""
    if isinstance(nav, str):
        yield nav
    for entry in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from _pages(entry)


def on_files(files: Files, config: Any) -> Files:
    """Add every file of the repository that a page links to, and what such files link to."""
    waiting = list(DOCS.rglob("*.md"))
    added: set[Path] = set()
    while waiting:
        page = waiting.pop()
        for place in _targets(page):
            if place in added or place.is_relative_to(DOCS):
                continue
            added.add(place)
            name = f"{PREFIX}/{place.relative_to(ROOT).as_posix()}"
            files.append(File.generated(config, name, abs_src_path=str(place)))
            if place.suffix == ".md":
                waiting.append(place)
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turn links between the repository and the docs into links of the site."""
    here = Path(page.file.abs_src_path).resolve()
    mine = Path(page.file.src_uri).parent

    def moved(match: re.Match[str]) -> str:
        place = _place(here, match[2])
        if place is None or not place.is_file():
            return match[0]
        target = _in_site(place)
        return f"{match[1]}{os.path.relpath(target, mine)}{match[3]}"

    return _LINK.sub(moved, markdown)


def _in_site(place: Path) -> str:
    if place.is_relative_to(DOCS):
        return place.relative_to(DOCS).as_posix()
    return f"{PREFIX}/{place.relative_to(ROOT).as_posix()}"


def _targets(page: Path) -> list[Path]:
    text = page.read_text(encoding="utf-8")
    places = [_place(page, match[2]) for match in _LINK.finditer(text)]
    return [place for place in places if place is not None and place.is_file()]


def _place(page: Path, link: str) -> Path | None:
    """The file of the repository that a link means, if it means one."""
    if ":" in link or link.startswith("/"):
        return None
    place = (page.parent / unquote(link)).resolve()
    return place if place.is_relative_to(ROOT) else None
