"""Going back after an alarm: what is restored, halved, recorded, and in the end given up."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from core.registry.records import EventRecord
from core.registry.store import Registry, open_registry
from tests.a5ctl.conftest import House
from tests.a5ctl.held import HELD, held, read_until
from trainers.checkpoint import checkpoint_step, checkpoints
from trainers.rollback import latest_rollback
from trainers.sft import SFT

TIMINGS = {"step_seconds", "tokens_per_second"}
# the rate rises to 1000 times a usable one, so that the run goes wrong on the way
STEPS = 30
RISING = (
    *("--lr", "3", "--warmup", "0.9", "--steps", str(STEPS), "--eval-limit", "1"),
    *("--eval-every", "5", "--max-tokens", "4", "--set", "train.checkpoint_every=5"),
    *("--set", "train.clip_norm=1000", "--on-alarm", "rollback"),
)
BLIND = (*RISING, "--set", "evaluation.at_start=false", "--eval-every", str(STEPS))


def registry_of(house: House) -> Registry:
    return open_registry(f"sqlite:///{house.home / 'registry.db'}")


def rollbacks(registry: Registry, name: str) -> list[EventRecord]:
    return [e for e in registry.events(registry.find_run(name).uuid) if e.kind == "rollback"]


def story(registry: Registry, name: str) -> tuple[dict, list, list]:
    """Curves without timings, texts of the evaluations, and where every rollback went."""
    run = registry.find_run(name)
    curves = {
        metric: [(point.step, point.value) for point in points]
        for metric, points in registry.metrics(run.uuid).items()
        if metric not in TIMINGS
    }
    evaluations = [
        (e.step, [r.text for r in registry.responses(e.uuid)])
        for e in registry.evaluations([run.uuid])
    ]
    return curves, evaluations, [e.data for e in rollbacks(registry, name)]


@pytest.fixture(scope="module")
def rolled_back(small_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> House:
    """A workspace with a run that went back and finished; tests must not change it."""
    from tests.a5ctl.conftest import small_house

    house = small_house(small_folder, tmp_path_factory.mktemp("rolled") / "home")
    house.sft(*RISING, "--name", "untouched")
    return house


@pytest.mark.slow
def test_a_rollback_restores_the_best_checkpoint_and_halves_the_rate(rolled_back: House) -> None:
    registry = registry_of(rolled_back)
    run = registry.find_run("untouched")
    assert run.status == "finished"
    events = rollbacks(registry, "untouched")
    assert events
    rates = {p.step: p.value for p in registry.metrics(run.uuid)["lr"]}
    for number, event in enumerate(events, 1):
        assert event.data["rollback"] == number
        assert event.data["lr_factor"] == 0.5**number
        assert 0 < event.data["to"] < event.data["from"] == event.step
        assert event.data["to"] % 5 == 0, "evaluated checkpoints come before others"
        assert f"rolled back from step {event.step} to the checkpoint of step" in event.message
    last = events[-1].data
    for step in range(last["to"] + 1, 28):
        assert rates[step] == pytest.approx(3 * step / 27 * last["lr_factor"])


def test_undone_steps_are_shown_once_and_the_curve_goes_on_from_the_checkpoint(
    rolled_back: House,
) -> None:
    registry = registry_of(rolled_back)
    run = registry.find_run("untouched")
    for name in ("loss", "lr", "tokens_total"):
        assert [p.step for p in registry.metrics(run.uuid)[name]] == list(range(1, STEPS + 1))
    totals = [p.value for p in registry.metrics(run.uuid)["tokens_total"]]
    tokens = [p.value for p in registry.metrics(run.uuid)["tokens"]]
    assert totals == [sum(tokens[: i + 1]) for i in range(STEPS)]
    assert [e.step for e in registry.evaluations([run.uuid])] == list(range(0, STEPS + 1, 5))
    assert len(registry.segments(run.uuid)) == len(rollbacks(registry, "untouched"))


@pytest.mark.slow
def test_the_steps_before_are_bitwise_those_of_the_run_without_alarm(
    rolled_back: House, house: House
) -> None:
    house.sft(*RISING, "--on-alarm", "warn", "--name", "warned")
    warned, _, _ = story(registry_of(house), "warned")
    back, _, where = story(registry_of(rolled_back), "untouched")
    first = min(data["to"] for data in where)
    assert back["loss"][:first] == warned["loss"][:first]
    assert back["loss"][first] == warned["loss"][first], "the same examples, before the update"
    assert back["loss"][first + 1] != warned["loss"][first + 1]


@pytest.mark.slow
def test_without_a_checkpoint_from_before_it_starts_over_from_the_initial_weights(
    house: House,
) -> None:
    house.sft(*BLIND, "--lr", "1", "--warmup", "0.05", "--name", "over")
    registry = registry_of(house)
    (event, *_) = rollbacks(registry, "over")
    assert event.data["to"] == 0
    assert "to the initial weights because of loss_diverged" in event.message
    house.sft(*BLIND, "--lr", "0.5", "--warmup", "0.05", "--name", "half")
    halved, _, again = story(registry, "half")
    assert again == []
    assert story(registry, "over")[0]["loss"] == halved["loss"], "as if it had been asked for"


@pytest.mark.slow
def test_it_stops_after_so_many_rollbacks(house: House) -> None:
    result = house.run(
        *("run", "sft", *house.small, *BLIND, "--lr", "30", "--warmup", "0.05"),
        *("--set", "train.max_rollbacks=2"),
    )
    assert result.exit_code == 1
    registry = registry_of(house)
    (run,) = registry.runs()
    assert len(rollbacks(registry, run.id)) == 2
    assert run.status == "failed"
    assert "2 rollbacks did not help" in (run.exit_reason or "")
    assert "rollback 2 of 2" in " ".join(result.output.split())


def test_what_a_lower_rate_cannot_help_stops_at_once(house: House) -> None:
    result = house.run("run", "sft", *house.small, *BLIND, "--lr", "1e-12", "-q")
    assert result.exit_code == 1
    registry = registry_of(house)
    (run,) = registry.runs()
    assert rollbacks(registry, run.id) == []
    assert "no rollback, because it would not help" in (run.exit_reason or "")


@pytest.mark.slow
def test_a_damaged_checkpoint_is_not_gone_back_to(
    house: House, rolled_back: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = rollbacks(registry_of(rolled_back), "untouched")[0].data["to"]
    update = SFT.update

    def damages(self: SFT, step: int) -> dict[str, float]:
        for path in (house.home / "runs").glob(f"*/checkpoints/step-{target:06d}/*.safetensors"):
            path.write_bytes(path.read_bytes()[:-100])
        return update(self, step)

    monkeypatch.setattr(SFT, "update", damages)
    house.run("run", "sft", *house.small, *RISING, "--name", "damaged", "--quiet")
    assert all(e.data["to"] != target for e in rollbacks(registry_of(house), "damaged"))
    assert rollbacks(registry_of(house), "damaged")


@pytest.mark.slow
def test_the_best_checkpoint_is_kept_beside_the_newest(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    import trainers.evaluator

    facts_of = trainers.evaluator.facts_of_result
    monkeypatch.setattr(
        trainers.evaluator,
        "facts_of_result",
        lambda result: replace(facts_of(result), accuracy=accuracies.get(result.step, 0.0)),
    )
    accuracies = {5: 0.1, 10: 0.9, 15: 0.9, 20: 0.3}
    options = ("--steps", "25", "--eval-every", "5", "--eval-limit", "1", "--keep-last", "1")
    options += ("--max-tokens", "4", "--set", "train.checkpoint_every=5")
    for keep_best, kept in (("1", [15, 25]), ("2", [10, 15, 25])):
        run_id = house.sft(*options, "--keep-best", keep_best)
        folder = house.home / "runs" / run_id / "checkpoints"
        assert [checkpoint_step(path) for path in checkpoints(folder)] == kept


def crashes(monkeypatch: pytest.MonkeyPatch, when: Callable[[SFT, int], bool]) -> None:
    """Let the next update that fits fail, once, as if the disk were full."""
    update, done = SFT.update, []

    def fails(self: SFT, step: int) -> dict[str, float]:
        if not done and when(self, step):
            done.append(step)
            raise OSError(28, "No space left on device")
        return update(self, step)

    monkeypatch.setattr(SFT, "update", fails)


@pytest.mark.slow
@pytest.mark.parametrize("later", [1, pytest.param(7, marks=pytest.mark.slow)])
def test_a_resume_after_a_rollback_is_bitwise_the_same_run(
    house: House, rolled_back: House, monkeypatch: pytest.MonkeyPatch, later: int
) -> None:
    """It ends so many steps behind the first rollback, where there may be no new checkpoint."""
    expected = story(registry_of(rolled_back), "untouched")
    crash = expected[2][0]["to"] + later
    crashes(monkeypatch, lambda self, step: step == crash and self.learning_rate.peak == 1.5)
    assert house.run("run", "sft", *house.small, *RISING, "--name", "ended", "-q").exit_code == 2
    resumed = house.run("resume", "ended")
    assert resumed.exit_code == 0, resumed.output
    assert "at 0.5 times the learning rate after 1 rollback(s)" in " ".join(resumed.output.split())
    assert story(registry_of(house), "ended") == expected


@pytest.mark.slow
@pytest.mark.parametrize("function", ["note_rollback", "finish_rollback"])
def test_a_rollback_that_was_cut_short_is_finished_by_the_resume(
    house: House, rolled_back: House, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    import trainers.reaction

    inner, calls = getattr(trainers.reaction, function), []

    def cut_short(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == 1 and function == "finish_rollback":
            raise OSError("planted")
        found = inner(*arguments)
        if len(calls) == 1:
            raise OSError("planted")
        return found

    monkeypatch.setattr(trainers.reaction, function, cut_short)
    assert house.run("run", "sft", *house.small, *RISING, "--name", "cut", "-q").exit_code == 2
    result = house.run("resume", "cut")
    assert result.exit_code == 0, result.output
    curves, evaluations, _ = story(registry_of(rolled_back), "untouched")
    assert story(registry_of(house), "cut")[:2] == (curves, evaluations)
    folder = next((house.home / "runs").glob("*/checkpoints"))
    note = latest_rollback(folder)
    assert note is not None
    assert note.finished


@pytest.mark.slow
def test_a_damaged_note_is_refused(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    crashes(monkeypatch, lambda self, step: self.learning_rate.peak == 1.5)
    house.run("run", "sft", *house.small, *RISING, "--name", "noted", "-q")
    (note,) = (house.home / "runs").glob("*/checkpoints/rollback.json")
    assert json.loads(note.read_text())["lr_factor"] == 0.5
    note.write_text("{")
    result = house.run("resume", "noted")
    assert result.exit_code != 0
    assert "rollback.json is damaged" in "".join(result.output.split("\n"))


@pytest.mark.slow
def test_a_run_killed_after_a_rollback_goes_on_with_the_same_numbers(
    house: House, rolled_back: House
) -> None:
    expected = story(registry_of(rolled_back), "untouched")
    updates = expected[2][0]["from"] + 3  # all of them so far, undone ones counted
    entry = held("trainers.sft", "SFT.update", call=updates)
    options = (*house.small, *RISING, "--name", "killed")
    process = house.process("run", "sft", *options, entry=entry)
    read_until(process, HELD)
    process.kill()
    process.wait()
    assert house.run("resume", "killed", "--quiet").exit_code == 0
    assert story(registry_of(house), "killed") == expected
