"""`a5ctl plot` of several runs: seeds are one line, kinds of pictures, names of what differs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from a5ctl.plots.labels import Drawn
from a5ctl.plots.panels import Axis, Form, Line, Panel, Spot
from a5ctl.plots.picture import picture_bytes
from a5ctl.plots.seeds import with_seeds_merged
from a5ctl.plots.sizes import SIZES, parse_size
from core.errors import UserError
from core.registry.recorder import Recorder
from core.workspace import Workspace
from tests.a5ctl import handmade
from tests.a5ctl.conftest import House
from tests.a5ctl.handmade import cut, evaluation, right, unclosed, wrong

SOLVED = {128: (2, 4, 6), 512: (9, 12, 14)}
STEPS = 4


def run_id(size: int, seed: int) -> str:
    return f"sft-{size}-s{seed}{size}"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    """Two sizes over three seeds in one group, and a run of GRPO by itself."""
    home = tmp_path_factory.mktemp("seeds")
    for size, solved in SOLVED.items():
        for seed, top in enumerate(solved):
            evaluations = [
                evaluation(
                    [
                        (right if i < level else wrong if i < 16 else unclosed)(10 + i)
                        for i in range(19)
                    ]
                    + [cut(29)],
                    step=step,
                )
                for step, level in ((0, 1), (STEPS, top))
            ]
            run = handmade.record(
                home, run_id(size, seed), evaluations, size=size, seed=seed, group="sizes"
            )
            registry = handmade.open_home(home)
            with Recorder(registry, run.uuid, Workspace(home).run_folder(run.id)) as recorder:
                for step in range(1, STEPS + 1 + seed):  # seeds of different lengths
                    norm = 500.0 if step == 2 else 1.0 + seed
                    tokens = 100.0 * step * (1 + seed)
                    recorder.metrics(
                        step, {"loss": 1 / step + seed, "grad_norm": norm, "tokens_total": tokens}
                    )
            registry.close()
    handmade.record(
        home, "grpo-aaaa", [evaluation([right(10)], step=3)], kind="grpo", method={"steps": 3}
    )
    return House(home, home, home)


def panels(house: House, *arguments: str) -> list[dict[str, Any]]:
    return list(house.json("plot", *arguments)["panels"])


@pytest.mark.slow
def test_seeds_are_their_mean_with_students_interval(house: House) -> None:
    (panel,) = panels(house, "accuracy", "--group", "sizes")
    assert [line["run"] for line in panel["lines"]] == ["sft-128 x3 seeds", "sft-512 x3 seeds"]
    assert [line["label"] for line in panel["lines"]] == ["size 128", "size 512"]
    values = [solved / 20 for solved in SOLVED[128]]
    spot = panel["lines"][0]["spots"][-1]
    assert spot["y"] == pytest.approx(sum(values) / 3)
    half = stats.t.ppf(0.975, 2) * stats.sem(values)
    assert (spot["low"], spot["high"]) == (0, pytest.approx(spot["y"] + half))
    seeds = panel["lines"][0]["seeds"]
    assert [line["run"] for line in seeds] == [run_id(128, seed) for seed in range(3)]


def test_each_draws_every_run_by_what_differs(house: House) -> None:
    (panel,) = panels(house, "accuracy", "--group", "sizes", "--each")
    assert [line["label"] for line in panel["lines"]][:2] == [
        "size 128, seed 0",
        "size 128, seed 1",
    ]
    assert all(line["seeds"] == [] for line in panel["lines"])
    (panel,) = panels(house, "accuracy", run_id(128, 0), "grpo-aaaa")
    assert [line["label"] for line in panel["lines"]] == ["sft, size 128", "grpo, size full"]


def test_two_seeds_have_a_mean_and_no_interval(house: House) -> None:
    (panel,) = panels(house, "accuracy", run_id(128, 0), run_id(128, 1))
    spot = panel["lines"][0]["spots"][-1]
    assert spot["low"] == spot["y"] == spot["high"] == pytest.approx(0.15)


def test_a_mean_ends_where_the_first_of_its_seeds_does(house: House) -> None:
    (panel,) = panels(house, "loss", "--group", "sizes")
    line = panel["lines"][0]
    assert [spot["x"] for spot in line["spots"]] == [1, 2, 3, STEPS]
    assert line["spots"][1]["y"] == pytest.approx(0.5 + 1)
    assert [len(seed["spots"]) for seed in line["seeds"]] == [STEPS, STEPS + 1, STEPS + 2]


def test_curves_with_other_places_are_met_in_proportion() -> None:
    def line(run: str, *places: tuple[float, float]) -> Line:
        return Line(run, tuple(Spot(x, y, y, y, step) for step, (x, y) in enumerate(places)))

    a = line("a", (0, 0.0), (10, 10.0))
    b = line("b", (4, 2.0), (8, 6.0), (12, 6.0))
    (panel,) = with_seeds_merged(
        [Panel("loss", "", False, (a, b))], [Drawn("both", "", ("a", "b"))], points=50
    )
    (mean,) = panel.lines
    assert [(s.x, s.y) for s in mean.spots] == [(4, 3.0), (8, 7.0), (10, 8.0)]
    apart = replace(b, spots=tuple(replace(s, x=s.x + 100) for s in b.spots))
    (panel,) = with_seeds_merged(
        [Panel("loss", "", False, (a, apart))], [Drawn("both", "", ("a", "b"))], points=50
    )
    assert [one.run for one in panel.lines] == ["a", "b"], "they have no place in common"


def test_types_are_parts_of_a_whole(house: House) -> None:
    found = panels(house, "types", "--group", "sizes")
    assert [panel["form"] for panel in found] == ["stack", "stack"]
    for panel in found:
        assert [line["part"] for line in panel["lines"]] == ["type1", "type2", "type3"]
        for spots in zip(*(line["spots"] for line in panel["lines"]), strict=True):
            assert sum(spot["y"] for spot in spots) == pytest.approx(1)
    text = house.run("plot", "types", run_id(128, 0)).output
    assert "type1" in text
    assert "10.0  70.0  20.0" in text, "2 of 20 right, 14 wrong, 4 without the format"


def test_lengths_go_from_the_median_to_the_ninetieth_percentile(house: House) -> None:
    (panel,) = panels(house, "lengths", run_id(512, 0))
    assert panel["form"] == "range"
    assert panel["marks"] == [{"label": "cap 256", "value": 256}]
    spot = panel["lines"][0]["spots"][-1]
    assert 0 < spot["low"] == spot["y"] <= spot["high"]
    text = house.run("plot", "lengths", run_id(512, 0)).output
    assert "cap 256" in text
    assert "90th percentile" in text


@pytest.mark.slow
@pytest.mark.parametrize(("form", "size"), [("png", "column"), ("svg", "6x9")])
def test_every_kind_is_drawn_and_drawn_alike_twice(
    house: House, tmp_path: Path, form: str, size: str
) -> None:
    kinds, drawn = "types,lengths,accuracy,loss,grad_norm", []
    for number in range(2 if form == "svg" else 1):
        path = tmp_path / f"{number}.{form}"
        options = ("--out", str(path), "--size", size, "--title", "$evil$ <b>")
        result = house.run("plot", kinds, "--group", "sizes", "--x", "tokens", *options)
        assert result.exit_code == 0, result.output
        drawn.append(path.read_bytes())
    assert len(set(drawn)) == 1
    assert run_id(128, 0).encode() in drawn[0], "a picture says which runs it shows"


@pytest.mark.slow
def test_a_picture_is_had_as_bytes_and_as_wide_as_asked() -> None:
    line = Line("a", (Spot(0, 0.5, 0.4, 0.6), Spot(1, 0.7, 0.6, 0.8)))
    panel = Panel("accuracy", "share", True, (line,))
    content = picture_bytes([panel], Axis.STEP, "png", size=SIZES["column"], transparent=True)
    assert int.from_bytes(content[16:20], "big") == round(3.4 * 300)
    stacked = [
        Panel("types", "share", True, (replace(line, part="type1"),), form=Form.STACK)
        for _ in range(5)
    ]
    assert picture_bytes(stacked, Axis.STEP, "svg").startswith(b"<?xml")


def test_sizes_are_names_or_inches() -> None:
    assert (parse_size("6.5x4").width, parse_size("6.5x4").height) == (6.5, 4)
    for wrong_size in ("wide", "6x", "0x4", "999x2"):
        with pytest.raises(UserError, match="--size"):
            parse_size(wrong_size)


def test_what_is_to_be_plotted_has_to_be_named(house: House) -> None:
    for arguments, words in ((("loss",), "--group"), (("loss", "--group", "none"), "group none")):
        result = house.run("plot", *arguments)
        assert result.exit_code == 2
        assert words in " ".join(result.output.split())
