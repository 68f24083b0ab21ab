"""Workspaces to look at."""

from pathlib import Path

import pytest

from core.registry.recorder import Recorder
from core.registry.records import NewRun, RunStatus
from core.workspace import Workspace
from tests.a5ctl import handmade
from tests.a5ctl.handmade import bad_separator, cut, right, unclosed, wrong

HOSTILE = (
    "[bold red]markup[/] \x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b2J \u202ereversed \r\x08 "
    "[@click=app.quit]x[/]"
)


def record_curve(home: Path, run_id: str, steps: int, **named: object) -> str:
    """A run with a falling loss and events, and no evaluation; returns its uuid."""
    registry = handmade.open_home(home)
    run = registry.create_run(
        NewRun(
            "sft", {"kind": "sft", "train": {"lr": 0.001}}, "c1", "builtin", "d", id=run_id, **named
        )
    )
    with Recorder(registry, run.uuid, Workspace(home).run_folder(run.id)) as recorder:
        for step in range(1, steps + 1):
            recorder.metrics(step, {"loss": 2.0 / step, "tokens_total": 100.0 * step})
        recorder.event("warning", "loss_spike", "the loss jumped", step=2, data={"z": 9})
        recorder.event("info", "preflight", "all is well", step=0)
    registry.close()
    return run.uuid


@pytest.fixture(scope="session")
def lived_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs that tests look at and do not change."""
    home = tmp_path_factory.mktemp("ui")
    base = [wrong(10), unclosed(11), cut(12), bad_separator(13), right(14), wrong(15)]
    better = [right(10), right(11), cut(12), right(13), wrong(14), wrong(15)]
    middle = [right(10), *base[1:]]
    handmade.record(
        home,
        "sft-128-base",
        [handmade.evaluation(base, step=0)],
        group="matrix",
        size=128,
        lr=1e-3,
        seed=0,
    )
    handmade.record(
        home,
        "sft-256-best",
        [handmade.evaluation(a, step=s) for s, a in ((0, base), (5, middle), (10, better))],
        group="matrix",
        size=256,
        lr=1e-4,
        seed=1,
    )
    handmade.record(home, "grpo-lost", [], kind="grpo", status=RunStatus.FAILED)
    record_curve(home, "sft-curve", 40, name="the curve", tags=("good",), note="look here")
    evil = [(f"{HOSTILE} </think> <answer> 10 </answer>", handmade.STOP), ("", handmade.EOS)]
    questions = {0: f"how {HOSTILE}", 1: "and then?"}
    handmade.record(
        home, "sft-evil", [handmade.evaluation(evil, questions=questions)], method=None, size=None
    )
    return home
