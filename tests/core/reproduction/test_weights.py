"""Weights are compared by the bytes of every tensor."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from core.reproduction.weights import compare_weights


def checkpoint(folder: Path, **tensors: np.ndarray) -> Path:
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors", {"written": folder.name})
    return folder


def test_only_tensors_count_and_not_what_else_a_file_says(tmp_path):
    ones = np.ones((2, 3), np.float32)
    a = checkpoint(tmp_path / "a", w=ones, v=ones[0])
    b = checkpoint(tmp_path / "b", v=ones[0], w=ones)
    found = compare_weights(a, b, 4)
    assert (found.same, found.tensors, found.step) == (True, 2, 4)


@pytest.mark.parametrize(
    "other",
    [
        np.nextafter(np.ones((2, 3), np.float32), np.float32(2)),
        np.ones((3, 2), np.float32),
        np.ones((2, 3), np.float32).view(np.int32),
    ],
)
def test_a_bit_a_shape_and_a_type_are_differences(tmp_path, other):
    ones = np.ones((2, 3), np.float32)
    a = checkpoint(tmp_path / "a", w=ones, v=ones)
    b = checkpoint(tmp_path / "b", w=other, v=ones)
    assert compare_weights(a, b, 1).differing == ("w",)


def test_a_tensor_that_one_lacks_is_a_difference(tmp_path):
    ones = np.ones(2, np.float32)
    a, b = checkpoint(tmp_path / "a", w=ones, v=ones), checkpoint(tmp_path / "b", w=ones)
    assert compare_weights(a, b, 1).differing == ("v",)


def test_a_file_that_is_no_safetensors_file_is_refused(tmp_path):
    a = checkpoint(tmp_path / "a", w=np.ones(2, np.float32))
    b = tmp_path / "b"
    b.mkdir()
    (b / "model.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(ValueError, match="safetensors"):
        compare_weights(a, b, 1)
