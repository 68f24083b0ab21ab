"""A registry in a temporary workspace, and small evaluation results to record."""

from pathlib import Path

import pytest

from core.data.problem import Problem
from core.engines.base import FinishReason, Sampling
from core.evaluation import EvaluationResult, GradedResponse, summarize
from core.protocol import EvaluationProtocol, GenerationProtocol, GradingProtocol
from core.registry.store import NewRun, Registry, open_registry
from core.responses.grade import GraderName, GradingItem, grade_responses
from core.workspace import Workspace, open_workspace


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.delenv("A5CTL_HOME", raising=False)
    monkeypatch.delenv("A5CTL_REGISTRY", raising=False)
    return open_workspace(tmp_path / "house")


@pytest.fixture
def registry(workspace: Workspace) -> Registry:
    return open_registry(workspace.registry_url())


@pytest.fixture
def run(registry: Registry) -> str:
    """Identity of a run of which nothing is recorded yet."""
    return registry.create_run(new_run(id="sft-256-test")).uuid


@pytest.fixture
def folder(workspace: Workspace) -> Path:
    """Its folder."""
    return workspace.run_folder("sft-256-test")


def go_back(registry: Registry, revision: str) -> None:
    """Undo newer migrations, and close the registry: the next one to open it is an upgrade."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "core.registry:migrations")
    config.set_main_option("path_separator", "os")
    with registry.database.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)
    registry.close()


def new_run(**changes: object) -> NewRun:
    """A plausible run."""
    values: dict[str, object] = {
        "kind": "sft",
        "config": {"kind": "sft", "train": {"lr": 1e-3}},
        "config_hash": "0123456789abcdef",
        "model": "builtin",
        "data": "builtin",
        "size": 256,
        "seed": 0,
        "provenance": {"git": {"commit": "c0ffee"}},
    }
    return NewRun(**{**values, **changes})  # type: ignore[arg-type]


def evaluation_result(
    texts: list[str], *, step: int = 0, truths: list[str] | None = None, data_hash: str = "data"
) -> EvaluationResult:
    """An evaluation whose responses are `texts`, each to a problem of its own."""
    answers = truths or ["42"] * len(texts)
    problems = tuple(Problem(f"p-{i}", f"Question {i}?", t) for i, t in enumerate(answers))
    rows = tuple(_graded(p, text) for p, text in zip(problems, texts, strict=True))
    generation = GenerationProtocol(
        "think_answer", "{question}", "toy", "test", data_hash, Sampling(), "hf", "5.0", "float32"
    )
    protocol = EvaluationProtocol(generation, GradingProtocol("r1_zero", 1))
    summary = summarize(rows, GraderName.R1_ZERO)
    return EvaluationResult(protocol, step, "test", problems, rows, summary, 2.0, 10 * len(texts))


def answer(value: object) -> str:
    """A well-formatted response."""
    return f" so it is {value} </think> <answer> {value} </answer>"


def _graded(problem: Problem, text: str) -> GradedResponse:
    found = grade_responses([GradingItem(text, problem.truth, FinishReason.STOP_STRING)])[0]
    return GradedResponse(
        problem_id=problem.id,
        sample=0,
        text=text,
        token_ids=tuple(range(7)),
        finish=FinishReason.STOP_STRING,
        think_tokens=4,
        answer_position=5,
        closed=found.closed,
        unparseable=found.unparseable,
        flags=found.flags,
        verdicts=found.verdicts,
        failures=found.failures,
    )
