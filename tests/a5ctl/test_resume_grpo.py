"""A GRPO run killed anywhere and resumed: the same numbers, and no batch sampled twice."""

import shutil
from pathlib import Path

import pytest

from tests.a5ctl.conftest import WARM_VLLM, House, small_house
from tests.a5ctl.grpo_runs import (
    UPDATES,
    count_samplings,
    curves,
    final_weights,
    folder_of,
    registry_of,
    responses,
    small_grpo,
)
from tests.a5ctl.held import HELD, held, read_until

# with a reference, refills, and old log-probabilities that a resume must find again
WHOLE = ("--kl", "0.05", "--dynamic-sampling", "--tis-cap", "2", "--set", "grpo.max_refills=1")


@pytest.fixture(scope="module")
def reference(small_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a run that nobody touched, to be copied."""
    house = small_house(small_folder, tmp_path_factory.mktemp("untouched") / "home")
    options = (*small_grpo(house), *WHOLE, "-q", "--name", "untouched")
    result = house.run("run", "grpo", *options)
    assert result.exit_code == 0, result.output
    return house.home


@pytest.fixture
def beside(house: House, reference: Path) -> House:
    """A workspace of one's own that holds the untouched run."""
    shutil.copytree(reference, house.home)
    return house


def killed(house: House, module: str, function: str, call: int) -> None:
    """Start a run, and kill it as soon as a function has done its work that many times."""
    entry = held(module, function, call=call)
    options = (*small_grpo(house), *WHOLE, "--name", "killed")
    process = house.process("run", "grpo", *options, entry=entry)
    read_until(process, HELD)
    process.kill()
    process.wait()


def assert_same_run(house: House) -> None:
    registry = registry_of(house)
    expected = curves(registry, "untouched")
    assert [step for step, _ in expected["loss"]] == list(range(1, UPDATES + 1))
    assert expected["refills"] == [(1, 1.0), (5, 1.0), (9, 1.0)]
    assert curves(registry, "killed") == expected
    assert responses(registry, "killed") == responses(registry, "untouched")
    assert final_weights(house, "killed") == final_weights(house, "untouched")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "call", "sampled"),
    [
        # each batch is two calls: the questions, and the refill
        (("trainers.rollouts.sampler", "RolloutSampler.sample"), 3, [1, 1, 2, 2]),
        (("trainers.rollouts.store", "RolloutStore.save"), 3, [2, 2]),
        (("trainers.grpo", "GRPO.update"), 7, [2, 2]),
        (("trainers.grpo", "GRPO.update"), 10, []),
        (("trainers.checkpoint", "_write_manifest"), 2, []),
    ],
    ids=["generation", "log-probs", "update", "last batch", "checkpoint"],
)
def test_a_killed_run_goes_on_with_the_same_numbers(
    beside: House,
    monkeypatch: pytest.MonkeyPatch,
    place: tuple[str, str],
    call: int,
    sampled: list[int],
) -> None:
    killed(beside, *place, call)
    numbers = count_samplings(monkeypatch)
    result = beside.run("resume", "killed", "--quiet")
    assert result.exit_code == 0, result.output
    assert_same_run(beside)
    assert numbers == sampled
    assert not list((folder_of(beside, "killed") / "rollouts").glob("*.partial"))


@pytest.mark.slow
def test_a_failed_run_goes_on_in_the_middle_of_a_batch(
    beside: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainers.grpo import GRPO

    update = GRPO.update

    def fails(self: GRPO, step: int) -> dict[str, float]:
        if step == 8:
            raise OSError(28, "No space left on device")
        return update(self, step)

    monkeypatch.setattr(GRPO, "update", fails)
    options = (*small_grpo(beside), *WHOLE, "-q", "--name", "killed")
    assert beside.run("run", "grpo", *options).exit_code == 2
    monkeypatch.setattr(GRPO, "update", update)
    on_disk = folder_of(beside, "killed") / "rollouts"
    assert list(on_disk.glob("*.rollouts")), "what the run will go on with"
    numbers = count_samplings(monkeypatch)
    assert beside.run("resume", "killed", "--quiet").exit_code == 0
    assert_same_run(beside)
    assert numbers == [2, 2]
    assert not list(on_disk.iterdir()), "nothing goes on with them now"


def test_memory_is_planned_with_the_reference_and_the_rollouts(beside: House) -> None:
    registry = registry_of(beside)
    events = registry.events(registry.find_run("untouched").uuid)
    (told,) = [event.message for event in events if event.kind == "preflight.memory"]
    assert "the reference policy" in told
    assert "rollouts at most" in told


@pytest.mark.slow
@pytest.mark.vllm
def test_resume_is_exact_with_vllm(house: House) -> None:
    options = (*small_grpo(house), "--engine", "vllm", "--kl", "0.05")
    straight = house.process("run", "grpo", *options, "--name", "untouched", "-q", warm=WARM_VLLM)
    output, _ = straight.communicate(timeout=300)
    assert straight.returncode == 0, output
    entry = held("trainers.grpo", "GRPO.update", call=7)
    process = house.process(
        "run", "grpo", *options, "--name", "killed", entry=entry, warm=WARM_VLLM
    )
    read_until(process, HELD)
    process.kill()
    process.wait()
    resumed = house.process("resume", "killed", "-q", warm=WARM_VLLM)
    output, _ = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, output
    registry = registry_of(house)
    assert curves(registry, "killed") == curves(registry, "untouched")
    assert responses(registry, "killed") == responses(registry, "untouched")
    assert final_weights(house, "killed") == final_weights(house, "untouched")
