"""Lines of runs: which checkpoint a run starts from, the tree of `show`, and the stages."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from a5ctl.app import app
from core.evaluation import EvaluationResult
from core.registry.records import RunRecord, RunStatus
from core.workspace import Workspace
from tests.a5ctl.conftest import House
from tests.a5ctl.handmade import evaluation, open_home, protocol, record, right, wrong

ASKED = 40


def solved(count: int, step: int, **options: Any) -> EvaluationResult:
    """An evaluation that has the first so many of its problems right."""
    answers = [right(10 + i) if i < count else wrong(10 + i) for i in range(ASKED)]
    return evaluation(answers, step=step, **options)


def call(home: Path, *arguments: str, columns: int = 120) -> Result:
    """Run the program on a workspace."""
    environment = {"A5CTL_HOME": str(home), "COLUMNS": str(columns), "NO_COLOR": "1"}
    return CliRunner(env=environment).invoke(app, list(arguments))


def told(home: Path, *arguments: str) -> Any:
    """What the program says in JSON."""
    result = call(home, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def section(output: str, title: str) -> list[str]:
    """The lines below a title of `show`."""
    lines = [line.rstrip() for line in output.splitlines()]
    start = lines.index(title) + 1
    return lines[start : lines.index("", start)]


@pytest.fixture
def line(tmp_path: Path) -> list[RunRecord]:
    """sft -> grpo -> dpo; grpo began with a checkpoint that accuracies on test had chosen."""
    sft = record(tmp_path, "sft-128-aaaa", [solved(4, 0), solved(15, 20), solved(13, 40)])
    grpo = record(
        tmp_path,
        "grpo-bbbb",
        [solved(15, 0), solved(25, 30)],
        kind="grpo",
        parent=sft,
        model={"run_step": 20, "run_choice": "best", "selected_on": ["test"]},
    )
    dpo = record(
        tmp_path,
        "dpo-cccc",
        [solved(25, 0), solved(28, 10)],
        kind="dpo",
        parent=grpo,
        model={"run_step": 30, "selected_on": ["test"]},
        status=RunStatus.FAILED,
    )
    return [sft, grpo, dpo]


@pytest.mark.slow
def test_the_tree_shows_ancestors_the_run_and_descendants(
    tmp_path: Path, line: list[RunRecord]
) -> None:
    rows = section(call(tmp_path, "show", "grpo-bbbb").output, "Lineage")
    assert [row.split()[:2] for row in rows] == [
        ["run", "kind"],
        ["builtin"],
        ["↳", "sft-128-aaaa"],
        ["↳", "grpo-bbbb"],
        ["↳", "dpo-cccc"],
    ]
    assert "step 20 (best)" in rows[3]
    assert all(word in rows[4] for word in ("dpo ", "failed", "step 30", "70.0%"))


@pytest.mark.slow
def test_the_same_tree_for_programs(tmp_path: Path, line: list[RunRecord]) -> None:
    tree = told(tmp_path, "show", "grpo-bbbb")["lineage"]
    assert (tree["base"], tree["gone"]) == ("builtin", None)
    (ancestor,) = tree["ancestors"]
    assert (ancestor["id"], ancestor["started_from_step"]) == ("sft-128-aaaa", None)
    (descendant,) = tree["descendants"]
    assert descendant["parent"] == line[1].uuid
    assert (descendant["started_from_step"], descendant["selected_on_test"]) == (30, True)


def test_a_run_of_its_own_has_no_tree(tmp_path: Path) -> None:
    record(tmp_path, "sft-128-aaaa", [solved(4, 0)])
    assert "Lineage" not in call(tmp_path, "show", "sft-128-aaaa").output


@pytest.mark.slow
def test_a_deleted_parent_is_shown_as_gone(tmp_path: Path, line: list[RunRecord]) -> None:
    open_home(tmp_path).delete_run(line[0].uuid)
    rows = section(call(tmp_path, "show", "dpo-cccc").output, "Lineage")
    assert rows[1].split() == ["builtin"]
    assert rows[2].split() == ["↳", "sft-128-aaaa", "gone"]
    assert rows[3].split()[:2] == ["↳", "grpo-bbbb"]
    assert told(tmp_path, "show", "dpo-cccc")["lineage"]["gone"] == "sft-128-aaaa"


@pytest.mark.slow
def test_a_run_deleted_from_the_middle_hides_what_was_before_it(
    tmp_path: Path, line: list[RunRecord]
) -> None:
    open_home(tmp_path).delete_run(line[1].uuid)
    output = call(tmp_path, "show", "dpo-cccc").output
    assert [row.split()[1] for row in section(output, "Lineage")[2:]] == ["grpo-bbbb", "dpo-cccc"]
    assert "from run  grpo-bbbb (deleted), step 30" in output


def chain(home: Path, length: int) -> None:
    """Runs that each continue the one before."""
    parent = None
    for number in range(length):
        parent = record(home, f"sft-{number:02d}-link", [], parent=parent, model={"run_step": 5})


@pytest.mark.slow
def test_a_long_chain_does_not_drift_to_the_right(tmp_path: Path) -> None:
    chain(tmp_path, 40)
    rows = section(call(tmp_path, "show", "sft-20-link", columns=60).output, "Lineage")
    assert len(rows) == 42
    assert {row.index("sft-") for row in rows[2:]} == {2}


@pytest.mark.slow
def test_of_many_children_the_best_are_drawn_and_the_rest_counted(tmp_path: Path) -> None:
    sft = record(tmp_path, "sft-128-aaaa", [solved(4, 0)])
    for number in range(20):
        evaluated = [solved(number, 5)]
        record(tmp_path, f"grpo-{number:04d}", evaluated, kind="grpo", parent=sft)
        record(tmp_path, f"eval-{number:04d}", evaluated, kind="eval", parent=sft)
    rows = section(call(tmp_path, "show", "sft-128-aaaa").output, "Lineage")
    assert len(rows) == 16
    assert "28 more (20 eval, 8 grpo)" in rows[3]
    assert rows[-1].startswith("└─ grpo-0019")
    assert len(told(tmp_path, "show", "sft-128-aaaa")["children"]) == 40


@pytest.mark.slow
@pytest.mark.parametrize("columns", [30, 48, 72, 110])
def test_a_tree_that_branches_again_and_again_fits(tmp_path: Path, columns: int) -> None:
    parent = record(tmp_path, "sft-128-aaaa", [solved(4, 0)])
    for depth in range(16):
        record(tmp_path, f"ei-{depth:02d}-side", [], kind="ei", parent=parent)
        parent = record(tmp_path, f"grpo-{depth:02d}-deep", [], kind="grpo", parent=parent)
    output = call(tmp_path, "show", "sft-128-aaaa", columns=columns).output
    rows = section(output, "Lineage")
    assert max(map(len, rows)) <= columns
    if columns >= 72:
        assert any("grpo-15-deep" in row for row in rows)


def test_parents_that_go_in_a_circle_are_shown_once(tmp_path: Path) -> None:
    first = record(tmp_path, "sft-128-aaaa", [])
    second = record(tmp_path, "sft-128-bbbb", [], parent=first)
    registry = open_home(tmp_path)
    registry._update(first.uuid, {"parent_uuid": second.uuid})  # as a foreign journal might
    rows = section(call(tmp_path, "show", "sft-128-bbbb").output, "Lineage")
    assert sum("sft-128-bbbb ◂" in row for row in rows) == 1
    assert "has an evaluation" in call(tmp_path, "compare", "--lineage", "sft-128-bbbb").output


@pytest.mark.slow
def test_every_stage_is_tested_against_the_weights_it_started_from(
    tmp_path: Path, line: list[RunRecord]
) -> None:
    found = told(tmp_path, "compare", "--lineage", "dpo-cccc")
    base, sft, grpo, dpo = found["stages"]
    assert [stage["name"] for stage in found["stages"]] == [
        "builtin",
        "sft-128-aaaa",
        "grpo-bbbb",
        "dpo-cccc",
    ]
    assert (base["accuracy"], base["change"]) == (0.1, None)
    assert (sft["step"], sft["accuracy"]) == (20, 0.375)  # where grpo took it up, not its last
    assert grpo["against"] == "sft-128-aaaa step 20"
    assert grpo["change"]["comparison"]["only_b"] == 10
    assert dpo["change"]["comparison"]["difference"] == pytest.approx(3 / 40)
    assert found["total"]["comparison"]["only_b"] == 24


@pytest.mark.slow
def test_all_tests_of_a_line_are_corrected_together(tmp_path: Path, line: list[RunRecord]) -> None:
    found = told(tmp_path, "compare", "--lineage", "dpo-cccc")
    tests = [stage["change"] for stage in found["stages"][1:]] + [found["total"]]
    smallest = min(test["comparison"]["p"] for test in tests)
    assert min(test["adjusted"] for test in tests) == pytest.approx(4 * smallest)


@pytest.mark.slow
def test_a_parent_that_asked_otherwise_is_replaced_by_the_runs_own_start(tmp_path: Path) -> None:
    sft = record(tmp_path, "sft-128-aaaa", [solved(4, 0), solved(15, 20)])
    shorter = protocol(max_tokens=64)
    record(
        tmp_path,
        "grpo-bbbb",
        [solved(12, 0, protocol=shorter), solved(25, 30, protocol=shorter)],
        kind="grpo",
        parent=sft,
        model={"run_step": 20},
    )
    found = told(tmp_path, "compare", "--lineage", "grpo-bbbb")
    assert found["stages"][2]["against"] == "grpo-bbbb step 0"
    assert found["stages"][2]["change"]["comparison"]["only_b"] == 13
    assert "max_tokens" in found["total"]["refused"]
    assert "the whole line is not tested" in call(tmp_path, "compare", "--lineage", "grpo").output


@pytest.mark.slow
def test_a_stage_without_an_evaluation_says_so(tmp_path: Path) -> None:
    sft = record(tmp_path, "sft-128-aaaa", [solved(15, 20)])
    record(tmp_path, "grpo-bbbb", [], kind="grpo", parent=sft, model={"run_step": 20})
    output = call(tmp_path, "compare", "--lineage", "grpo-bbbb").output
    assert "never evaluated where the next stage took them up: grpo-bbbb" in output


@pytest.mark.slow
def test_a_line_can_be_judged_by_another_grader(tmp_path: Path, line: list[RunRecord]) -> None:
    found = told(tmp_path, "compare", "--lineage", "dpo-cccc", "--grader", "strict")
    assert found["grader"] == "strict"
    assert [stage["accuracy"] for stage in found["stages"]] == [0.1, 0.375, 0.625, 0.7]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--lineage", "dpo-cccc", "--each"), "leave out RUNS"),
        (("--lineage", "dpo-cccc", "sft-128-aaaa"), "leave out RUNS"),
        (("--lineage", "dpo-zzzz"), "there is no run"),
        (("--lineage", "bare"), "no run of the line of bare-dddd has an evaluation"),
    ],
)
def test_what_cannot_be_followed_is_refused(
    tmp_path: Path, line: list[RunRecord], arguments: Sequence[str], sentence: str
) -> None:
    record(tmp_path, "bare-dddd", [])
    result = call(tmp_path, "compare", *arguments, columns=300)
    assert result.exit_code == 2
    assert sentence in result.output


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("ls",),
        ("compare",),
        ("compare", "--lineage", "dpo-cccc"),
        ("show", "dpo-cccc"),
        ("diagnose", "dpo-cccc"),
    ],
)
def test_tables_say_that_weights_were_selected_on_test(
    tmp_path: Path, line: list[RunRecord], arguments: Sequence[str]
) -> None:
    assert "selected on test" in call(tmp_path, *arguments).output


@pytest.mark.parametrize("arguments", [("ls",), ("compare",), ("show", "sft-128-aaaa")])
def test_tables_say_nothing_where_none_were(tmp_path: Path, arguments: Sequence[str]) -> None:
    sft = record(tmp_path, "sft-128-aaaa", [solved(4, 0)])
    chosen = {"run_step": 20, "run_choice": "best", "selected_on": ["dev"]}
    record(tmp_path, "grpo-bbbb", [solved(9, 5)], kind="grpo", parent=sft, model=chosen)
    assert "selected on test" not in call(tmp_path, *arguments).output


@pytest.fixture(scope="module")
def parent(small_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> House:
    """A run with checkpoints of steps 2, 4 and 6, of which 4 is the best that is kept."""
    from tests.a5ctl.conftest import small_house
    from trainers.checkpoint import TrainerState, save_checkpoint
    from trainers.optimization import build_optimizer
    from trainers.policy import load_policy

    house = small_house(small_folder, tmp_path_factory.mktemp("parent") / "home")
    house.home.mkdir()
    found = [solved(30, 3), solved(9, 2), solved(20, 4), solved(11, 6)]
    run = record(house.home, "sft-8-aaaa", found, model={"source": str(house.model)})
    folder = Workspace(house.home).run_folder(run.id) / "checkpoints"
    policy = load_policy(house.model, device="cpu", precision="float32")
    from core.config.schema import TrainSettings

    optimizer = build_optimizer(policy.model.named_parameters(), TrainSettings(lr=1e-3))
    for step in (2, 4, 6):
        save_checkpoint(folder, policy, optimizer, TrainerState(step=step))
    return house


def own_settings(house: House) -> tuple[str, ...]:
    """Options without the model."""
    return house.small[2:]


@pytest.mark.slow
def test_best_is_resolved_told_and_stored(parent: House) -> None:
    options = (*own_settings(parent), "--steps", "1", "--quiet")
    (outcome,) = parent.json("run", "sft", "--init", "sft-8-aaaa:best", *options)
    report = parent.json("show", outcome["run"])
    model = report["config"]["model"]
    assert (model["run"], model["run_step"], model["run_choice"]) == ("sft-8-aaaa", 4, "best")
    assert model["selected_on"] == ["test"]
    events = {event["kind"]: event["message"] for event in report["events"]}
    assert "starts from step 4 of run sft-8-aaaa: step 4 50.0% on test" in events["started_from"]
    assert "(step 2 22.5%, step 6 27.5%)" in events["started_from"]
    assert "selected on test" in events["selected_on_test"]
    stored = (parent.home / "runs" / outcome["run"] / "config.toml").read_text(encoding="utf-8")
    assert "run_step = 4" in stored
    (again,) = parent.json("run", "sft", "--init", outcome["run"], *options)
    inherited = parent.json("show", again["run"])["config"]["model"]
    assert (inherited["run_step"], inherited["selected_on"]) == (1, ["test"])


@pytest.mark.slow
@pytest.mark.parametrize(("reference", "step"), [(":best", 4), (":last", 6), ("", 6), (":2", 2)])
def test_an_evaluation_names_a_checkpoint_alike(parent: House, reference: str, step: int) -> None:
    options = (*own_settings(parent)[:4], "--max-tokens", "4", "--eval-limit", "2", "--quiet")
    (outcome,) = parent.json("run", "eval", "--run", f"sft-8-aaaa{reference}", *options)
    report = parent.json("show", outcome["run"])
    assert report["config"]["model"]["run_step"] == step
    assert [found["step"] for found in report["evaluations"]] == [step]
    assert report["selected_on_test"] is (reference == ":best")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("run", "sft", "--init", "sft-8-aaaa:bets"), "after the colon stands a step, last or b"),
        (("run", "sft", "--init", "sft-8-aaaa:3"), "no checkpoint of step 3; it has 2, 4, 6"),
        (("run", "eval", "--run", "sft-8-aaaa:best", "--step", "2"), "both name a checkpoint"),
        (("run", "sft", "--init", "sft-8-bare:best"), "run sft-8-bare has no checkpoint"),
        (("run", "sft", "--init", "eval-eeee:best"), "evaluated run sft-8-aaaa, start from that"),
    ],
)
def test_a_checkpoint_that_cannot_be_had_is_refused(
    parent: House, arguments: Sequence[str], sentence: str
) -> None:
    if "sft-8-bare:best" in arguments:
        record(parent.home, "sft-8-bare", [solved(3, 2)])
    if "eval-eeee:best" in arguments:
        asked = parent.json("show", "sft-8-aaaa")
        registry = open_home(parent.home)
        run = registry.run_by_uuid(asked["uuid"])
        record(parent.home, "eval-eeee", [], kind="eval", parent=run)
    result = parent.run(*arguments)
    assert result.exit_code == 2
    assert sentence in " ".join(result.output.split())
