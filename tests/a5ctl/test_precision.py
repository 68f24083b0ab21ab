"""--precision: taken by every method, recorded, kept by a resume, known by its older name."""

import json
import shutil

import pytest

from core.registry.store import Registry, open_registry
from tests.a5ctl.conftest import House


def registry_of(house: House) -> Registry:
    return open_registry(f"sqlite:///{house.home / 'registry.db'}")


def back_to_the_fourth_step(house: House, name: str) -> bytes:
    """As a run that was killed behind its last update; returns the weights that it had then."""
    registry = registry_of(house)
    run = registry.find_run(name)
    last = house.home / run.folder / "checkpoints" / "step-000006"
    weights = (last / "model.safetensors").read_bytes()
    shutil.rmtree(last)
    registry.set_status(run.uuid, "interrupted", exit_reason="SIGKILL")
    return weights


def weights_after_resuming(house: House, name: str) -> bytes:
    assert house.run("resume", name, "--quiet").exit_code == 0
    run = registry_of(house).find_run(name)
    return (house.home / run.folder / "checkpoints/step-000006/model.safetensors").read_bytes()


def told(house: House, name: str) -> list[str]:
    registry = registry_of(house)
    events = registry.events(registry.find_run(name).uuid)
    return [event.message for event in events if event.kind == "precision"]


@pytest.mark.slow
def test_random_rounding_is_recorded_and_kept_by_a_resume(house: House) -> None:
    run = house.sft("--precision", "stochastic")
    record = registry_of(house).find_run(run)
    assert record.config["train"]["precision"] == "stochastic"
    (text,) = told(house, run)
    assert "precision stochastic: products in bfloat16" in text
    assert "rounded at random" in text
    expected = back_to_the_fourth_step(house, run)
    assert weights_after_resuming(house, run) == expected


@pytest.mark.slow
def test_a_run_of_an_older_version_goes_on_as_it_was(house: House) -> None:
    run = house.sft("--set", "model.dtype=bfloat16")
    registry = registry_of(house)
    record = registry.find_run(run)
    assert record.config["train"]["precision"] == "mixed"
    expected = back_to_the_fourth_step(house, run)
    older = json.loads(json.dumps(record.config))
    del older["train"]["precision"]
    older["model"]["dtype"] = "bfloat16"
    registry.set_config(record.uuid, older, record.config_hash)
    config = house.home / record.folder / "config.toml"
    lines = config.read_text().replace('precision = "mixed"\n', "")
    config.write_text(lines.replace("[model]\n", '[model]\ndtype = "bfloat16"\n'))
    assert weights_after_resuming(house, run) == expected
    assert registry_of(house).find_run(run).config_hash == record.config_hash


@pytest.mark.parametrize("method", ["sft", "ei", "grpo", "dpo"])
def test_every_method_takes_it_and_names_what_there_is(house: House, method: str) -> None:
    commands = {
        "sft": ("run", "sft", "--precision", "fp8"),
        "ei": ("run", "ei", "--precision", "fp8"),
        "grpo": ("run", "grpo", "--precision", "fp8"),
        "dpo": ("run", "dpo", "--precision", "fp8"),
    }
    result = house.run(*commands[method])
    assert result.exit_code == 2
    text = " ".join(result.output.split())
    assert "'auto', 'float32', 'mixed', 'stochastic' or 'bfloat16'" in text
    assert not house.home.joinpath("registry.db").exists()
