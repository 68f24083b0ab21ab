"""The change that docs/add-a-method.md shows can be made, in as many files as it says."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_TRY = """
from core.config.methods import GrpoSettings
from trainers.objectives import learning_signal
advantages, factors = learning_signal([1.0, 0.0, 0.0, 1.0], 4, GrpoSettings(loss="rloo"))
assert advantages == factors
wanted = [2 / 3, -2 / 3, -2 / 3, 2 / 3]
assert all(abs(a - b) < 1e-12 for a, b in zip(advantages, wanted, strict=True)), advantages
"""


@pytest.mark.slow
def test_the_change_makes_a_method(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "add-a-method.md").read_text(encoding="utf-8")
    (change,) = re.findall(r"```diff\n(.*?)```", text, re.DOTALL)
    assert len(re.findall(r"^\+\+\+ ", change, re.MULTILINE)) == 3
    for package in ("core", "trainers"):
        shutil.copytree(ROOT / package, tmp_path / package)
    apply = ["git", "apply", "--verbose", "-"]
    subprocess.run(apply, input=change, text=True, cwd=tmp_path, check=True)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-c", _TRY], cwd=tmp_path, env=environment, check=True)
