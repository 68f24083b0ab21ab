"""`a5ctl report`: one page about a run, a group or a plan."""

import json
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest

from a5ctl.reports import gather
from core.plans.cells import Cell, cell_at
from core.plans.load import load_plan
from core.registry.recorder import Recorder
from core.registry.records import NewRun, RunStatus
from core.workspace import Workspace
from tests.a5ctl import handmade
from tests.a5ctl.conftest import House
from tests.a5ctl.handmade import Answer, cut, evaluation, right, unclosed, wrong

PROBLEMS = 30
CRITERIA = """
name = "sizes"
note = "Do more examples help?"

[sets.few]
group = "sizes-group"
settings = { "data.size" = 8 }

[sets.many]
group = "sizes-group"
settings = { "data.size" = 32 }

[[criterion]]
name = "many beat few"
candidates = ["many"]
baseline = "few"
direction = "higher"
"""
EXPERIMENTS = """
name = "rates"
question = "Which rate wins?"
seeds = [0, 1, 2]

[base]
kind = "sft"

[axes]
"train.lr" = [1e-4, 1e-3]

[[criterion]]
name = "the larger rate wins"
candidates = [{ "train.lr" = 1e-3 }]
baseline = { "train.lr" = 1e-4 }
direction = "higher"
"""


SEARCHED = """
name = "searched"
seeds = [0]

[base]
kind = "sft"

[search]
trials = 4

[search.space]
"train.lr" = [1e-4, 1e-3]
"""


class Page(HTMLParser):
    """A page with its tags, its text, and the text of every element with an id."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def of(self, name: str) -> list[str]:
        return [value for _, attrs in self.tags if (value := attrs.get(name)) is not None]


def answers(good: int) -> list[Answer]:
    """The first so many right, the others wrong in several ways."""
    bad = (wrong, unclosed, cut)
    return [right(10 + i) if i < good else bad[i % 3](10 + i) for i in range(PROBLEMS)]


def records(home: Path, run_uuid: str, run_id: str, **event: str) -> None:
    registry = handmade.open_home(home)
    with Recorder(registry, run_uuid, Workspace(home).run_folder(run_id)) as recorder:
        for step in range(1, 9):
            recorder.metrics(step, {"loss": 1 / step, "grad_norm": float("nan")})
        if event:
            data = {"responses": {"p001": "lo and behold"}}
            recorder.event(event["severity"], event["kind"], event["message"], step=4, data=data)
    registry.close()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    """A group of two sizes under three seeds, a lone run, a run without an evaluation, a plan."""
    home = tmp_path_factory.mktemp("report")
    for size, good in ((8, 6), (32, 22)):
        for seed in range(3):
            stages = [
                evaluation(answers(2), step=0),
                evaluation(answers(good + seed), step=8),
            ]
            name = f"sft-{size}-s{seed}aa"
            run = handmade.record(home, name, stages, seed=seed, size=size, group="sizes-group")
            event = {"severity": "warning", "kind": "at_the_cap", "message": "it runs into the cap"}
            records(home, run.uuid, run.id, **(event if size == 8 and seed == 0 else {}))
    handmade.record(home, "sft-1-lone", [evaluation(answers(5), protocol=handmade.protocol())])
    handmade.record(home, "sft-1-none", [], status=RunStatus.FAILED)
    (home / "plan.toml").write_text(CRITERIA, encoding="utf-8")
    (home / "rates.toml").write_text(EXPERIMENTS, encoding="utf-8")
    (home / "searched.toml").write_text(SEARCHED, encoding="utf-8")
    cells = load_plan(home / "rates.toml").cells
    for cell in cells[:4]:
        carried_out(home, cell, "rates", cell.tag)
    searched = load_plan(home / "searched.toml")
    _, tried = cell_at(searched.form, {"train.lr": 1e-3}, 0)
    carried_out(home, tried, "searched", tried.tag, "trial:0")
    return House(home, home, home)


def carried_out(home: Path, cell: Cell, group: str, *tags: str) -> None:
    """The run of a cell; a large rate is the better one."""
    rate = cell.labels["train.lr"]
    new = NewRun(
        kind="sft",
        config={"kind": "sft", "train": {"lr": rate}},
        config_hash="c0",
        model="builtin",
        data="handmade",
        id=f"sft-{cell.id}-{group}",
        group=group,
        seed=cell.labels["seed"],
        tags=tags,
    )
    registry = handmade.open_home(home)
    run = registry.create_run(new)
    with Recorder(registry, run.uuid, Workspace(home).run_folder(run.id)) as recorder:
        recorder.evaluation(evaluation(answers(5 if rate < 5e-4 else 20)))
    registry.close()


def page_of(house: House, tmp_path: Path, *arguments: str) -> Page:
    path = tmp_path / "page.html"
    result = house.run("report", *arguments, "--out", str(path), "--quiet")
    assert result.exit_code == 0, result.output
    assert result.output == ""
    return Page(path.read_text(encoding="utf-8"))


def refused(house: House, *arguments: str) -> str:
    result = house.run("report", *arguments)
    assert result.exit_code == 2, result.output
    return " ".join(result.output.split())


@pytest.mark.slow
def test_a_group_is_told_from_its_question_to_its_commands(house: House, tmp_path: Path) -> None:
    page = page_of(house, tmp_path, "sizes-group", "--title", "Does size matter?")
    assert "Does size matter?" in page.text
    for word in (
        *("sft-32 x3 seeds", "★ 76.7%", "size 32 (3 seeds)", "mean of seeds, 95% t interval"),
        *("prompt think_answer, temperature 0 (greedy)", "judged by r1_zero version 2", "P1"),
        *("unclosed_answer", "truncated_thinking", "wrong_number", "well formed and wrong"),
        *("at_the_cap", "it runs into the cap", "lo and behold", "How many is 5 + 10?"),
        *("a5ctl reproduce sft-8-s0aa", "a5ctl compare --group sizes-group"),
        "a5ctl report sizes-group --title 'Does size matter?' --out page.html",
    ):
        assert word in page.text, word
    answer = [attrs for tag, attrs in page.tags if tag == "span" and attrs.get("class") == "answer"]
    assert answer, "tags of responses are told apart"


def test_every_link_leads_somewhere_and_every_picture_has_words(
    house: House, tmp_path: Path
) -> None:
    page = page_of(house, tmp_path, "sizes-group")
    ids = page.of("id")
    assert len(ids) == len(set(ids))
    targets = [href[1:] for href in page.of("href") if href.startswith("#")]
    assert {"main", "run-1"} <= set(targets) <= set(ids)
    assert [href for href in page.of("href") if not href.startswith("#")] == ["data:,"]
    pictures = [attrs for tag, attrs in page.tags if tag == "svg" and "role" in attrs]
    assert len(pictures) >= 4 + 6
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in pictures)
    charts = [a["aria-label"] or "" for a in pictures if a["class"] == "chart"]
    assert any("size 8 (3 seeds) from 6.7% to 23.3%" in words for words in charts)
    headers = [attrs for tag, attrs in page.tags if tag == "th"]
    assert all(attrs["scope"] in ("row", "col") for attrs in headers)


def test_a_page_is_whole_in_itself(house: House, tmp_path: Path) -> None:
    page = page_of(house, tmp_path, "sizes-group")
    loading = {"src", "srcset", "action", "style", "poster", "background", "srcdoc"}
    assert not [name for _, attrs in page.tags for name in attrs if name in loading]
    policies = [a["content"] or "" for _, a in page.tags if "http-equiv" in a]
    assert len(policies) == 1
    assert policies[0].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policies[0]


def test_the_summary_as_json(house: House, tmp_path: Path) -> None:
    path = tmp_path / "g.html"
    told = house.json("report", "sizes-group", "--out", str(path), "--examples", "1")
    assert told["path"] == str(path)
    assert told["bytes"] == path.stat().st_size
    assert (told["kind"], told["runs"], told["charts"], told["events"]) == ("group", 6, 3, 1)
    assert told["responses"] == 6 * 4, "right, wrong_number, unclosed and truncated of each run"
    assert told["verdicts"] is None


def test_one_run_and_several_runs(house: House, tmp_path: Path) -> None:
    page = page_of(house, tmp_path, "sft-1-lone", "--examples", "0")
    assert "Run sft-1-lone" in page.text
    assert "accuracy 16.7%" in page.text
    assert "Responses of every class" not in page.text
    page = page_of(house, tmp_path, "sft-1-lone", "sft-1-none")
    assert "a5ctl compare sft-1-lone sft-1-none" in page.text
    assert "sft-1-none has no evaluation yet and is left out" in page.text


def test_a_run_without_anything_still_has_a_record(house: House, tmp_path: Path) -> None:
    page = page_of(house, tmp_path, "sft-1-none")
    for word in ("There is nothing to compare", "No alarm, warning or error was recorded", "failed",
                 "a5ctl resume sft-1-none"):  # fmt: skip
        assert word in page.text, word


@pytest.mark.slow
def test_a_plan_that_judges_has_its_verdicts(house: House, tmp_path: Path) -> None:
    file = str(house.home / "plan.toml")
    page = page_of(house, tmp_path, file)
    for word in ("Do more examples help?", "many beat few", "1 of 1", "+53.3",
                 "accuracy under r1_zero of many more than 0 points above that of few",
                 "when 6 of the 6 runs it judges had started"):  # fmt: skip
        assert word in page.text, word
    known = page_of(house, tmp_path, "sizes")
    assert "many beat few" in known.text, "the registry knows the plan by its name now"


@pytest.mark.slow
def test_a_plan_of_experiments_has_cells_and_effects(house: House, tmp_path: Path) -> None:
    page = page_of(house, tmp_path, str(house.home / "rates.toml"))
    for word in ("Which rate wins?", "What each axis does to the accuracy", "train.lr", "+50.0",
                 "The cells of the plan: 4 finished, 2 missing", "the larger rate wins",
                 "a5ctl plan run"):  # fmt: skip
        assert word in page.text, word
    assert page.text.count("lr 0.001 seed") == 3
    known = page_of(house, tmp_path, "rates")
    assert "The cells of the plan: 4 finished, 2 missing" in known.text


def test_a_plan_that_looks_for_settings_has_what_it_tried(house: House, tmp_path: Path) -> None:
    page = page_of(house, tmp_path, str(house.home / "searched.toml"))
    assert "The cells of the plan: 1 finished" in page.text
    assert "lr 0.001" in page.text


def test_a_baseline_and_a_grader(house: House, tmp_path: Path) -> None:
    arguments = ("sizes-group", "--baseline", "sft-1-lone", "--grader", "lenient")
    page = page_of(house, tmp_path, *arguments)
    for word in ("accuracy by the lenient grader", "points against sft-1-lone", "p (Holm)"):
        assert word in page.text, word


@pytest.mark.slow
def test_metrics_that_are_asked_for(house: House, tmp_path: Path) -> None:
    page = page_of(house, tmp_path, "sizes-group", "--metric", "accuracy.strict,lengths")
    charts = [a["aria-label"] or "" for _, a in page.tags if a.get("class") == "chart"]
    assert [words.split(" ", 1)[0] for words in charts] == ["accuracy.strict", "lengths"]
    assert "is no line" in refused(house, "sizes-group", "--metric", "types")
    assert "no metric 'los'" in refused(house, "sizes-group", "--metric", "los")


def test_of_many_runs_the_best_are_shown_in_detail(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "MOST_DETAILED", 2)
    page = page_of(house, tmp_path, "sizes-group")
    assert "those of the 2 best of 6 runs; the tables hold all" in page.text
    shown = {a["data-run"] for tag, a in page.tags if tag == "details" and "data-run" in a}
    assert len(shown) == 2


def test_figures_stand_before_all_but_the_first_of_many_settings(tmp_path: Path) -> None:
    settings = ("lr", "warmup", "beta1", "beta2", "clip_norm", "weight_decay")
    for number, name in enumerate(("aaaa", "bbbb"), 1):
        answers = [right(10 + i) if i < number else wrong(10 + i) for i in range(4)]
        train = dict.fromkeys(settings, 0.1 * number)
        handmade.record(tmp_path, f"sft-4-{name}", [evaluation(answers)], train=train)
    house = House(tmp_path, tmp_path, tmp_path)
    page = tmp_path / "r.html"
    told = house.run("report", "sft-4-aaaa", "sft-4-bbbb", "--out", str(page))
    assert told.exit_code == 0, told.output
    text = page.read_text(encoding="utf-8")
    places = [text.index(f">{name}</th>") for name in (settings[0], "accuracy", settings[-1])]
    assert places == sorted(places)


@pytest.mark.slow
def test_a_report_is_replaced_and_nothing_else_is(house: House, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("my notes", encoding="utf-8")
    said = refused(house, "sizes-group", "--out", str(path))
    assert "exists already" in said
    assert path.read_text(encoding="utf-8") == "my notes"
    assert house.run("report", "sizes-group", "--out", str(path), "--force").exit_code == 0
    again = house.run("report", "sft-1-lone", "--out", str(path))
    assert again.exit_code == 0, again.output
    assert "Run sft-1-lone" in path.read_text(encoding="utf-8")
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]


def test_the_page_on_standard_output_and_under_its_usual_name(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = house.run("report", "sft-1-lone", "--out", "-")
    assert result.stdout.startswith("<!DOCTYPE html>")
    monkeypatch.chdir(tmp_path)
    assert "report-sizes-group.html" in house.run("report", "sizes-group").output
    assert (tmp_path / "report-sizes-group.html").is_file()


def test_it_opens_what_it_wrote(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("typer.launch", opened.append)
    page_of(house, tmp_path, "sft-1-lone", "--open")
    assert opened == [(tmp_path / "page.html").as_uri()]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("sizes-groop",), "there is a group sizes-group"),
        (("nothing.toml",), "cannot be read"),
        (("sft-1-lone", "PLAN"), "is a plan, which has a report of its own"),
        (("sft-1-lone", "--out", "-", "--json"), "--json needs a file"),
        (("sft-1-lone", "--out", "nowhere/at/all.html"), "does not exist"),
        (("sft-1-lone", "--grader", "kind"), "grader 'kind' is unknown"),
        (("sft-1-lone", "--baseline", "sft-1-none"), "has no evaluation yet"),
    ],
)
def test_bad_input_ends_in_one_sentence(
    house: House, arguments: tuple[str, ...], words: str
) -> None:
    plan = str(house.home / "plan.toml")
    given = [plan if argument == "PLAN" else argument for argument in arguments]
    assert words in refused(house, *given)


def test_the_json_of_a_plan_has_its_verdicts(house: House, tmp_path: Path) -> None:
    out = str(tmp_path / "p.html")
    result = house.run("report", str(house.home / "plan.toml"), "--out", out, "--json")
    assert json.loads(result.stdout)["verdicts"] == {"many beat few": "met"}
