"""The page of the precisions shows the figures that are stored, and every precision there is."""

import json
from pathlib import Path

from benchmarks.precision_loss import RESULT, table
from trainers.precision import PRECISIONS

PAGE = (Path(__file__).parents[2] / "docs" / "precision.md").read_text(encoding="utf-8")


def test_the_table_of_losses_is_that_of_the_stored_figures() -> None:
    stored = json.loads(RESULT.read_text(encoding="utf-8"))
    assert table(stored["runs"]) in PAGE
    for share in stored["accumulated"].values():
        assert f"{share:.2%}" in PAGE


def test_bytes_per_parameter_are_those_of_the_table() -> None:
    for name, precision in PRECISIONS.items():
        (line,) = (line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |"))
        cells = [cell.strip() for cell in line.split("|")]
        formats = [precision.compute, precision.weights, precision.gradients, precision.moments]
        assert cells[2:6] == [str(kind).removeprefix("torch.") for kind in formats]
        assert f"{precision.state_bytes}" in cells[6]
