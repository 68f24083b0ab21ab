"""What is freed is what nobody needs; the rest stays, and a check does not miss what went."""

import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from core.registry.check import check_registry
from core.registry.collect import collect
from core.registry.garbage import GarbageKind, Waste, find_garbage
from core.registry.rebuild import rebuild
from core.registry.recorder import Recorder
from core.registry.store import Registry, RunRecord, open_registry
from core.workspace import Workspace
from tests.core.registry.conftest import new_run
from tests.core.registry.lived_in import RUN, checkpoint, killed_run, proven_dead


@pytest.fixture
def house(one_run: Path, workspace: Workspace) -> Registry:
    shutil.copytree(one_run, workspace.root, dirs_exist_ok=True)
    return open_registry(workspace.registry_url())


def found(registry: Registry, workspace: Workspace) -> Waste:
    return find_garbage(registry.database, _path(registry), workspace)


def names(waste: Waste) -> list[str]:
    return [item.path.name for item in waste.files]


def child(registry: Registry, parent: RunRecord, model: Mapping[str, object]) -> None:
    config = {"kind": "sft", "model": dict(model)}
    registry.create_run(new_run(config=config, parent_uuid=parent.uuid))


def test_the_last_and_the_best_checkpoint_stay(house: Registry, workspace: Workspace) -> None:
    waste = found(house, workspace)
    assert names(waste) == ["step-000008"], "4 is the best, 12 the last"
    assert (waste.files[0].kind, waste.files[0].bytes) == (GarbageKind.CHECKPOINT, 1005)
    assert waste.bytes == 1005


def test_what_another_run_began_with_stays(house: Registry, workspace: Workspace) -> None:
    parent = house.find_run(RUN)
    child(house, parent, {"run": RUN, "run_step": 8})
    assert names(found(house, workspace)) == []


@pytest.mark.parametrize(
    "model",
    [{"run": RUN}, {}, {"source": f"/elsewhere/runs/{RUN}/checkpoints/step-000008"}],
    ids=["no step", "only a parent", "a path"],
)
def test_where_it_cannot_be_told_everything_stays(
    house: Registry, workspace: Workspace, model: Mapping[str, object]
) -> None:
    child(house, house.find_run(RUN), model)
    assert names(found(house, workspace)) == []


def test_only_finished_runs_lose_checkpoints_and_rollouts(
    house: Registry, workspace: Workspace
) -> None:
    rollouts = workspace.run_folder(RUN) / "rollouts"
    rollouts.mkdir()
    (rollouts / "batch-0-step-1.rollouts").write_bytes(bytes(10))
    assert names(found(house, workspace)) == ["step-000008", "batch-0-step-1.rollouts"]
    house.set_status(house.find_run(RUN).uuid, "interrupted")
    assert names(found(house, workspace)) == [], "a resume goes on with them"


def test_the_record_of_what_was_learned_from_stays(house: Registry, workspace: Workspace) -> None:
    rollouts = workspace.run_folder(RUN) / "rollouts"
    rollouts.mkdir()
    (rollouts / "batch-0-step-1.rollouts").write_bytes(bytes(10))
    (rollouts / "round-0001-kept.jsonl").write_text("{}\n")
    collect(house, _path(house), workspace, found(house, workspace))
    assert [path.name for path in rollouts.iterdir()] == ["round-0001-kept.jsonl"]


def test_what_a_kill_left_is_found_once_the_run_is_known_to_be_dead(
    house: Registry, workspace: Workspace
) -> None:
    run = killed_run(house, workspace, "sft-256-dddd")
    folder = workspace.run_folder(run.id)
    checkpoint(folder, 4).rename(folder / "checkpoints" / ".partial-000004")
    (folder / ".config.toml.partial").write_text("x")
    waste = found(house, workspace)
    assert (names(waste), waste.alive) == (["step-000008"], 1)
    proven_dead(house, run)
    waste = found(house, workspace)
    left = [".config.toml.partial", ".partial-000004", ".reserve"]
    assert names(waste) == [*left, "step-000008"]
    assert waste.alive == 0


def test_what_goes_is_noted_where_a_check_and_a_repair_find_it(
    house: Registry, workspace: Workspace
) -> None:
    folder = workspace.run_folder(RUN)
    (folder / "pairs.jsonl").unlink()
    waste = found(house, workspace)
    assert [item.kind for item in waste.files] == [GarbageKind.CHECKPOINT, GarbageKind.GONE]
    gone = collect(house, _path(house), workspace, waste)
    assert gone.files == waste.files
    assert not (folder / "checkpoints" / "step-000008").exists()
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == [
        "step-000004",
        "step-000012",
    ]
    removed = [e for e in house.events(house.find_run(RUN).uuid) if e.kind == "artifact_removed"]
    assert [e.data["path"] for e in removed] == ["checkpoints/step-000008", "pairs.jsonl"]
    assert found(house, workspace).empty
    assert check_registry(house.database, _path(house), workspace).findings == ()
    assert rebuild(house.database, _path(house), workspace, force=False).replaced
    assert check_registry(house.database, _path(house), workspace).findings == ()


def test_a_run_that_is_recorded_again_by_now_is_not_touched(
    house: Registry, workspace: Workspace
) -> None:
    waste = found(house, workspace)
    run = house.find_run(RUN)
    with Recorder(house, run.uuid, workspace.run_folder(RUN)):
        assert collect(house, _path(house), workspace, waste).files == ()
        assert found(house, workspace).alive == 1
    house.set_status(run.uuid, "interrupted")
    assert collect(house, _path(house), workspace, waste).files == ()
    assert (workspace.run_folder(RUN) / "checkpoints" / "step-000008").is_dir()


def test_links_are_not_followed(house: Registry, workspace: Workspace, tmp_path: Path) -> None:
    outside = checkpoint(tmp_path, 2)
    (workspace.run_folder(RUN) / "checkpoints" / "step-000002").symlink_to(outside)
    (workspace.run_folder(RUN) / ".link.partial").symlink_to(outside)
    waste = found(house, workspace)
    assert names(waste) == [".link.partial", "step-000008"]
    collect(house, _path(house), workspace, waste)
    assert (outside / "model.safetensors").is_file()


def test_rows_that_belong_to_nothing_go(house: Registry, workspace: Workspace) -> None:
    house.close()
    with closing(sqlite3.connect(_path(house), isolation_level=None)) as connection:
        connection.execute("DELETE FROM evaluation")
    waste = found(house, workspace)
    assert waste.rows.keys() == {"answer", "protocol"}, "and what goes with them"
    done = collect(house, _path(house), workspace, Waste((), waste.rows))
    assert done.rows.keys() == {"answer", "problem", "protocol"}
    assert found(house, workspace).rows == {}
    assert check_registry(house.database, _path(house), workspace).findings == ()
    assert house.metrics(house.find_run(RUN).uuid).keys() == {"loss", "odd", "big"}


def _path(registry: Registry) -> Path:
    path = registry.database.path
    assert path is not None
    return path
