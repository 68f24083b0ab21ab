"""The registry as data frames: whose they are, what is in them, and what is missing where."""

import math
from pathlib import Path
from typing import Any

import pytest

from core.errors import UserError
from core.registry import open_registry
from core.registry.recorder import Recorder
from core.registry.store import Registry
from core.workspace import Workspace
from tests.core.registry.conftest import answer, evaluation_result, new_run


@pytest.fixture
def run(registry: Registry, workspace: Workspace) -> str:
    """A run of 1,000 steps, of which the last 500 were done again after a rollback."""
    made = registry.create_run(new_run(id="sft-a", tags=("good",)))
    with Recorder(registry, made.uuid, workspace.run_folder(made.id)) as recorder:
        for step in range(1, 1001):
            recorder.metrics(step, {"loss": -1.0 if step > 500 else float(step)})
        recorder.begin_segment(500)
        for step in range(501, 1001):
            recorder.metrics(step, {"loss": math.nan if step == 1000 else float(step)})
        recorder.evaluation(evaluation_result([answer(42), answer(1)], step=1000))
    return made.id


def frames(workspace: Workspace, library: str = "pandas") -> Any:
    pytest.importorskip(library)
    return open_registry(workspace.root, library=library)


@pytest.mark.slow
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_runs_have_the_columns_asked_for(workspace: Workspace, run: str, library: str) -> None:
    registry = frames(workspace, library)
    found = registry.runs(where="tags has good", columns="id,train.lr,metric.loss,accuracy,created")
    assert type(found).__module__.startswith(library)
    assert list(found.columns) == ["id", "train.lr", "metric.loss", "accuracy", "created"]
    assert list(found["id"]) == [run]
    assert list(found["accuracy"]) == [0.5]
    (loss,) = found["metric.loss"]
    assert math.isnan(loss)
    assert len(registry.runs(where="tags has bad")) == 0
    assert "tags" in list(registry.runs().columns)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_curve_has_no_more_points_than_wanted(
    workspace: Workspace, run: str, library: str
) -> None:
    curve = frames(workspace, library).curves(run, points=100)
    assert len(curve) == 100
    assert sum(curve["count"]) == 1000
    assert sum(curve["nonfinite"]) == 1
    # what the rollback took back is nowhere in it
    assert min(curve["lowest"]) == 1.0
    assert list(curve["step"])[-1] == 1000
    first = [next(iter(curve[name])) for name in ("step", "value", "lowest", "highest", "count")]
    assert first == [10, 5.5, 1.0, 10.0, 10]


def test_a_short_curve_is_exact(workspace: Workspace, run: str) -> None:
    curve = frames(workspace).curves([run, run], ["loss", "unknown"], points=5000)
    assert list(curve["step"]) == list(range(1, 1001))
    assert list(curve["value"])[:999] == [float(step) for step in range(1, 1000)]


def test_evaluations_and_responses(workspace: Workspace, run: str) -> None:
    registry = frames(workspace)
    evaluations = registry.evaluations([run])
    assert evaluations[["run", "step", "n", "accuracy"]].values.tolist() == [[run, 1000, 2, 0.5]]
    assert evaluations["accuracy_lenient"].tolist() == [0.5]
    responses = registry.responses(run)
    assert responses["response"].tolist() == [answer(42), answer(1)]
    assert responses["strict_right"].tolist() == [True, False]
    with pytest.raises(UserError, match="no evaluation of step 3; it has 1000"):
        registry.responses(run, step=3)


def test_what_is_missing_is_named(workspace: Workspace, run: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="choose pandas or polars"):
        open_registry(workspace.root, library="arrow")
    with pytest.raises(UserError, match="there is no registry"):
        open_registry(tmp_path)
    with pytest.raises(UserError, match="there is no run 'sft-b'"):
        frames(workspace).curves("sft-b")
    with pytest.raises(UserError, match="did you mean"):
        frames(workspace).runs(where="sise > 3")


def test_a_package_that_is_not_installed_is_named(
    workspace: Workspace, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match=r"pip install pandas, or .* library=\"polars\""):
        open_registry(workspace.root)
