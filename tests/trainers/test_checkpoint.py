"""Checkpoints: whole or absent, damage is found, and training goes on bit by bit the same."""

import errno
import hashlib
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.config.schema import Supervise, TrainSettings
from core.errors import UserError
from tests.trainers.test_sft import encoded, method
from trainers import checkpoint_manifest
from trainers.checkpoint import (
    TrainerState,
    checkpoint_step,
    checkpoints,
    damage,
    find_checkpoint,
    newest_whole,
    prune,
    restore,
    save_checkpoint,
    size_and_hash,
)
from trainers.checkpoint_manifest import MANIFEST, OPTIMIZER
from trainers.optimization import LearningRate
from trainers.policy import Policy, load_policy
from trainers.sft import SFT

SETTINGS = TrainSettings(lr=1e-2, steps=8, batch_size=2)


def trained(policy: Policy, steps: int) -> SFT:
    sft = method(policy, encoded(policy, Supervise.RESPONSE), SETTINGS, 200)
    sft.learning_rate = LearningRate(1e-2, SETTINGS.schedule, 0.05, 0.1, 8)
    for step in range(1, steps + 1):
        sft.update(step)
    return sft


def test_training_continues_bit_by_bit(policy: Policy, tmp_path: Path) -> None:
    sft = trained(policy, 4)
    random.seed(5)
    path = save_checkpoint(tmp_path, sft.policy, sft.optimizer, TrainerState(4, 400, 1.5))
    expected = [sft.update(step)["loss"] for step in range(5, 9)], random.random(), torch.rand(1)
    reloaded = load_policy(path, device="cpu", precision="float32")
    again = trained(reloaded, 0)
    state = restore(path, again.optimizer, reloaded.device)
    assert state == TrainerState(4, 400, 1.5)
    assert [again.update(step)["loss"] for step in range(5, 9)] == expected[0]
    assert random.random() == expected[1]
    assert torch.equal(torch.rand(1), expected[2])
    for a, b in zip(sft.policy.model.parameters(), reloaded.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_only_weights_lie_beside_the_config(policy: Policy, tmp_path: Path) -> None:
    sft = trained(policy, 1)
    path = save_checkpoint(tmp_path, sft.policy, sft.optimizer, TrainerState(1))
    assert [file.name for file in path.glob("*.safetensors")] == ["model.safetensors"]


def test_damage_is_found_and_skipped(policy: Policy, tmp_path: Path) -> None:
    sft = trained(policy, 1)
    older = save_checkpoint(tmp_path, sft.policy, sft.optimizer, TrainerState(1))
    newer = save_checkpoint(tmp_path, sft.policy, sft.optimizer, TrainerState(2))
    assert newest_whole(tmp_path) == (newer, {})
    weights = newer / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    assert "model.safetensors has changed" in (damage(newer) or "")
    found, skipped = newest_whole(tmp_path)
    assert found == older
    assert list(skipped) == [newer]
    with pytest.raises(UserError, match="checkpoint 2 of run r is damaged"):
        find_checkpoint(tmp_path, 2, "r")
    (older / "config.json").unlink()
    assert newest_whole(tmp_path)[0] is None


def test_a_full_disk_leaves_nothing_half_written(
    policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sft = trained(policy, 1)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("trainers.durable._write", full)
    with pytest.raises(OSError, match=r"could not be written: .*No space left"):
        save_checkpoint(tmp_path, sft.policy, sft.optimizer, TrainerState(1))
    assert list(tmp_path.iterdir()) == []


def test_unknown_steps_name_the_ones_there_are(policy: Policy, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run r has no checkpoint"):
        find_checkpoint(tmp_path, None, "r")
    sft = trained(policy, 1)
    save_checkpoint(tmp_path, sft.policy, sft.optimizer, TrainerState(12))
    with pytest.raises(UserError, match="no checkpoint of step 7; it has 12"):
        find_checkpoint(tmp_path, 7, "r")


def test_pruning_keeps_the_newest(tmp_path: Path) -> None:
    for step in (8, 24, 120):
        (tmp_path / f"step-{step:06d}").mkdir()
    assert [checkpoint_step(path) for path in prune(tmp_path, 2)] == [8]
    assert [checkpoint_step(path) for path in checkpoints(tmp_path)] == [24, 120]


def test_pruning_spares_protected_steps(tmp_path: Path) -> None:
    for step in (8, 16, 24, 120):
        (tmp_path / f"step-{step:06d}").mkdir()
    assert [checkpoint_step(path) for path in prune(tmp_path, 1, protected={8, 120})] == [16, 24]
    assert prune(tmp_path, 1, protected={8}) == []


@pytest.fixture(scope="module")
def saved(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with whole checkpoints of steps 1 and 2, to be copied."""
    sft = trained(load_policy(small_model, device="cpu", precision="float32"), 1)
    folder = tmp_path_factory.mktemp("saved")
    for step in (1, 2):
        save_checkpoint(folder, sft.policy, sft.optimizer, TrainerState(step, 10 * step, 0.5))
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return shutil.copytree(saved, tmp_path / "checkpoints")


FILES = [
    *("config.json", "generation_config.json", "model.safetensors", "tokenizer.json"),
    *("tokenizer_config.json", MANIFEST, OPTIMIZER, "trainer/rng.safetensors"),
]


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0b100
    file.write_bytes(content)


ACCIDENTS: dict[str, Callable[[Path], object]] = {
    "a flipped bit": flip,
    "cut short": lambda file: file.write_bytes(file.read_bytes()[:-1]),
    "longer": lambda file: file.write_bytes(file.read_bytes() + b" "),
    "empty": lambda file: file.write_bytes(b""),
    "missing": lambda file: file.unlink(),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
}


def test_the_list_of_files_is_complete(saved: Path) -> None:
    newest = checkpoints(saved)[-1]
    found = (file for file in newest.rglob("*") if file.is_file())
    assert sorted(file.relative_to(newest).as_posix() for file in found) == sorted(FILES)


@pytest.mark.parametrize("name", FILES)
def test_any_accident_to_any_file_is_found_and_skipped(folder: Path, name: str) -> None:
    older, newer = checkpoints(folder)
    for accident, happens in ACCIDENTS.items():
        if (accident, name) == ("longer", MANIFEST):
            continue  # a space behind JSON means nothing
        kept = shutil.copytree(newer, folder.parent / "kept")
        happens(newer / name)
        found, skipped = newest_whole(folder)
        assert found == older, accident
        assert name in skipped[newer], accident
        shutil.rmtree(newer)
        kept.rename(newer)
    assert newest_whole(folder) == (newer, {})


def rewrite(checkpoint: Path, change: Callable[[dict], object], seal: bool = True) -> None:
    """Change a manifest as somebody would who knows how it is sealed."""
    content = json.loads((checkpoint / MANIFEST).read_text())
    del content["checksum"]
    change(content)
    if seal:
        content["checksum"] = checkpoint_manifest._seal(content)
    (checkpoint / MANIFEST).write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m["files"].update({"../step-000001/config.json": "0"}), "outside"),
        (lambda m: m["files"].update({"/etc/hostname": "0"}), "outside"),
        (lambda m: m["files"].update({"C:\\x": "0"}), "outside"),
        (lambda m: m["files"].update({"trainer\\..\\..\\x": "0"}), "outside"),
        (lambda m: m["files"].pop("model.safetensors"), "does not list model.safetensors"),
        (lambda m: m.update(files=[]), "no list of files"),
        (lambda m: m["files"].update({"config.json": 7}), "no list of files"),
        (lambda m: m.update(state={"step": True}), "no step"),
        (lambda m: m.update(state=None), "no step"),
        (lambda m: m["state"].update(step=1), "it holds step 1"),
        (lambda m: m["state"].update(stepp=2), "counters"),
        (lambda m: m.update(more=1), "not a manifest"),
        (lambda m: m.pop("state"), "not a manifest"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(
    folder: Path, change: Callable[[dict], object], said: str
) -> None:
    newer = checkpoints(folder)[-1]
    rewrite(newer, change)
    assert said in (damage(newer) or "")
    assert newest_whole(folder)[0] == checkpoints(folder)[0]


@pytest.mark.parametrize("text", ["", "null", "[]", "{", "[" * 100_000, "\udcff\0"])
def test_a_manifest_that_is_no_json_object_is_refused(folder: Path, text: str) -> None:
    newer = checkpoints(folder)[-1]
    (newer / MANIFEST).write_bytes(text.encode(errors="surrogateescape"))
    assert "manifest" in (damage(newer) or "")


def test_changed_counters_are_found(folder: Path) -> None:
    newer = checkpoints(folder)[-1]
    manifest = newer / MANIFEST
    manifest.write_text(manifest.read_text().replace('"tokens": 20', '"tokens": 21'))
    assert damage(newer) == f"{MANIFEST} has changed since it was written"


def test_a_file_that_is_a_link_out_of_the_checkpoint_is_refused(folder: Path) -> None:
    older, newer = checkpoints(folder)
    (newer / "config.json").unlink()
    (newer / "config.json").symlink_to(older / "config.json")
    assert "link that leads outside" in (damage(newer) or "")


def test_a_checkpoint_moved_away_and_linked_is_read_and_its_link_is_pruned(folder: Path) -> None:
    older, newer = checkpoints(folder)
    moved = older.rename(folder.parent / "moved")
    older.symlink_to(moved)
    assert damage(older) is None
    assert prune(folder, 1) == [older]
    assert checkpoints(folder) == [newer]
    assert (moved / "model.safetensors").is_file()


def test_two_folders_of_one_step_count_once_and_the_whole_one_is_found(folder: Path) -> None:
    newer = checkpoints(folder)[-1]
    twin = shutil.copytree(newer, folder / "step-2")
    flip(newer / "model.safetensors")
    assert newest_whole(folder)[0] == twin
    assert find_checkpoint(folder, 2, "r") == twin
    assert prune(folder, 2) == []
    assert len(prune(folder, 1)) == 1
    assert checkpoints(folder) == [newer, twin]


@pytest.mark.parametrize("name", ["step-", "step-x", "step-²", "step-1.5", "step--1", "best"])
def test_other_folders_are_no_checkpoints_and_stay(folder: Path, name: str) -> None:
    (folder / name).mkdir()
    assert len(checkpoints(folder)) == 2
    prune(folder, 1)
    assert (folder / name).is_dir()


def test_the_next_save_cleans_up_after_killed_ones(policy: Policy, folder: Path) -> None:
    (folder / ".partial-000009" / "trainer").mkdir(parents=True)
    (folder / ".partial-old-step-000001").mkdir()
    (folder / ".partial-link").symlink_to(folder / "step-000001")
    sft = trained(policy, 1)
    save_checkpoint(folder, sft.policy, sft.optimizer, TrainerState(3))
    assert sorted(p.name for p in folder.iterdir()) == [f"step-00000{n}" for n in (1, 2, 3)]


def test_a_step_saved_again_replaces_what_was_there(policy: Policy, folder: Path) -> None:
    older, newer = checkpoints(folder)
    flip(newer / "model.safetensors")
    sft = trained(policy, 2)
    assert save_checkpoint(folder, sft.policy, sft.optimizer, TrainerState(2)) == newer
    assert newest_whole(folder) == (newer, {})
    assert sorted(folder.iterdir()) == [older, newer]


def test_the_hash_of_a_checkpoint_moves_with_any_of_its_files(folder: Path) -> None:
    older, newer = checkpoints(folder)
    size, before = size_and_hash(newer)
    assert size == sum((newer / name).stat().st_size for name in FILES)
    assert before != size_and_hash(older)[1]
    rewrite(newer, lambda m: m["files"].update({"config.json": "blake3:0"}))
    assert size_and_hash(newer)[1] != before


def test_each_file_is_hashed_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    checksum_of = checkpoint_manifest.checksum_of

    def counted(path: Path) -> str:
        hashed.append(path.name)
        return checksum_of(path)

    monkeypatch.setattr(checkpoint_manifest, "checksum_of", counted)
    path, _ = newest_whole(folder)
    again = trained(load_policy(path, device="cpu", precision="float32"), 0)
    restore(path, again.optimizer, again.policy.device)
    assert sorted(hashed) == sorted(Path(name).name for name in FILES if name != MANIFEST)


def test_tokenizer_and_config_are_serialised_once(
    policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sft = trained(policy, 1)
    first = save_checkpoint(tmp_path, sft.policy, sft.optimizer, TrainerState(1))
    monkeypatch.setattr(type(policy.tokenizer), "save_pretrained", None)
    second = save_checkpoint(tmp_path, sft.policy, sft.optimizer, TrainerState(2))
    assert (first / "tokenizer.json").read_bytes() == (second / "tokenizer.json").read_bytes()


def as_written_before(checkpoint: Path, sft: SFT) -> None:
    """Turn a checkpoint into the form of the first version."""
    indexed = {
        f"{index}.{name}": value
        for index, state in sft.optimizer.adamw.state_dict()["state"].items()
        for name, value in state.items()
    }
    save_file(indexed, checkpoint / OPTIMIZER)
    manifest = json.loads((checkpoint / MANIFEST).read_text())
    files = {
        name: hashlib.sha256((checkpoint / name).read_bytes()).hexdigest()
        for name in FILES
        if name != MANIFEST
    }
    (checkpoint / MANIFEST).write_text(json.dumps({"state": manifest["state"], "files": files}))


def test_checkpoints_of_the_first_version_are_verified_and_continued(
    policy: Policy, tmp_path: Path
) -> None:
    sft = trained(policy, 4)
    path = save_checkpoint(tmp_path, sft.policy, sft.optimizer, TrainerState(4, 400, 1.5))
    as_written_before(path, sft)
    assert damage(path) is None
    expected = [sft.update(step)["loss"] for step in range(5, 8)]
    again = trained(load_policy(path, device="cpu", precision="float32"), 0)
    assert restore(path, again.optimizer, again.policy.device) == TrainerState(4, 400, 1.5)
    assert [again.update(step)["loss"] for step in range(5, 8)] == expected
    flip(path / OPTIMIZER)
    assert damage(path) == f"{OPTIMIZER} has changed since it was written"


def test_optimizer_state_is_found_by_name_however_parameters_are_grouped(
    policy: Policy, tmp_path: Path
) -> None:
    sft = trained(policy, 3)
    path = save_checkpoint(tmp_path, sft.policy, sft.optimizer, TrainerState(3))
    expected = sft.update(4)["loss"], sft.update(5)["loss"]
    reloaded = load_policy(path, device="cpu", precision="float32")
    again = trained(reloaded, 0)
    again.optimizer.adamw.param_groups.reverse()
    restore(path, again.optimizer, reloaded.device)
    assert (again.update(4)["loss"], again.update(5)["loss"]) == expected


def test_optimizer_state_of_another_model_is_refused(policy: Policy, tmp_path: Path) -> None:
    sft = trained(policy, 1)
    path = save_checkpoint(tmp_path, sft.policy, sft.optimizer, TrainerState(1))
    moments = load_file(path / OPTIMIZER)
    key = next(key for key, value in moments.items() if value.ndim == 2)
    with pytest.raises(UserError, match=f"{key} of shape .* fits no parameter"):
        sft.optimizer.restore({**moments, key: moments[key][:-1]})
    with pytest.raises(UserError, match=r"elsewhere\.exp_avg of"):
        sft.optimizer.restore({"elsewhere.exp_avg": moments[key]})
