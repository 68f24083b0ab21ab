"""`a5ctl plan`: cells that are carried out once, by whoever comes first, and reported together."""

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from core.config.load import to_tree
from core.plans.folder import plan_folder
from core.plans.load import load_plan
from core.plans.plan import Plan
from core.plans.runs import CellState, cell_runs, plan_runs
from core.registry.records import NewRun
from core.registry.store import Registry, open_registry
from core.workspace import Workspace
from tests.a5ctl.conftest import House, small_house
from tests.warm import Started

SMALL = """
name = "small plan"
question = "Which rate?"
seeds = [0, 1]
[base]
kind = "sft"
model.source = {model!r}
data.source = {data!r}
data.size = 8
train.batch_size = 4
train.checkpoint_every = 1
evaluation.engine = "hf"
evaluation.max_tokens = 12
evaluation.every = 3
[axes]
"train.lr" = [1e-3, 1e-4]
[budget]
same = "updates"
amount = {steps}
[[criterion]]
name = "the small rate is no worse"
candidates = [{{"train.lr" = 1e-4}}]
baseline = {{"train.lr" = 1e-3}}
direction = "not_lower"
margin = 5
significant = false
"""


def write_plan(house: House, steps: int = 6, form: str = SMALL) -> Plan:
    house.home.mkdir(parents=True, exist_ok=True)
    path = house.home / "plan.toml"
    path.write_text(form.format(model=str(house.model), data=str(house.data), steps=steps))
    return load_plan(path)


def registry_of(house: House) -> Registry:
    return open_registry(f"sqlite:///{house.home / 'registry.db'}")


def states(house: House, plan: Plan) -> dict[str, CellState]:
    return {key: found.state for key, found in cell_runs(registry_of(house), plan).items()}


@pytest.fixture(scope="module")
def carried_out(small_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> House:
    """A workspace in which a plan of four cells was carried out; not to be changed."""
    house = small_house(small_folder, tmp_path_factory.mktemp("plan") / "home")
    plan = write_plan(house)
    for cell in plan.cells:
        (outcome,) = [house.json("plan", "cell", str(plan.path), cell.id, "--quiet")]
        assert outcome["exit_code"] == 0
    return house


def the_plan(house: House) -> Plan:
    return load_plan(house.home / "plan.toml")


@pytest.mark.slow
def test_the_runs_of_a_plan_are_found_by_cell_and_by_group(carried_out: House) -> None:
    plan = the_plan(carried_out)
    runs = plan_runs(registry_of(carried_out), plan)
    assert list(runs) == [cell.id for cell in plan.cells]
    for cell in plan.cells:
        run = runs[cell.id]
        assert (run.group, run.name, run.tags) == ("small plan", cell.title, (cell.tag,))
        assert run.config["train"]["threads"] == 1
    rows = carried_out.json("compare", "--group", "small plan", "--each")["cells"]
    assert len(rows) == 4


def test_a_cell_that_is_done_is_not_run_again(carried_out: House) -> None:
    plan = the_plan(carried_out)
    before = [run.id for run in registry_of(carried_out).runs()]
    said = carried_out.run("plan", "cell", str(plan.path), plan.cells[0].id[:7])
    assert (said.exit_code, "is finished: run sft-8-" in said.output) == (0, True)
    done = carried_out.run("plan", "run", str(plan.path))
    assert (done.exit_code, "4 finished" in done.output) == (0, True)
    assert f"next: a5ctl plan report {plan.path}" in done.output
    assert [run.id for run in registry_of(carried_out).runs()] == before


def test_status_names_run_progress_and_accuracy(carried_out: House) -> None:
    plan = the_plan(carried_out)
    cells = carried_out.json("plan", "status", str(plan.path))
    assert [(c["cell"], c["state"], c["step"], c["total"]) for c in cells] == [
        (cell.id, "finished", 6, 6) for cell in plan.cells
    ]
    one = carried_out.json(
        "plan", "status", str(plan.path), "--only", "lr=1e-4", "--only", "seed=1"
    )
    assert [c["labels"] for c in one] == [{"train.lr": 1e-4, "seed": 1}]


def test_check_foretells_from_runs_and_finds_what_was_made_elsewhere(carried_out: House) -> None:
    plan = the_plan(carried_out)
    other = carried_out.home / "other.toml"
    other.write_text(plan.text.replace("small plan", "other").replace("[0, 1]", "[1, 2]"))
    found = carried_out.json("plan", "check", str(other), "--jobs", "2")
    runs = plan_runs(registry_of(carried_out), plan)
    made = {c["cell"]: c["made_by"] for c in found["cells"]}
    twins = {cell.id: [runs[cell.id].id] for cell in plan.cells if cell.config.seed == 1}
    assert {key: ids for key, ids in made.items() if ids} == twins
    for cell in found["cells"]:
        assert (cell["state"], cell["updates"], cell["seconds_from_runs"]) == ("missing", 6, 4)
        assert 0 < cell["seconds"] < 120
        assert 0 < cell["memory_measured"] < 2 * cell["memory_estimated"]
    assert found["seconds_to_go"] == pytest.approx(
        sum(cell["seconds"] for cell in found["cells"]) / 2
    )
    told = carried_out.run("plan", "check", str(other)).output
    assert "to go, one at a time" in told
    assert f"made outside of this plan: {len(twins)} cells" in told


def test_check_of_a_finished_plan_has_nothing_to_go(carried_out: House) -> None:
    last = carried_out.run("plan", "check", str(the_plan(carried_out).path)).output.splitlines()[-1]
    assert last == "4 finished"


def test_check_finds_what_could_not_start(house: House) -> None:
    plan = write_plan(house)
    plan.path.write_text(plan.text.replace("data.size = 8", "data.size = 800"))
    said = house.run("plan", "check", str(plan.path))
    assert said.exit_code == 2
    assert "cell 'lr 0.001 seed 0': size 800" in " ".join(said.output.split())


@pytest.mark.slow
def test_the_report_has_settings_effects_and_verdicts(carried_out: House) -> None:
    plan = the_plan(carried_out)
    report = carried_out.json("plan", "report", str(plan.path))
    assert [(row["name"], row["finished"]) for row in report["settings"]] == [
        ("lr 0.001", 2),
        ("lr 0.0001", 2),
    ]
    (effect,) = report["effects"]
    assert (effect["axis"], effect["seeds"], effect["problems"]) == ("train.lr", 2, 12)
    means = [row["mean"] for row in report["settings"]]
    assert effect["difference"] == pytest.approx(means[1] - means[0])
    (criterion,) = report["criteria"]["criteria"]
    assert criterion["verdict"] in ("met", "not met")
    assert sorted(report["criteria"]["judged_runs"]) == sorted(
        run.id for run in plan_runs(registry_of(carried_out), plan).values()
    )
    text = carried_out.run("plan", "report", str(plan.path), "--format", "md").output
    assert "| train.lr | 0.0001 | 0.001 |" in text
    shown = carried_out.run("plan", "report", str(plan.path)).output
    assert "Which rate?" in shown
    assert "the small rate is no worse" in shown
    strict = carried_out.json("plan", "report", str(plan.path), "--grader", "strict", "--force")
    assert strict["grader"] == "strict"
    assert [row["finished"] for row in strict["settings"]] == [2, 2]


@pytest.mark.slow
def test_a_plan_without_runs_is_noted_and_reported(house: House) -> None:
    plan = write_plan(house)
    checked = house.run("plan", "check", str(plan.path))
    assert f"next: a5ctl plan run {plan.path}" in checked.output
    report = house.json("plan", "report", str(plan.path))
    assert report["cells"] == "4 missing"
    (criterion,) = report["criteria"]["criteria"]
    assert criterion["verdict"] == "cannot tell"
    (effect,) = report["effects"]
    assert effect["refused"] == "no finished pair that differs in this alone"


def test_somebody_else_has_the_cell(house: House) -> None:
    plan = write_plan(house)
    cell = plan.cells[0]
    with plan_folder(Workspace(house.home), plan.name).lock(cell.id):
        said = house.run("plan", "cell", str(plan.path), cell.id)
    assert said.exit_code == 75
    assert "is being carried out by a process" in said.output
    assert registry_of(house).runs() == []


@pytest.mark.slow
@pytest.mark.parametrize(("silent_s", "said"), [(0, "is running"), (3600, "--take-over")])
def test_a_cell_on_another_machine_is_left_to_it(house: House, silent_s: int, said: str) -> None:
    plan = write_plan(house, form=SMALL.replace("[0, 1]", "[0]").partition("[[crit")[0])
    for cell in plan.cells:
        config = cell.config
        new = NewRun(
            *("sft", to_tree(config), "c0", "small", "small"), group=config.group, tags=config.tags
        )
        run = registry_of(house).create_run(new)
        with registry_of(house).database.begin() as connection:
            beat = time.time() - silent_s
            connection.execute(
                text(
                    "UPDATE run SET status = 'running', host = 'elsewhere', created = :beat, "
                    "heartbeat = :beat WHERE uuid = :uuid"
                ),
                {"beat": beat, "uuid": run.uuid},
            )
    status = house.run("plan", "status", str(plan.path))
    assert "elsewhere" in status.output, "where the others run"
    one = house.run("plan", "cell", str(plan.path), plan.cells[0].id)
    assert (one.exit_code, said in " ".join(one.output.split())) == (75, True)
    every = house.run("plan", "run", str(plan.path), "--quiet")
    assert every.exit_code == 75
    assert len(registry_of(house).runs()) == 2


@pytest.mark.slow
def test_failed_cells_are_tried_again_only_when_asked_and_the_first_failure_may_end_all(
    house: House, tmp_path: Path
) -> None:
    gone = House(house.home, house.model, shutil.copytree(house.data, tmp_path / "data"))
    plan = write_plan(gone, form=SMALL.replace("[0, 1]", "[0]").partition("[[crit")[0])
    for cell in plan.cells:
        config = cell.config
        new = NewRun(
            *("sft", to_tree(config), "c0", "small", "small"), group=config.group, tags=config.tags
        )
        run = registry_of(gone).create_run(new)
        registry_of(gone).set_status(run.uuid, "failed", exit_reason="before")
    shutil.rmtree(tmp_path / "data")
    once = gone.run("plan", "run", str(plan.path), "--quiet")
    assert once.exit_code == 1
    folder = plan_folder(Workspace(gone.home), plan.name)
    assert not any(folder.log(cell.id).exists() for cell in plan.cells)
    again = gone.run("plan", "run", str(plan.path), "--resume", "--fail-fast", "--quiet")
    assert again.exit_code in (1, 2), again.output
    assert sum(folder.log(cell.id).exists() for cell in plan.cells) == 1


def test_a_run_in_the_archive_is_asked_for_again(carried_out: House, tmp_path: Path) -> None:
    home = tmp_path / "copy"
    shutil.copytree(carried_out.home, home)
    house = House(home, carried_out.model, carried_out.data)
    plan = the_plan(house)
    cell = plan.cells[0]
    assert house.run("archive", plan_runs(registry_of(house), plan)[cell.id].id).exit_code == 0
    assert states(house, plan)[cell.id] is CellState.MISSING


@pytest.mark.slow
def test_a_cell_waits_for_the_one_it_starts_from(house: House) -> None:
    plan = write_plan(house)
    path = house.home / "staged.toml"
    path.write_text(
        plan.text.partition("[[criterion]]")[0].replace("seeds = [0, 1]", "seeds = [0]")
        + "[start]\ntrain.steps = 2\ntrain.batch_size = 4\ndata.size = 8\ntrain.lr = 1e-3\n"
    )
    staged = load_plan(path)
    first = staged.cells[0]
    said = house.run("plan", "cell", str(path), first.id)
    assert said.exit_code == 69
    assert f"starts from cell {first.start}, which is missing" in said.output
    assert house.run("plan", "cell", str(path), str(first.start), "--quiet").exit_code == 0
    assert house.run("plan", "cell", str(path), first.id, "--quiet").exit_code == 0
    runs = plan_runs(registry_of(house), staged)
    assert runs[first.id].parent_uuid == runs[str(first.start)].uuid
    assert runs[str(first.start)].group == "small plan/start"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("cell", "PLAN", "zzz"), "has no cell 'zzz'"),
        (("run", "PLAN", "--only", "sise=1"), "tells no cells"),
        (("run", "PLAN", "--search", "tpe"), "has no [search]"),
        (("run", "PLAN", "--search", "grid"), "choose tpe"),
        (("report", "PLAN", "--format", "pdf"), "choose text, md, json"),
        (("check", "nowhere.toml"), "cannot be read"),
    ],
)
def test_bad_input_is_refused_before_anything_is_made(
    house: House, arguments: tuple[str, ...], said: str
) -> None:
    plan = write_plan(house)
    result = house.run("plan", *(a.replace("PLAN", str(plan.path)) for a in arguments))
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
    assert not (house.home / "runs").exists()


@pytest.mark.slow
def test_a_cell_up_to_a_step_goes_on_another_time(house: House, carried_out: House) -> None:
    plan = write_plan(house)
    cell = plan.cells[0]
    for _ in range(2):  # the second time there is nothing to do
        said = house.json("plan", "cell", str(plan.path), cell.id, "--quiet", "--until", "3")
        assert registry_of(house).last_steps([registry_of(house).runs()[0].uuid]).popitem()[1] == 3
    assert states(house, plan)[cell.id] is CellState.INTERRUPTED
    house.json("plan", "cell", str(plan.path), cell.id, "--quiet")
    untouched = plan_runs(registry_of(carried_out), the_plan(carried_out))[cell.id]
    assert outcome(house, said["run"]) == outcome(carried_out, untouched.id)


def outcome(house: House, run_id: str) -> Any:
    registry = registry_of(house)
    run = registry.find_run(run_id)
    metrics = registry.metrics(run.uuid)
    curves = {
        name: [(p.step, p.value) for p in points]
        for name, points in metrics.items()
        if name not in ("step_seconds", "tokens_per_second")
    }
    found = registry.evaluations([run.uuid])
    return curves, [(e.step, [r.text for r in registry.responses(e.uuid)]) for e in found]


@pytest.mark.slow
def test_a_plan_that_is_killed_ends_as_one_that_was_not(small_folder: Path, tmp_path: Path) -> None:
    form = SMALL.replace("[0, 1]", "[0]").replace("on.every = 3", "on.every = 75")
    form = form.replace("checkpoint_every = 1", "checkpoint_every = 15")
    untouched = small_house(small_folder, tmp_path / "untouched")
    plan = write_plan(untouched, 150, form)
    for cell in plan.cells:
        untouched.json("plan", "cell", str(plan.path), cell.id, "--quiet")
    house = small_house(small_folder, tmp_path / "killed")
    plan = write_plan(house, 150, form)
    process = plan_run(house, plan)
    wait_for_updates(house, plan)
    children = cell_processes(process.pid)
    assert len(children) == 2
    process.kill()
    for child in children:
        os.killpg(child, signal.SIGKILL)
    process.communicate(timeout=60)
    begun = plan_runs(registry_of(house), plan)
    wait_for_states(house, plan, {CellState.INTERRUPTED})
    again = plan_run(house, plan)
    said, _ = again.communicate(timeout=300)
    assert again.returncode == 0, said
    assert {cell["state"] for cell in json.loads(said)} == {"finished"}
    assert {run.id for run in registry_of(house).runs()} == {run.id for run in begun.values()}
    expected = plan_runs(registry_of(untouched), plan)
    for key, run in begun.items():
        assert len(registry_of(house).segments(run.uuid)) == 1
        assert outcome(house, run.id) == outcome(untouched, expected[key].id)


def plan_run(house: House, plan: Plan) -> Started:
    given = ("--jobs", "2", "--quiet", "--json")
    return house.process("plan", "run", str(plan.path), *given, warm=None)


def cell_processes(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for_states(house: House, plan: Plan, wanted: set[CellState]) -> None:
    """A process that was killed may take a moment to be gone."""
    deadline = time.monotonic() + 30
    while set(states(house, plan).values()) != wanted:
        assert time.monotonic() < deadline, states(house, plan)
        time.sleep(0.1)


def wait_for_updates(house: House, plan: Plan, cells: int = 2) -> None:
    """Until so many cells have made updates."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if (house.home / "registry.db").exists():
            registry = registry_of(house)
            running = [
                found.run.uuid
                for found in cell_runs(registry, plan).values()
                if found.state is CellState.RUNNING and found.run is not None
            ]
            if sum(step > 0 for step in registry.last_steps(running).values()) >= cells:
                return
        time.sleep(0.05)
    pytest.fail("no update was ever made")
