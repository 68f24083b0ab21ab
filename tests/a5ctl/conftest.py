"""A workspace with small data and a small model, and the program driven as a person drives it."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.a5ctl.diagnosed import record_both
from tests.conftest import settle_objects
from tests.models import write_model
from tests.warm import Started, Warm

ROOT = Path(__file__).parents[2]
WARM = Warm()
WARM_VLLM = Warm(
    *("vllm", "vllm.v1.worker.cpu_worker", "vllm.v1.executor.uniproc_executor"),
    *("vllm.v1.engine.llm_engine", "vllm.v1.engine.core_client"),
    "vllm.model_executor.models.qwen2",
)


@dataclass(frozen=True, slots=True)
class House:
    """One workspace.

    Attributes:
        home: The workspace folder.
        model: A small random model.
        data: A folder with train.jsonl (40 problems) and test.jsonl (12).
        small: Options that make a run small and let it use the small model and data.
    """

    home: Path
    model: Path
    data: Path
    small: tuple[str, ...] = field(default=())

    def run(self, *arguments: str) -> Result:
        """Run the program in this process."""
        from a5ctl.app import app

        environment = {"A5CTL_HOME": str(self.home), "COLUMNS": "100", "NO_COLOR": "1"}
        return CliRunner(env=environment).invoke(app, [str(a) for a in arguments])

    def json(self, *arguments: str) -> Any:
        """Run the program with --json and decode what it prints."""
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def sft(self, *arguments: str) -> str:
        """Train a small run to its end and return its id."""
        (outcome,) = self.json("run", "sft", *self.small, "--quiet", *arguments)
        return outcome["run"]

    def process(
        self, *arguments: str, entry: Sequence[str] = ("-m", "a5ctl"), warm: Warm | None = WARM
    ) -> Started:
        """Start the program as a process of its own.

        Args:
            arguments: Its command line.
            entry: How Python is told to start it.
            warm: What may fork it from a process that has imported everything. None where the
                start matters.
        """
        environment = self.environment()
        given = [str(argument) for argument in arguments]
        if warm is not None and warm.can_be(environment):
            return warm.start(entry, given, environment)
        return subprocess.Popen(
            [sys.executable, *entry, *given],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def environment(self) -> dict[str, str]:
        """The variables of a process that works in this workspace."""
        return {
            **os.environ,
            "A5CTL_HOME": str(self.home),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "100",
        }


def write_problems(path: Path, count: int, offset: int = 0) -> None:
    """GSM8K-like lines with small sums."""
    lines = [
        {
            "question": f"Tom has {i + offset} apples and buys {2 * i + 1}. How many now?",
            "answer": f"{i + offset} + {2 * i + 1} = <<{3 * i + offset + 1}>>{3 * i + offset + 1}\n"
            f"#### {3 * i + offset + 1}",
        }
        for i in range(count)
    ]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    write_model(folder / "model")
    (folder / "data").mkdir()
    write_problems(folder / "data" / "train.jsonl", 40)
    write_problems(folder / "data" / "test.jsonl", 12, offset=100)
    # each run begins with a collection of garbage; transformers has just been imported
    settle_objects()
    return folder


def small_house(folder: Path, home: Path) -> House:
    """A workspace that uses the small model and data of `folder`."""
    small = (
        *("--model", str(folder / "model"), "--data", str(folder / "data"), "--engine", "hf"),
        *("--size", "8", "--steps", "6", "--batch-size", "4", "--lr", "1e-3", "--threads", "1"),
        *("--max-tokens", "12", "--set", "train.checkpoint_every=2"),
    )
    return House(home, folder / "model", folder / "data", small)


@pytest.fixture(scope="session")
def diagnosed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the run of `diagnosed.py`; tests must not change it."""
    home = tmp_path_factory.mktemp("diagnosed")
    record_both(home)
    return home


@pytest.fixture
def house(small_folder: Path, tmp_path: Path) -> House:
    return small_house(small_folder, tmp_path / "home")


@pytest.fixture(scope="module")
def lived_in(small_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> House:
    """A workspace that already holds two runs of one setting; tests must not change it."""
    house = small_house(small_folder, tmp_path_factory.mktemp("lived") / "home")
    house.json("run", "sft", *house.small, "--quiet", "--seed", "0,1", "--eval-every", "3")
    return house
