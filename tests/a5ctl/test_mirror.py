"""`--mirror`: a run is sent elsewhere as it works, and nothing that happens there disturbs it."""

import json
import math
import threading
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

from a5ctl.mirroring import MirrorPlan, plan_mirrors
from core.errors import UserError
from core.interchange.mirror_backends import MirrorName, check_mirror, mirror_maker
from core.interchange.mirror_feed import MirrorFeed
from core.interchange.tensorboard_log import read_tensorboard
from core.registry.journal import JOURNAL_NAME
from core.registry.recorder import Recorder
from core.registry.records import NewRun
from core.workspace import Workspace
from tests.a5ctl import handmade
from tests.a5ctl.conftest import House
from tests.a5ctl.handmade import evaluation, right, wrong


class Listener:
    """A mirror that remembers; it fails where it is told to."""

    def __init__(self, fails: str = "") -> None:
        self.heard: list[tuple[Any, ...]] = []
        self._fails = fails

    def _note(self, *what: Any) -> None:
        if what[0] == self._fails:
            raise ConnectionError("no route to host\nand more")
        self.heard.append(what)

    def begin(self, columns: dict[str, Any]) -> None:
        self._note("begin", columns["id"])

    def metrics(self, step: int, time: float, values: dict[str, float]) -> None:
        self._note("metrics", step, values)

    def event(self, step: int | None, time: float, text: str) -> None:
        self._note("event", step, text)

    def flush(self) -> None:
        """Nothing is held back."""

    def end(self, status: str) -> None:
        self._note("end", status)


def record(home: Path, feed_of: Any) -> tuple[Path, list[str]]:
    """A short run, read along by a feed while it is recorded."""
    home.mkdir(exist_ok=True)
    registry = handmade.open_home(home)
    new = NewRun("sft", {"kind": "sft", "train": {"lr": 0.1}}, "c", "m", "d", id="sft-aaaa")
    run = registry.create_run(new)
    folder = Workspace(home).run_folder(run.id)
    troubles: list[str] = []
    feed = feed_of(folder / JOURNAL_NAME, troubles.append)
    feed.start()
    with Recorder(registry, run.uuid, folder, interval=0.01) as recorder:
        for step, loss in ((1, 0.5), (2, math.nan)):
            recorder.metrics(step, {"train/loss": loss})
            recorder.flush()
        recorder.event("warning", "strange", "look here", step=2)
        recorder.evaluation(evaluation([right(10), wrong(11)], step=2))
    feed.stop(20)
    registry.close()
    return folder, troubles


def feed_to(mirror: Any) -> Any:
    def made(journal: Path, on_trouble: Any) -> MirrorFeed:
        return MirrorFeed("listener", lambda: mirror, journal, on_trouble, interval=0.01)

    return made


def test_a_mirror_hears_the_run_in_its_order(tmp_path: Path) -> None:
    listener = Listener()
    _, troubles = record(tmp_path, feed_to(listener))
    assert troubles == []
    assert listener.heard[0] == ("begin", "sft-aaaa")
    assert listener.heard[1] == ("metrics", 1, {"train/loss": 0.5})
    assert math.isnan(listener.heard[2][2]["train/loss"])
    assert listener.heard[3] == ("event", 2, "warning strange: look here")
    assert listener.heard[4][2]["evaluation/test/accuracy"] == 0.5
    assert listener.heard[-1] == ("end", "finished")


@pytest.mark.parametrize("fails", ["begin", "metrics", "end"])
def test_an_outage_is_told_once_and_disturbs_nothing(tmp_path: Path, fails: str) -> None:
    _, troubles = record(tmp_path, feed_to(Listener(fails)))
    (trouble,) = troubles
    assert "ConnectionError: no route to host" in trouble
    assert "\n" not in trouble
    registry = handmade.open_home(tmp_path)
    run = registry.find_run("sft-aaaa")
    assert run.status == "finished"
    assert len(registry.metrics(run.uuid)["train/loss"]) == 2
    registry.close()


def test_a_mirror_that_hangs_is_left_behind(tmp_path: Path) -> None:
    release = threading.Event()

    class Hanging(Listener):
        def begin(self, columns: dict[str, Any]) -> None:
            release.wait(60)

    heard: list[str] = []
    journal = tmp_path / JOURNAL_NAME
    journal.write_text('{"entry":"run","columns":{"id":"x"}}\n')
    feed = MirrorFeed("slow", Hanging, journal, heard.append, interval=0.01)
    feed.start()
    feed.stop(0.2)
    assert len(heard) == 1
    assert "had not sent everything" in heard[0]
    release.set()


def test_tensorboard_needs_no_package(tmp_path: Path) -> None:
    def made(journal: Path, on_trouble: Any) -> MirrorFeed:
        make = mirror_maker(MirrorName.TENSORBOARD, tmp_path / "mirrors")
        return MirrorFeed("tensorboard", make, journal, on_trouble, interval=0.01)

    _, troubles = record(tmp_path, made)
    assert troubles == []
    run = read_tensorboard(tmp_path / "mirrors" / "tensorboard" / "sft-aaaa")
    values = {name: v for e in run.curves.entries(None) for name, v in e.values.items()}
    assert values["evaluation/test/accuracy"] == 0.5
    assert "train/loss" in values
    assert run.settings["train"] == {"lr": 0.1}


@pytest.mark.slow
def test_wandb_itself_takes_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    from core.interchange.wandb_folder import read_wandb

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))

    def made(journal: Path, on_trouble: Any) -> MirrorFeed:
        make = mirror_maker(MirrorName.WANDB, tmp_path / "mirrors")
        return MirrorFeed("wandb", make, journal, on_trouble, interval=0.01)

    _, troubles = record(tmp_path, made)
    assert troubles == []
    (folder,) = (tmp_path / "mirrors" / "wandb").glob("offline-run-*")
    run = read_wandb(folder)
    points = [(e.step, e.values) for e in run.curves.entries(None)]
    assert points[0] == (1, {"train/loss": 0.5})
    assert [v["evaluation/test/accuracy"] for _, v in points if len(v) > 1] == [0.5]
    assert (run.name, run.status) == ("sft-aaaa", "finished")
    assert run.settings["a5ctl_run"] == "sft-aaaa"


@pytest.mark.slow
def test_mlflow_itself_takes_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    from core.interchange.mlflow_sqlite import read_mlflow

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def made(journal: Path, on_trouble: Any) -> MirrorFeed:
        make = mirror_maker(MirrorName.MLFLOW, tmp_path / "mirrors")
        feed = MirrorFeed("mlflow", make, journal, on_trouble, interval=0.01)
        stop = feed.stop
        feed.stop = lambda timeout: stop(300)  # type: ignore[method-assign]
        return feed

    _, troubles = record(tmp_path, made)
    assert troubles == []
    (run,) = read_mlflow(tmp_path / "mirrors" / "mlflow.db")
    assert (run.name, run.status, run.settings["train.lr"]) == ("sft-aaaa", "finished", 0.1)
    values = [e.values for e in run.curves.entries(None)]
    assert values[0] == {"train/loss": 0.5}
    assert math.isnan(next(v["train/loss"] for v in values[1:] if "train/loss" in v))


def test_a_missing_package_is_told_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import core.interchange.mirror_backends

    monkeypatch.setattr(core.interchange.mirror_backends, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install wandb"):
        check_mirror("wandb")
    assert check_mirror("tensorboard") is MirrorName.TENSORBOARD
    with pytest.raises(UserError, match="choose tensorboard, wandb, mlflow"):
        check_mirror("aim")


def test_a_folder_of_runs_is_not_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import core.interchange.mirror_backends as backends

    empty = ModuleSpec("wandb", None)
    monkeypatch.setattr(backends, "find_spec", lambda name: empty)
    with pytest.raises(UserError, match="pip install wandb"):
        check_mirror("wandb")


def test_a_plan_travels_as_text(tmp_path: Path) -> None:
    plan = plan_mirrors(["tensorboard", "tensorboard"], Workspace(tmp_path), None)
    assert plan == MirrorPlan(
        ("tensorboard",), str(tmp_path), f"sqlite:///{tmp_path / 'registry.db'}"
    )
    assert MirrorPlan.from_text(plan.to_text()) == plan
    assert plan_mirrors([], Workspace(tmp_path), None) is None


def test_the_command_refuses_before_a_run_exists(house: House) -> None:
    result = house.run("run", "sft", *house.small, "--mirror", "aim")
    assert result.exit_code == 2
    assert "choose tensorboard" in result.stderr
    assert json.loads(house.run("ls", "--json").stdout) == []


@pytest.mark.slow
def test_a_real_run_is_mirrored_and_an_outage_is_one_event(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    import core.interchange.mirror_backends as backends

    class Broken(Listener):
        def __init__(self, folder: Path) -> None:
            super().__init__("metrics")

    monkeypatch.setattr(backends, "MlflowMirror", Broken)
    monkeypatch.setattr(backends, "find_spec", lambda name: ModuleSpec(name, None, origin="x"))
    run = house.sft("--mirror", "tensorboard", "--mirror", "mlflow")
    shown = house.json("show", run)
    assert shown["status"] == "finished"
    assert [e["kind"] for e in shown["events"]].count("mirror_stopped") == 1
    log = read_tensorboard(house.home / "mirrors" / "tensorboard" / run)
    steps = [e.step for e in log.curves.entries(None) if "loss" in " ".join(e.values)]
    assert steps == [1, 2, 3, 4, 5, 6]
