"""Is a report small, quiet and accessible, and does nothing that a model wrote run in it?

    npm install axe-core --prefix WORK
    python benchmarks/report_page.py --work WORK --axe WORK/node_modules/axe-core/axe.min.js

Needs Chromium (`--chromium`) and the package playwright. Two registries are made: a plan of 12 runs
with 4 evaluations of 1,024 responses each, and one whose responses, notes and names are as hostile
as `tests/a5ctl/hostile_runs.py` can make them. Each report is opened from its file with the network
switched off, at the width of a phone and of a desktop, in light and in dark, with and without
scripts: what the console says, what is asked of the network, what axe-core finds, whether the page
is wider than the window, whether all is reached by keyboard, and whether any hostile text ran.
Pictures of every page are left in WORK/pictures. Figures go to benchmarks/results/report_page.json.
"""

import argparse
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer.testing import CliRunner

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from a5ctl.app import app  # noqa: E402
from benchmarks.registry_generator import Size, generate  # noqa: E402
from benchmarks.timing import write  # noqa: E402
from core.registry.store import open_registry  # noqa: E402
from tests.a5ctl.hostile_runs import RAN, record_hostile  # noqa: E402

_WIDTHS = {"phone": (375, 812), "desktop": (1280, 900)}
_SCHEMES = ("light", "dark")
_SETTINGS, _SEEDS = 3, 4
_TAG = "bench"
_PICTURE_HEIGHT = 6000
_AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_UNFOLD = "document.querySelectorAll('details').forEach((one) => { one.open = true; })"


def ask(home: Path, *arguments: str) -> float:
    """Run the program; its seconds."""
    begun = time.perf_counter()
    result = CliRunner(env={"A5CTL_HOME": str(home)}).invoke(app, [*arguments])
    if result.exit_code:
        raise SystemExit(f"a5ctl {' '.join(arguments)} failed: {result.output}")
    return time.perf_counter() - begun


def planned(home: Path) -> Path:
    """A plan over 12 finished runs: 3 settings under 4 seeds each."""
    generate(home, Size(runs=60, steps=1000, metrics=20, problems=1024, evaluations=4))
    registry = open_registry(f"sqlite:///{home / 'registry.db'}")
    by_setting: dict[tuple[Any, ...], list[Any]] = {}
    for run in registry.runs(kind="sft"):
        config = run.config
        if run.status == "finished" and registry.last_evaluations([run.uuid]):
            key = (run.group, config["data"].get("size"), config["train"]["lr"])
            by_setting.setdefault(key, []).append(run)
    registry.close()
    chosen = [own[:_SEEDS] for own in by_setting.values() if len(own) >= _SEEDS][:_SETTINGS]
    assert len(chosen) == _SETTINGS, "the generator made too few settings with enough seeds"
    ask(home, "tag", *(run.id for own in chosen for run in own), f"+{_TAG}")
    sets = [
        f'[sets.{name}]\ntags = ["{_TAG}"]\nsettings = {{ "train.lr" = '
        f"{own[0].config['train']['lr']!r} }}\n"
        for name, own in zip("abc", chosen, strict=True)
    ]
    criteria = """
[[criterion]]
name = "the rates b and c beat a"
candidates = ["b", "c"]
baseline = "a"
direction = "higher"

[[criterion]]
name = "c closes as often as b, within two points"
metric = "unclosed"
candidates = ["c"]
baseline = "b"
direction = "not_higher"
margin = 2
"""
    path = home / "plan.toml"
    head = 'name = "rates"\nnote = "Which learning rate wins, and does the format suffer?"\n'
    path.write_text(head + "\n".join(sets) + criteria, encoding="utf-8")
    return path


@contextmanager
def opened(
    browser: "Browser", path: Path, **options: Any
) -> Iterator[tuple["Page", dict[str, list]]]:
    """A page from its file, offline, with all it says and asks for."""
    context = browser.new_context(offline=True, **options)
    page = context.new_page()
    heard: dict[str, list[str]] = {"console": [], "errors": [], "requests": [], "dialogs": []}
    page.on("console", lambda message: heard["console"].append(message.text))
    page.on("pageerror", lambda error: heard["errors"].append(str(error)))
    page.on("request", lambda request: heard["requests"].append(request.url[:100]))
    page.on("dialog", lambda dialog: (heard["dialogs"].append(dialog.message), dialog.dismiss()))
    page.goto(path.resolve().as_uri(), wait_until="load")
    try:
        yield page, heard
    finally:
        context.close()


def looked_at(browser: "Browser", path: Path, width: str, scheme: str, pictures: Path) -> dict:
    """One page under one width and scheme."""
    size = dict(zip(("width", "height"), _WIDTHS[width], strict=True))
    options = {"viewport": size, "color_scheme": scheme}
    with opened(browser, path, **options) as (page, heard):
        found = {"theme": page.evaluate("getComputedStyle(document.body).backgroundColor")}
        picture(page, pictures / f"{path.stem}-{width}-{scheme}.png")
        page.evaluate(_UNFOLD)
        page.wait_for_timeout(200)
        found["wider_by"] = page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        found["ran"] = page.evaluate(f"'{RAN}' in window || document.title === '{RAN}'")
        asked = [url for url in heard.pop("requests") if url != path.resolve().as_uri()]
        found |= heard | {"requests": [url for url in asked if not url.startswith("data:")]}
    return found


def picture(page: "Page", path: Path) -> None:
    """The upper part of a page."""
    height = min(_PICTURE_HEIGHT, page.evaluate("document.documentElement.scrollHeight"))
    clip = {"x": 0, "y": 0, "width": page.viewport_size["width"], "height": height}
    page.screenshot(path=str(path), full_page=True, clip=clip)


def accessible(browser: "Browser", path: Path, axe: str, width: str, scheme: str) -> dict:
    """What axe-core finds, with everything unfolded."""
    size = dict(zip(("width", "height"), _WIDTHS[width], strict=True))
    # axe-core writes to the page it examines, which the page's policy would refuse
    with opened(browser, path, viewport=size, color_scheme=scheme, bypass_csp=True) as (page, _):
        page.evaluate(_UNFOLD)
        more = page.locator("#more")
        while more.count() and more.is_visible():
            more.click()
        page.evaluate(axe)
        found = page.evaluate(
            "(tags) => axe.run(document, { runOnly: { type: 'tag', values: tags } })", _AXE_TAGS
        )
    return {
        "violations": [
            f"{one['id']}: {node['html'][:160]}"
            for one in found["violations"]
            for node in one["nodes"]
        ],
        "unsure": sorted({one["id"] for one in found["incomplete"]}),
        "passes": len(found["passes"]),
    }


def by_keyboard(browser: "Browser", path: Path) -> dict[str, Any]:
    """Skip link, theme, filters and folds with keys alone."""
    size = {"width": 1280, "height": 900}
    with opened(browser, path, viewport=size, color_scheme="light") as (page, _):
        page.keyboard.press("Tab")
        first = page.evaluate("document.activeElement.textContent")
        page.keyboard.press("Enter")
        skipped = page.evaluate("location.hash")
        page.focus("#theme")
        outlined = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        before = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.keyboard.press("Enter")
        page.keyboard.press("Enter")
        after = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.focus("#by-text")
        page.keyboard.type("zzzz no such text")
        page.wait_for_timeout(300)
        none = page.text_content("#found")
        page.fill("#by-text", "")
        page.wait_for_timeout(300)
        page.select_option("#by-class", index=1)
        chosen = page.evaluate("document.querySelector('#by-class').value")
        shown = page.evaluate(
            "[...document.querySelectorAll('.example')].filter((one) => !one.hidden)"
            ".map((one) => one.dataset.class)"
        )
    return {
        "first_stop_is_the_skip_link": first.startswith("Skip"),
        "skips_to": skipped,
        "focus_is_outlined": outlined != "none",
        "dark_by_keyboard": before != after,
        "filter_finds_nothing": none,
        "filter_keeps_one_class": bool(shown) and set(shown) == {chosen},
    }


def without_scripts(browser: "Browser", path: Path) -> dict[str, Any]:
    """What is there when scripts are switched off."""
    options = {"viewport": {"width": 1280, "height": 900}, "java_script_enabled": False}
    with opened(browser, path, **options) as (page, heard):
        visible = page.locator(".example").filter(visible=True).count()
        dead = sum(page.locator(name).is_visible() for name in ("#theme", "#filters", "#more"))
    return {"responses_shown": visible, "dead_controls": dead, "errors": heard["errors"]}


def main() -> None:
    """Make the pages, look at them, and write what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--axe", type=Path, required=True)
    parser.add_argument("--chromium", default=shutil.which("chromium") or "chromium")
    given = parser.parse_args()
    pictures = given.work / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    for name in ("planned", "hostile"):
        shutil.rmtree(given.work / name, ignore_errors=True)
    plan = planned(given.work / "planned")
    record_hostile(given.work / "hostile")
    subjects = {
        "plan": (given.work / "planned", str(plan)),
        "hostile": (given.work / "hostile", "evil"),
    }
    options_of = {"plan": (), "hostile": ("--examples", "100")}
    axe, result = given.axe.read_text(encoding="utf-8"), {}
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = {"executable_path": given.chromium, "args": ["--no-sandbox"]}
        browser = playwright.chromium.launch(**options)
        for name, (home, subject) in subjects.items():
            path = given.work / f"{name}.html"
            seconds = ask(home, "report", subject, "--out", str(path), *options_of[name])
            figures: dict[str, Any] = {"bytes": path.stat().st_size, "seconds": round(seconds, 2)}
            for width in _WIDTHS:
                for scheme in _SCHEMES:
                    seen = looked_at(browser, path, width, scheme, pictures)
                    seen["axe"] = accessible(browser, path, axe, width, scheme)
                    figures[f"{width} {scheme}"] = seen
            figures["keyboard"] = by_keyboard(browser, path)
            figures["without_scripts"] = without_scripts(browser, path)
            result[name] = figures
        result["chromium"] = browser.version
        browser.close()
    write("report_page", result)
    for name in subjects:
        print(
            name,
            {
                k: v
                for k, v in result[name].items()
                if k in ("bytes", "seconds", "keyboard", "without_scripts")
            },
        )
        for view in (f"{width} {scheme}" for width in _WIDTHS for scheme in _SCHEMES):
            print(name, view, result[name][view])


if __name__ == "__main__":
    main()
