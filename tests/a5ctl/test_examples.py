"""Every example runs to its end with a small model and small data."""

import shutil
from pathlib import Path

import pytest

from tests.a5ctl.conftest import ROOT, House
from tests.a5ctl.scripts import in_process, tell

EXAMPLES = ROOT / "examples"
SMALL_EVALUATION = ("--eval-limit", "4", "--max-tokens", "8", "--engine", "hf")
SMALL_TRAINING = ("--size", "4,8", "--seed", "0", "--threads", "1")
OPTIONS = {
    "base_failures.sh": (),
    "size_curve.sh": SMALL_TRAINING,
    "epochs_by_size.sh": SMALL_TRAINING,
    "answer_only.sh": ("--size", "8", "--epochs", "1"),
    "full_data_cliff.sh": ("--size", "8", "--threads", "1"),
    "short_cap.sh": ("--size", "8", "--epochs", "1"),
}


def test_every_example_is_tried_here() -> None:
    assert {path.name for path in EXAMPLES.glob("*.sh")} == set(OPTIONS)


def test_every_example_has_its_outcome_on_record() -> None:
    recorded = {path.stem for path in (EXAMPLES / "outcomes").glob("*.txt")}
    assert recorded == {Path(name).stem for name in OPTIONS}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("sh") is None, reason="the examples are shell scripts")
@pytest.mark.parametrize("script", sorted(OPTIONS))
def test_example_runs_to_its_end(script: str, house: House, tmp_path: Path) -> None:
    environment = {"A5CTL_HOME": str(tmp_path), "A5CTL_MODEL": str(house.model)}
    told = tell(
        EXAMPLES / script,
        tmp_path,
        lambda command: in_process(command, environment),
        *SMALL_EVALUATION,
        *OPTIONS[script],
        environment=environment,
    )
    assert told.code == 0, told.text
    assert "accuracy" in told.text
