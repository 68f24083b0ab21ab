"""Kernels by name, in every kind of run: what this machine cannot do is refused in one sentence."""

import pytest
import torch

from tests.a5ctl.conftest import House


@pytest.fixture(autouse=True)
def on_a_cpu() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")


@pytest.mark.parametrize("kind", ["sft", "ei", "grpo"])
def test_what_needs_a_gpu_is_refused_before_anything_is_written(house: House, kind: str) -> None:
    asked = {
        "sft": ("run", "sft", "--attention", "varlen", "--compile", "on"),
        "ei": ("run", "ei", "--attention", "varlen", "--compile", "on"),
        "grpo": ("run", "grpo", "--attention", "varlen", "--compile", "on"),
    }[kind]
    data = house.small[house.small.index("--data") :][:2]
    result = house.run(*asked, *data)
    assert result.exit_code == 2, result.output
    text = " ".join(result.output.split())
    assert "--attention varlen cannot be had: variable-length kernels need CUDA" in text
    assert not (house.home / "runs").exists() or not list((house.home / "runs").iterdir())


@pytest.mark.parametrize(
    ("asked", "known"),
    [
        (("run", "dpo", "--attention", "fast"), "'auto', 'flash', 'varlen' or 'sdpa'"),
        (("run", "dpo", "--compile", "maybe"), "'auto', 'on' or 'off'"),
    ],
)
def test_unknown_kernels_are_answered_with_those_that_are_known(
    house: House, asked: tuple[str, ...], known: str
) -> None:
    result = house.run(*asked)
    assert result.exit_code == 2, result.output
    assert known in " ".join(result.output.split())
