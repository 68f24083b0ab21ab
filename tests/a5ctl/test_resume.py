"""Killed anywhere and resumed: the same numbers as a run that nobody touched."""

import json
import shutil
import signal
from pathlib import Path

import pytest

from core.registry.liveness import display_status
from core.registry.store import Registry, open_registry
from tests.a5ctl.conftest import WARM_VLLM, House, small_house
from tests.a5ctl.held import HELD, held, read_until

TIMINGS = {"step_seconds", "tokens_per_second"}
STEPS = 60
LONGER = ("--steps", str(STEPS), "--size", "20", "--eval-every", "20")


def registry_of(house: House) -> Registry:
    return open_registry(f"sqlite:///{house.home / 'registry.db'}")


def curves(registry: Registry, name: str) -> dict[str, list[tuple[int, float]]]:
    found = registry.metrics(registry.find_run(name).uuid)
    return {
        metric: [(point.step, point.value) for point in points]
        for metric, points in found.items()
        if metric not in TIMINGS
    }


def evaluations(registry: Registry, name: str) -> list[tuple[int, list[str]]]:
    found = registry.evaluations([registry.find_run(name).uuid])
    return sorted((e.step, [r.text for r in registry.responses(e.uuid)]) for e in found)


def run_folder(house: House, name: str) -> Path | None:
    for path in (house.home / "runs").glob("*/config.toml"):
        if f'name = "{name}"' in path.read_text():
            return path.parent
    return None


def final_weights(house: House, name: str) -> bytes:
    newest = max((run_folder(house, name) / "checkpoints").glob("step-*"))
    return (newest / "model.safetensors").read_bytes()


def assert_same_run(house: House, untouched: str, resumed: str, steps: int = STEPS) -> None:
    registry = registry_of(house)
    expected = curves(registry, untouched)
    assert [step for step, _ in expected["loss"]] == list(range(1, steps + 1))
    assert curves(registry, resumed) == expected
    assert evaluations(registry, resumed) == evaluations(registry, untouched)
    assert final_weights(house, resumed) == final_weights(house, untouched)


@pytest.fixture(scope="module")
def reference(small_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a run that nobody touched, to be copied."""
    house = small_house(small_folder, tmp_path_factory.mktemp("untouched") / "home")
    house.sft(*LONGER, "--name", "untouched")
    return house.home


@pytest.fixture
def beside(house: House, reference: Path) -> House:
    """A workspace of one's own that holds the untouched run."""
    shutil.copytree(reference, house.home)
    return house


def killed(house: House, name: str, module: str, function: str, call: int) -> None:
    """Start or resume a run; kill it as soon as a function has done its work that many times."""
    entry = held(module, function, call=call)
    if run_folder(house, name) is None:
        process = house.process("run", "sft", *house.small, *LONGER, "--name", name, entry=entry)
    else:
        process = house.process("resume", name, entry=entry)
    read_until(process, HELD)
    process.kill()
    process.wait()


IN_AN_UPDATE = ("trainers.sft", "SFT.update")
AFTER_TENSORS = ("trainers.checkpoint", "_write_tensors")
AFTER_THE_MANIFEST = ("trainers.checkpoint", "_write_manifest")
AFTER_THE_RENAME = ("trainers.checkpoint", "_publish")
BEFORE_OLD_FILES_GO = ("trainers.checkpoint", "_retire")
IN_AN_EVALUATION = ("core.engines.hf", "HfEngine.generate")
IN_A_TRANSACTION = ("core.registry.writer", "store_entries")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "call"),
    [
        (IN_AN_UPDATE, 37),
        (IN_AN_UPDATE, STEPS),
        (AFTER_THE_MANIFEST, 11),
        (BEFORE_OLD_FILES_GO, 5),
        (IN_AN_EVALUATION, 2),
        (IN_A_TRANSACTION, 3),
    ],
    ids=["update", "last update", "manifest", "prune", "evaluation", "transaction"],
)
def test_a_killed_run_goes_on_with_the_same_numbers(
    beside: House, place: tuple[str, str], call: int
) -> None:
    killed(beside, "killed", *place, call)
    assert display_status(registry_of(beside).find_run("killed")) == "lost"
    result = beside.run("resume", "killed", "--quiet")
    assert result.exit_code == 0, result.output
    assert registry_of(beside).find_run("killed").status == "finished"
    assert_same_run(beside, "untouched", "killed")
    folder = run_folder(beside, "killed") / "checkpoints"
    assert not list(folder.glob(".partial-*"))


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_with_the_same_numbers(beside: House) -> None:
    for place, call in ((AFTER_TENSORS, 2), (AFTER_THE_RENAME, 4), (IN_AN_UPDATE, 1)):
        killed(beside, "killed", *place, call)
    assert beside.run("resume", "killed", "--quiet").exit_code == 0
    assert_same_run(beside, "untouched", "killed")


@pytest.mark.slow
def test_a_run_killed_before_its_first_checkpoint_starts_over(beside: House) -> None:
    killed(beside, "early", "trainers.sft", "SFT.update", 1)
    assert not list((run_folder(beside, "early") / "checkpoints").glob("step-*"))
    assert beside.run("resume", "early", "--quiet").exit_code == 0
    assert_same_run(beside, "untouched", "early")


@pytest.mark.slow
def test_a_damaged_checkpoint_is_skipped_on_resume(beside: House) -> None:
    killed(beside, "damaged", "trainers.sft", "SFT.update", 31)
    newest = sorted((run_folder(beside, "damaged") / "checkpoints").glob("step-*"))[-1]
    weights = newest / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    result = beside.run("resume", "damaged")
    assert result.exit_code == 0, result.output
    assert f"checkpoint {newest.name} is skipped" in " ".join(result.output.split())
    assert_same_run(beside, "untouched", "damaged")


@pytest.mark.slow
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_saves_itself_and_says_how_to_go_on(
    beside: House, tmp_path: Path, signum: signal.Signals, code: int
) -> None:
    go = tmp_path / "go"
    entry = held("trainers.sft", "SFT.update", call=25, go=go)
    options = (*beside.small, *LONGER, "--name", "stopped")
    process = beside.process("run", "sft", *options, entry=entry)
    read_until(process, HELD)
    process.send_signal(signum)
    go.touch()
    output, _ = process.communicate(timeout=300)
    assert process.returncode == code, output
    assert "go on with: a5ctl resume" in output
    assert "Traceback" not in output
    run = registry_of(beside).find_run("stopped")
    assert (run.status, run.exit_reason) == ("interrupted", signum.name)
    assert beside.run("resume", run.id, "--quiet").exit_code == 0
    assert_same_run(beside, "untouched", "stopped")


@pytest.mark.slow
def test_a_failed_run_can_be_resumed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainers.sft import SFT

    update = SFT.update

    def fails(self: SFT, step: int) -> dict:
        if step == 5:
            raise OSError(28, "No space left on device")
        return update(self, step)

    monkeypatch.setattr(SFT, "update", fails)
    result = house.run("run", "sft", *house.small, "--quiet")
    assert result.exit_code == 2
    assert "No space left on device" in result.output
    (run,) = registry_of(house).runs()
    assert run.status == "failed"
    monkeypatch.setattr(SFT, "update", update)
    assert house.run("resume", run.id, "--quiet").exit_code == 0
    points = registry_of(house).metrics(run.uuid)["loss"]
    assert [p.step for p in points] == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
def test_a_finished_run_and_an_unknown_one_are_refused(house: House) -> None:
    run_id = house.sft()
    finished = house.run("resume", run_id)
    assert finished.exit_code == 2
    assert "is finished" in finished.output
    unknown = house.run("resume", "sft-8-nope")
    assert unknown.exit_code == 2
    assert "sft-8-nope" in unknown.output


@pytest.mark.parametrize(("before", "after"), [("apples", "pears"), (" + ", " plus ")])
def test_changed_questions_and_changed_solutions_are_refused(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, after: str
) -> None:
    from tests.a5ctl.conftest import write_problems
    from trainers.sft import SFT

    data = tmp_path / "moving"
    data.mkdir()
    write_problems(data / "train.jsonl", 10)
    write_problems(data / "test.jsonl", 4)

    def fails(self: SFT, step: int) -> dict:
        raise OSError("planted")

    monkeypatch.setattr(SFT, "update", fails)
    house.run("run", "sft", *house.small, "--data", str(data), "--quiet")
    text = (data / "train.jsonl").read_text()
    (data / "train.jsonl").write_text(text.replace(before, after))
    (run,) = registry_of(house).runs()
    result = house.run("resume", run.id)
    assert result.exit_code == 2
    assert "has changed since it started" in " ".join(result.output.split())


@pytest.mark.slow
@pytest.mark.vllm
def test_resume_is_exact_with_vllm(house: House) -> None:
    longer = ("--steps", "24", "--size", "20", "--eval-every", "12")
    vllm = (*house.small, *longer, "--engine", "vllm")
    straight = house.process("run", "sft", *vllm, "--name", "untouched", "--json", warm=WARM_VLLM)
    output, _ = straight.communicate(timeout=300)
    assert straight.returncode == 0, output
    entry = held("trainers.sft", "SFT.update", call=15)
    process = house.process("run", "sft", *vllm, "--name", "killed", entry=entry, warm=WARM_VLLM)
    read_until(process, HELD)
    process.kill()
    process.wait()
    resumed = house.process("resume", "killed", "--json", warm=WARM_VLLM)
    output, _ = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, output
    assert json.loads(output[output.rindex("\n[\n") :])[0]["status"] == "finished"
    assert_same_run(house, "untouched", "killed", steps=24)
