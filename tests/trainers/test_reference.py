"""The reference's log-probabilities: computed once, the same numbers ever after."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from trainers.pair_batches import PairExample
from trainers.reference import reference_key, stored_reference
from trainers.tokenization import Example

FIGURES = torch.tensor([[-1.5, -2.25], [-3.1, -torch.pi]], dtype=torch.float64)


class Computing:
    """Counts how often the figures are computed."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Tensor:
        self.calls += 1
        return FIGURES.clone()


def test_what_is_stored_is_read_back_bit_by_bit(tmp_path: Path) -> None:
    path, compute = tmp_path / "reference.safetensors", Computing()
    first = stored_reference(path, "key", compute)
    again = stored_reference(path, "key", compute)
    assert torch.equal(first, again)
    assert again.dtype is torch.float64
    assert compute.calls == 1
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_figures_of_something_else_count_for_nothing(tmp_path: Path) -> None:
    path, compute = tmp_path / "reference.safetensors", Computing()
    stored_reference(path, "one", compute)
    stored_reference(path, "another", compute)
    assert compute.calls == 2


@pytest.mark.parametrize("damage", [lambda b: b[:-8] + b"\0" * 8, lambda b: b[:20], lambda b: b""])
def test_a_damaged_file_is_computed_again(tmp_path: Path, damage) -> None:
    path, compute = tmp_path / "reference.safetensors", Computing()
    stored_reference(path, "key", compute)
    path.write_bytes(damage(path.read_bytes()))
    assert torch.equal(stored_reference(path, "key", compute), FIGURES)
    assert compute.calls == 2
    stored_reference(path, "key", compute)
    assert compute.calls == 2


def test_a_disk_that_takes_nothing_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        stored_reference(tmp_path / "reference.safetensors", "key", Computing())
    assert not list(tmp_path.iterdir())


def test_the_key_follows_tokens_model_and_precision() -> None:
    one = Example("p", (1, 2, 3), (False, True, True), 1, 3)
    other = Example("p", (1, 2, 4), (False, True, True), 1, 3)
    keys = {
        reference_key([PairExample(one, other)], "m", "float32"),
        reference_key([PairExample(other, one)], "m", "float32"),
        reference_key([PairExample(one, other)] * 2, "m", "float32"),
        reference_key([PairExample(one, other)], "n", "float32"),
        reference_key([PairExample(one, other)], "m", "bfloat16"),
    }
    assert len(keys) == 5
