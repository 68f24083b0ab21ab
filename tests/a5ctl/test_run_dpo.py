"""`a5ctl run dpo`: what is recorded, what is refused, and the same numbers after a kill."""

import json
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from core.registry.store import Registry, open_registry
from tests.a5ctl.conftest import House, small_house
from tests.a5ctl.held import HELD, held, read_until
from trainers import metric_table

STEPS = 30
LONGER = ("--steps", str(STEPS), "--size", "full", "--eval-every", "10")
TIMINGS = {"step_seconds", "tokens_per_second", "log_prob_seconds"}


def write_pairs(path: Path, count: int = 12, **other: object) -> Path:
    rows = [
        {
            "problem_id": f"p{i}",
            "prompt": f"Tom has {i} apples and buys {i + 3}. How many now? Assistant: <think>",
            "chosen": f" {i} + {i + 3} </think> <answer> {2 * i + 3} </answer>",
            "rejected": f" it is {i} </think> <answer> {i + 50} </answer>",
            "truth": str(2 * i + 3),
            **other,
        }
        for i in range(count)
    ]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return path


def registry_of(house: House) -> Registry:
    return open_registry(f"sqlite:///{house.home / 'registry.db'}")


def dpo(house: House, pairs: Path, *arguments: str) -> str:
    options = ("--pairs", str(pairs), "--quiet", *arguments)
    (outcome,) = house.json("run", "dpo", *house.small, *options)
    return outcome["run"]


@pytest.mark.slow
def test_a_run_learns_from_pairs_and_records_everything(house: House, tmp_path: Path) -> None:
    run_id = dpo(house, write_pairs(tmp_path / "pairs.jsonl"), "--lr", "1e-2", "--beta", "0.5")
    store = registry_of(house)
    run = store.find_run(run_id)
    assert (run.status, run.kind, run.size) == ("finished", "dpo", 8)
    assert run.config["dpo"]["pairs"] == str(tmp_path / "pairs.jsonl")
    assert run.config["dpo"]["beta"] == 0.5
    points = store.metrics(run.uuid)
    assert points.keys() <= metric_table.BY_NAME.keys()
    for name in (
        *("loss", "grad_norm", "lr", "epoch", "reward_chosen", "reward_rejected", "margin"),
        *("preference_accuracy", "log_prob_chosen", "log_prob_rejected", "tokens"),
        *("supervised_fraction", "padding_share", "shared_fraction", "tokens_per_second"),
    ):
        assert [p.step for p in points[name]] == [1, 2, 3, 4, 5, 6], name
    assert points["loss"][0].value == pytest.approx(0.6931, abs=1e-3)
    assert points["loss"][-1].value < points["loss"][0].value
    assert points["margin"][-1].value > 0.01
    assert [e.step for e in store.evaluations([run.uuid])] == [0, 6]
    kinds = {event.kind for event in store.events(run.uuid)}
    assert {"preflight.contrast", "preflight.preference", "preflight.lengths", "choices"} <= kinds
    paths = {artifact.path for artifact in store.artifacts(run.uuid)}
    assert "reference.safetensors" in paths


@pytest.mark.slow
def test_a_run_goes_on_from_another_with_its_prompt_and_data(house: House, tmp_path: Path) -> None:
    parent = house.sft("--steps", "2")
    pairs = write_pairs(tmp_path / "pairs.jsonl")
    options = ("--engine", "hf", "--max-tokens", "8", "--threads", "1", "--steps", "2", "--quiet")
    (outcome,) = house.json("run", "dpo", "--init", parent, "--pairs", str(pairs), *options)
    store = registry_of(house)
    child = store.find_run(outcome["run"])
    assert (child.parent_uuid, child.data, child.size) == (store.find_run(parent).uuid, "data", 12)
    train = child.config["train"]
    assert (train["lr"], train["batch_size"]) == (1e-6, 32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name their file with --pairs; a5ctl pairs RUN makes one"),
        (("--pairs", "absent.jsonl"), "absent.jsonl cannot be read"),
        (("--pairs", "{pairs}", "--size", "13"), "size 13 is larger than the 12 pairs there are"),
        (("--pairs", "{pairs}", "--loss", "hinge"), "dpo.loss"),
        (("--pairs", "{pairs}", "--beta", "0"), "dpo.beta"),
        (("--pairs", "{pairs}", "--label-smoothing", "0.5"), "dpo.label_smoothing"),
        (("--pairs", "{pairs}", "--set", "data.filter=correct"), "learns from pairs"),
        (("--pairs", "{pairs}", "--set", "train.supervise=answer"), "compares whole responses"),
        (("--pairs", "{pairs}", "--set", "grpo.kl=0.1"), "does not belong to a run of kind dpo"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    house: House, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    pairs = str(write_pairs(tmp_path / "pairs.jsonl"))
    given = [argument.replace("{pairs}", pairs) for argument in arguments]
    result = house.run("run", "dpo", *house.small, *given)
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.output.split())
    assert not (house.home / "runs").exists() or not list((house.home / "runs").iterdir())


@pytest.mark.slow
def test_pairs_that_teach_nothing_stop_the_run(house: House, tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "pairs.jsonl", chosen=" same", rejected=" same")
    result = house.run("run", "dpo", *house.small, "--pairs", str(pairs))
    assert result.exit_code == 2
    text = "chosen and rejected are the same text in every pair"
    assert text in " ".join(result.output.split())


@pytest.mark.slow
@pytest.mark.parametrize("change", ["changed", "gone"])
def test_a_run_goes_on_with_its_own_pairs_whatever_became_of_the_file(
    house: House, tmp_path: Path, change: str
) -> None:
    path = write_pairs(tmp_path / "pairs.jsonl")
    run_id = dpo(house, path, "--steps", "2")
    store = registry_of(house)
    uuid = store.find_run(run_id).uuid
    store.set_status(uuid, "interrupted")
    own = house.home / "runs" / run_id / "pairs.jsonl"
    (artifact,) = [a for a in store.artifacts(uuid) if a.kind == "pairs"]
    assert (artifact.path, artifact.sha256) == ("pairs.jsonl", sha256(own.read_bytes()).hexdigest())
    if change == "gone":
        path.unlink()
    else:
        write_pairs(path, rejected=" something else")
    result = house.run("resume", run_id)
    assert result.exit_code == 0, result.output
    (event,) = [e for e in store.events(uuid) if e.kind == "pairs_changed"]
    assert ("has changed" if change == "changed" else "can no longer be read") in event.message
    assert "goes on with its own copy, pairs.jsonl" in event.message
    assert event.severity == "warning"


@pytest.mark.slow
def test_where_the_copy_is_damaged_too_other_pairs_are_not_gone_on_with(
    house: House, tmp_path: Path
) -> None:
    path = write_pairs(tmp_path / "pairs.jsonl")
    run_id = dpo(house, path, "--steps", "2")
    registry_of(house).set_status(registry_of(house).find_run(run_id).uuid, "interrupted")
    (house.home / "runs" / run_id / "pairs.jsonl").write_text("torn")
    write_pairs(path, rejected=" something else")
    result = house.run("resume", run_id)
    assert result.exit_code == 2
    assert "has changed since it started" in " ".join(result.output.split())
    write_pairs(path)
    assert house.run("resume", run_id).exit_code == 0


@pytest.fixture(scope="module")
def reference(small_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a run that nobody touched, to be copied."""
    home = tmp_path_factory.mktemp("untouched") / "home"
    house = small_house(small_folder, home)
    dpo(house, write_pairs(home.parent / "pairs.jsonl"), *LONGER, "--name", "untouched")
    return home


@pytest.fixture
def beside(house: House, reference: Path) -> House:
    """A workspace of one's own that holds the untouched run."""
    shutil.copytree(reference, house.home)
    return house


def folder_of(house: House, name: str) -> Path:
    return house.home / "runs" / registry_of(house).find_run(name).id


def told(house: House, name: str) -> tuple[dict, list]:
    """All that the registry says of a run but for times."""
    store = registry_of(house)
    uuid = store.find_run(name).uuid
    curves = {
        metric: [(point.step, point.value) for point in points]
        for metric, points in store.metrics(uuid).items()
        if metric not in TIMINGS
    }
    texts = [(e.step, [r.text for r in store.responses(e.uuid)]) for e in store.evaluations([uuid])]
    return curves, texts


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "function", "call"),
    [
        ("trainers.dpo", "DPO.update", 17),
        ("trainers.dpo", "DPO.update", 1),
        ("trainers.reference", "_write", 1),
        ("trainers.dpo_recipe", "response_log_probs", 1),
    ],
    ids=["update", "first update", "reference stored", "reference computed"],
)
def test_a_killed_run_goes_on_with_the_same_numbers(
    beside: House, reference: Path, module: str, function: str, call: int
) -> None:
    pairs = reference.parent / "pairs.jsonl"
    options = (*beside.small, "--pairs", str(pairs), *LONGER, "--name", "killed")
    process = beside.process("run", "dpo", *options, entry=held(module, function, call=call))
    read_until(process, HELD)
    process.kill()
    process.wait()
    stored = folder_of(beside, "killed") / "reference.safetensors"
    before = stored.stat() if stored.exists() else None
    result = beside.run("resume", "killed", "--quiet")
    assert result.exit_code == 0, result.output
    assert told(beside, "killed") == told(beside, "untouched")
    if before is not None:
        assert stored.stat().st_ino == before.st_ino  # read, not written again
    assert stored.read_bytes() == (folder_of(beside, "untouched") / stored.name).read_bytes()
    weights = [
        (max((folder_of(beside, name) / "checkpoints").glob("step-*")) / "model.safetensors")
        for name in ("killed", "untouched")
    ]
    assert weights[0].read_bytes() == weights[1].read_bytes()


@pytest.mark.slow
def test_a_reference_that_is_lost_is_that_of_the_first_weights(
    beside: House, reference: Path
) -> None:
    pairs = reference.parent / "pairs.jsonl"
    options = (*beside.small, "--pairs", str(pairs), *LONGER, "--name", "killed")
    entry = held("trainers.dpo", "DPO.update", call=17)
    process = beside.process("run", "dpo", *options, entry=entry)
    read_until(process, HELD)
    process.kill()
    process.wait()
    stored = folder_of(beside, "killed") / "reference.safetensors"
    stored.write_bytes(stored.read_bytes()[:-8] + b"\0" * 8)
    assert beside.run("resume", "killed", "--quiet").exit_code == 0
    assert told(beside, "killed") == told(beside, "untouched")
