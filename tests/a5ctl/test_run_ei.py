"""`a5ctl run ei` on a small model that was taught its questions: rounds, traces, and kills."""

import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.config.methods import KeepRollouts
from core.registry.store import Registry, open_registry
from core.responses.grade import GraderName
from core.rollouts import RolloutBatch
from tests.a5ctl.conftest import House, small_house
from tests.a5ctl.held import HELD, held, read_until
from trainers import metric_table
from trainers.alarms import Alarm, Measured
from trainers.alarms_steps import STEP_RULES
from trainers.rollouts import RolloutSampler
from trainers.watchdog import Watchdog

SECONDS = {
    *("step_seconds", "tokens_per_second"),
    *("generate_seconds", "grade_seconds", "sync_seconds"),
}
ROUND = {
    *("right_share", "formatted_share", "truncated_share", "solved_share", "kept"),
    *("kept_problems", "distinct_share", "entropy", "response_tokens"),
}
TAUGHT = (
    *("--steps", "80", "--lr", "1e-2", "--max-tokens", "50", "--eval-limit", "1"),
    *("--set", "evaluation.at_start=false", "--name", "taught"),
)
# three rounds; what is asked are the questions that were taught
EI = (
    *("--init", "taught", "--size", "8", "--ei-steps", "3", "--questions", "6", "--rollouts", "4"),
    *("--engine", "hf", "--threads", "1", "--batch-size", "2", "--lr", "1e-3", "--epochs", "1"),
    *("--max-per-problem", "2", "--no-dedup", "--max-tokens", "50", "--eval-limit", "3"),
    *("--set", "rollout.temperature=0.5"),
)


def registry_of(house: House) -> Registry:
    return open_registry(f"sqlite:///{house.home / 'registry.db'}")


def folder_of(house: House, name: str) -> Path:
    return house.home / "runs" / registry_of(house).find_run(name).id


def kept_rows(house: House, name: str) -> dict[str, list[dict[str, Any]]]:
    files = sorted((folder_of(house, name) / "rollouts").glob("*-kept.jsonl"))
    return {
        path.name: [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        for path in files
    }


def story(house: House, name: str) -> dict[str, Any]:
    """Everything that may not depend on where a run was killed."""
    registry = registry_of(house)
    run = registry.find_run(name)
    kept = kept_rows(house, name)
    return {
        "curves": {
            metric: [(point.step, point.value) for point in points]
            for metric, points in registry.metrics(run.uuid).items()
            if metric not in SECONDS
        },
        "evaluations": sorted(
            (e.step, [r.text for r in registry.responses(e.uuid)])
            for e in registry.evaluations([run.uuid])
        ),
        "rollouts": [
            (r.step, r.response.problem_id, r.response.sample, r.response.text)
            for r in registry.rollouts(run.uuid)
        ],
        "rounds": [e.data for e in registry.events(run.uuid) if e.kind == "round"],
        "kept": {file: [{**row, "run": None} for row in rows] for file, rows in kept.items()},
        "weights": (
            max((folder_of(house, name) / "checkpoints").glob("step-*")) / "model.safetensors"
        ).read_bytes(),
    }


@pytest.fixture(scope="module")
def reference(small_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> House:
    """A workspace with a taught model and a run from it that nobody touched; not to be changed."""
    house = small_house(small_folder, tmp_path_factory.mktemp("taught") / "home")
    house.sft(*TAUGHT)
    house.json("run", "ei", *EI, "--name", "untouched", "--quiet")
    return house


@pytest.fixture
def taught(house: House, reference: House) -> House:
    """A workspace of one's own that holds the same."""
    shutil.copytree(reference.home, house.home)
    return house


@pytest.mark.slow
def test_every_round_samples_learns_and_is_evaluated(reference: House) -> None:
    registry = registry_of(reference)
    run = registry.find_run("untouched")
    assert (run.status, run.kind) == ("finished", "ei")
    assert run.parent_uuid == registry.find_run("taught").uuid
    told = [e for e in registry.events(run.uuid) if e.kind == "round"]
    assert [e.data["round"] for e in told] == [1, 2, 3]
    assert all(e.data["grader"] == GraderName.STRICT for e in told)
    metrics = registry.metrics(run.uuid)
    assert metrics.keys() <= metric_table.BY_NAME.keys()
    firsts = [e.step for e in told]
    for name in ROUND:
        assert [point.step for point in metrics[name]] == firsts, name
    last = len(metrics["loss"])
    ends = [step - 1 for step in firsts[1:]] + [last]
    assert [e.step for e in registry.evaluations([run.uuid])] == [0, *ends]
    assert sum(e.data["updates"] for e in told) == last


def test_every_kept_response_is_traced_to_its_rollout(reference: House) -> None:
    registry = registry_of(reference)
    run = registry.find_run("untouched")
    rollouts = {
        (r.step, r.response.problem_id, r.response.sample): r for r in registry.rollouts(run.uuid)
    }
    assert len(rollouts) == 3 * 6 * 4
    artifacts = {a.path for a in registry.artifacts(run.uuid) if a.kind == "kept_rollouts"}
    files = kept_rows(reference, "untouched")
    assert {f"rollouts/{name}" for name in files} == artifacts
    rows = [row for found in files.values() for row in found]
    assert sum(point.value for point in registry.metrics(run.uuid)["kept"]) == len(rows) > 0
    for row in rows:
        assert row["run"] == run.id
        stored = rollouts[row["step"], row["problem"], row["sample"]]
        assert stored.response.text == row["response"]
        assert stored.grade.right


@pytest.mark.slow
def test_where_nothing_is_right_the_run_ends_and_says_so(house: House) -> None:
    options = (o for o in house.small if o not in ("--steps", "6"))
    result = house.run("run", "ei", *options, "--questions", "4", "--ei-steps", "2")
    assert result.exit_code == 0, result.output
    shown = " ".join(result.output.split())
    assert "round 1: 0 of 32 responses to 4 questions are right" in shown
    assert "nothing was learned: none of the 2 rounds found a response" in shown
    registry = registry_of(house)
    (run,) = registry.runs()
    assert run.status == "finished"
    assert [e.step for e in registry.evaluations([run.uuid])] == [0]
    assert "loss" not in registry.metrics(run.uuid)


@pytest.mark.slow
def test_a_run_whose_last_round_is_skipped_ends_with_a_checkpoint_and_an_evaluation(
    taught: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    import trainers.expert_iteration as method

    keep = method.keep

    def keep_some(batch: RolloutBatch, *settings: Any) -> Any:
        nothing = replace(batch, rollouts=tuple(r for r in batch.rollouts if not r.right))
        return keep(nothing if batch.number == 1 else batch, *settings)

    monkeypatch.setattr(method, "keep", keep_some)
    options = ("--ei-steps", "2", "--eval-every", "1000", "--name", "short")
    taught.json("run", "ei", *EI, *options, "--quiet")
    registry = registry_of(taught)
    run = registry.find_run("short")
    last = len(registry.metrics(run.uuid)["loss"])
    assert [e.step for e in registry.evaluations([run.uuid])] == [0, last]
    newest = max((folder_of(taught, "short") / "checkpoints").glob("step-*"))
    assert newest.name == f"step-{last:06d}"
    assert run.status == "finished"


def test_a_grader_that_cannot_judge_the_questions_is_refused(house: House) -> None:
    options = [o for o in house.small if o not in ("--steps", "6")]
    result = house.run("run", "ei", *options, "--train-grader", "multiple_choice")
    assert result.exit_code == 2
    assert "rollout.grader multiple_choice reads letters of options" in " ".join(
        result.output.split()
    )
    unknown = house.run("run", "ei", *options, "--train-grader", "fair")
    assert unknown.exit_code == 2
    assert "rollout.grader" in unknown.output


@pytest.mark.slow
def test_the_registry_keeps_no_rollouts_where_none_were_asked_for(taught: House) -> None:
    options = ("--ei-steps", "1", "--keep-rollouts", KeepRollouts.NONE, "--name", "bare")
    taught.json("run", "ei", *EI, *options, "--quiet")
    registry = registry_of(taught)
    assert registry.rollouts(registry.find_run("bare").uuid) == []
    assert kept_rows(taught, "bare")["round-0001-kept.jsonl"]


IN_AN_EVALUATION_OR_SAMPLING = ("core.engines.hf", "HfEngine.generate")
AFTER_THE_ROLLOUTS_ARE_SAVED = ("trainers.rollouts.store", "RolloutStore.save")
AFTER_THE_KEPT_ARE_WRITTEN = ("trainers.ei_rounds", "write_whole")
IN_AN_UPDATE = ("trainers.sft", "SFT.update")
IN_A_CHECKPOINT = ("trainers.checkpoint", "_write_manifest")


def killed(house: House, name: str, place: tuple[str, str], call: int) -> None:
    """Start or resume a run; kill it as soon as a function has done its work that many times."""
    known = any(run.name == name for run in registry_of(house).runs())
    options = ("resume", name) if known else ("run", "ei", *EI, "--name", name)
    process = house.process(*options, entry=held(*place, call=call))
    read_until(process, HELD)
    process.send_signal(signal.SIGKILL)
    process.wait()


def stored(house: House, name: str) -> set[int]:
    """Numbers of the batches on disk."""
    files = (folder_of(house, name) / "rollouts").glob("*.rollouts")
    return {int(path.name.split("-")[1]) for path in files}


def first_of_round_two(house: House) -> int:
    """The update that begins round 2 of the run that nobody touched."""
    registry = registry_of(house)
    return registry.metrics(registry.find_run("untouched").uuid)["kept"][1].step


def resumed(house: House, name: str, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Resume a run to its end and return the numbers of the batches that were sampled."""
    sampled, sample = [], RolloutSampler.sample

    def noted(self: RolloutSampler, *arguments: Any, **named: Any) -> Any:
        sampled.append(named["number"])
        return sample(self, *arguments, **named)

    monkeypatch.setattr(RolloutSampler, "sample", noted)
    result = house.run("resume", name, "--quiet")
    assert result.exit_code == 0, result.output
    return sampled


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "call"),
    [
        (IN_AN_EVALUATION_OR_SAMPLING, 2),
        (AFTER_THE_KEPT_ARE_WRITTEN, 2),
        (IN_AN_UPDATE, None),
        (IN_A_CHECKPOINT, 2),
        (IN_AN_EVALUATION_OR_SAMPLING, 5),
    ],
    ids=["sampling", "kept", "update", "checkpoint", "evaluation"],
)
def test_a_killed_run_goes_on_the_same_and_samples_nothing_twice(
    taught: House,
    reference: House,
    monkeypatch: pytest.MonkeyPatch,
    place: tuple[str, str],
    call: int | None,
) -> None:
    killed(taught, "killed", place, call or first_of_round_two(reference))
    on_disk = stored(taught, "killed")
    left = [number for number in range(3) if number not in on_disk]
    assert resumed(taught, "killed", monkeypatch) == left
    assert story(taught, "killed") == story(reference, "untouched")


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_the_same(
    taught: House, reference: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, call in ((AFTER_THE_ROLLOUTS_ARE_SAVED, 1), (AFTER_THE_ROLLOUTS_ARE_SAVED, 1)):
        killed(taught, "killed", place, call)
    assert stored(taught, "killed") == {0, 1}
    assert resumed(taught, "killed", monkeypatch) == [2]
    assert story(taught, "killed") == story(reference, "untouched")


@pytest.mark.slow
def test_a_rollback_learns_from_the_same_rollouts_again_more_slowly(
    taught: House, reference: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An alarm behind the first update of round 2 leads back to the end of round 1."""
    first = first_of_round_two(reference)
    step, raised = Watchdog.step, []

    def alarmed(self: Watchdog, number: int, metrics: dict[str, float]) -> list[Alarm]:
        found = step(self, number, metrics)
        if number == first and not raised:
            raised.append(number)
            return [Alarm(STEP_RULES[1], number, Measured(1.0, "planted", number, {}, number))]
        return found

    monkeypatch.setattr(Watchdog, "step", alarmed)
    sampled, sample = [], RolloutSampler.sample

    def noted(self: RolloutSampler, *arguments: Any, **named: Any) -> Any:
        sampled.append(named["number"])
        return sample(self, *arguments, **named)

    monkeypatch.setattr(RolloutSampler, "sample", noted)
    taught.json("run", "ei", *EI, "--on-alarm", "rollback", "--name", "back", "--quiet")
    registry = registry_of(taught)
    run = registry.find_run("back")
    (event,) = [e for e in registry.events(run.uuid) if e.kind == "rollback"]
    assert event.data["to"] == first - 1
    assert sampled == [0, 1, 2]
    back, untouched = story(taught, "back"), story(reference, "untouched")
    steps = [step for step, _ in back["curves"]["loss"]]
    assert steps == list(range(1, len(steps) + 1)), "undone steps are shown once"
    before = [row for row in untouched["rollouts"] if row[0] <= first]
    assert [row for row in back["rollouts"] if row[0] <= first] == before
    rates = dict(back["curves"]["lr"])
    assert rates[first] == dict(untouched["curves"]["lr"])[first] / 2
