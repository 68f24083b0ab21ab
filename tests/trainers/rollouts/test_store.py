"""A stored batch comes back bit for bit, or not at all."""

import os
from pathlib import Path

import pytest
import torch

from core.data.problem import Problem
from core.rollouts import RolloutBatch
from tests.rollouts import batch, right, rollout
from trainers.rollouts import RolloutStore

TEXTS = [[right(42), right(7)], ["never closes <answer> 42", "\x1b[31m \ud800 é 𝄞 \u202e\x00"]]


@pytest.fixture
def store(tmp_path: Path) -> RolloutStore:
    return RolloutStore(tmp_path / "run" / "rollouts")


def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return {
        "log_probs": torch.randn(60, generator=generator),
        "double": torch.randn(3, 4, dtype=torch.float64, generator=generator).t(),
        "bf16": torch.randn(7, generator=generator).bfloat16(),
        "odd": torch.tensor([float("nan"), float("inf"), -0.0]),
        "none": torch.empty(0),
        "one": torch.tensor(3),
        "mask": torch.tensor([True, False]),
    }


def files(store: RolloutStore) -> list[Path]:
    return sorted(store._folder.iterdir())


def test_a_batch_comes_back_as_it_was(store: RolloutStore) -> None:
    saved, given = batch(TEXTS, number=3, first_step=13), tensors()
    store.save(saved, given)
    found = store.load(3, 13)
    assert found is not None
    assert found[0] == saved
    assert found[0].rollouts[3].response.text == TEXTS[1][1]
    assert found[1].keys() == given.keys()
    for name, tensor in given.items():
        loaded = found[1][name]
        assert (loaded.dtype, loaded.shape) == (tensor.dtype, tensor.shape)
        assert (
            loaded.contiguous()
            .flatten()
            .view(torch.uint8)
            .equal(tensor.contiguous().flatten().view(torch.uint8))
        ), name


def test_an_empty_response_comes_back(store: RolloutStore) -> None:
    empty = rollout("", Problem("q", "Question?", "4"), tokens=0)
    saved = RolloutBatch(0, 1, (Problem("q", "Question?", "4"),), 1, (empty,))
    store.save(saved, {})
    assert store.load(0, 1) == (saved, {})


def test_only_the_batch_that_is_asked_for_is_loaded(store: RolloutStore) -> None:
    store.save(batch(TEXTS, number=3, first_step=13), {})
    assert store.load(3, 12) is None
    assert store.load(2, 13) is None
    (path,) = files(store)
    path.rename(path.with_name("batch-000004-step-000013.rollouts"))
    assert store.load(4, 13) is None, "the content says which batch it is"


def test_a_later_save_takes_the_place_of_an_earlier_one(store: RolloutStore) -> None:
    store.save(batch(TEXTS), {"x": torch.zeros(1)})
    store.save(batch(TEXTS[:1]), {"x": torch.ones(1)})
    found = store.load(0, 1)
    assert found is not None
    assert (len(found[0].rollouts), float(found[1]["x"])) == (2, 1.0)
    assert len(files(store)) == 1


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.9999])
def test_a_file_that_was_cut_is_not_trusted(store: RolloutStore, share: float) -> None:
    store.save(batch(TEXTS), tensors())
    (path,) = files(store)
    os.truncate(path, int(path.stat().st_size * share))
    assert store.load(0, 1) is None


def test_no_flipped_bit_goes_unnoticed(store: RolloutStore) -> None:
    store.save(batch(TEXTS), tensors())
    (path,) = files(store)
    whole = path.read_bytes()
    for place in range(0, len(whole), 997):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert store.load(0, 1) is None
    path.write_bytes(whole)
    assert store.load(0, 1) is not None


def test_a_save_that_fails_leaves_the_older_batch_alone(
    store: RolloutStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.save(batch(TEXTS), {"x": torch.zeros(1)})

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"could not be written: .*No space"):
        store.save(batch(TEXTS[:1]), {})
    found = store.load(0, 1)
    assert found is not None
    assert len(found[0].rollouts) == 4
    assert len(files(store)) == 1


def test_going_back_forgets_what_another_course_will_sample_anew(store: RolloutStore) -> None:
    for number, first_step in enumerate((1, 5, 9, 13)):
        store.save(batch(TEXTS, number=number, first_step=first_step), {})
    store.forget_after(8)
    assert store.load(2, 9) is not None, "sampled with 8 updates behind the policy"
    assert store.load(3, 13) is None
    store.forget_after(6)
    assert store.load(1, 5) is not None, "update 7 goes on with it"
    assert store.load(2, 9) is None


@pytest.mark.parametrize(
    ("before_step", "kept"), [(1, (1, 5, 9)), (5, (5, 9)), (7, (5, 9)), (9, (9,)), (40, (9,))]
)
def test_pruning_keeps_the_batch_whose_updates_are_not_over(
    store: RolloutStore, before_step: int, kept: tuple[int, ...]
) -> None:
    for number, first_step in enumerate((1, 5, 9)):
        store.save(batch(TEXTS, number=number, first_step=first_step), {})
    (store._folder / "batch-000007-step-000040.partial").write_bytes(b"torn")
    store.prune(before_step)
    found = [first for number, first in enumerate((1, 5, 9)) if store.load(number, first)]
    assert tuple(found) == kept
    assert len(files(store)) == len(kept)


def test_nothing_stays_of_a_run_that_is_over_but_what_others_wrote(store: RolloutStore) -> None:
    for number, first_step in enumerate((1, 5)):
        store.save(batch(TEXTS, number=number, first_step=first_step), {})
    (store._folder / "batch-000007-step-000040.partial").write_bytes(b"torn")
    (store._folder / "round-0001-kept.jsonl").write_text("{}")
    store.clear()
    assert [path.name for path in store._folder.iterdir()] == ["round-0001-kept.jsonl"]


def test_an_empty_store_has_nothing_to_give_or_to_forget(store: RolloutStore) -> None:
    assert store.load(0, 1) is None
    store.forget_after(0)
    store.prune(5)
    store.clear()
