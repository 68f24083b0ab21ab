"""The stream equals the library's file, byte for byte, and fetches one tensor at a time."""

import gc
import weakref

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import Tensor

from trainers.safetensors_stream import file_order, safetensors_bytes

DTYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.bool),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8),
]
SHAPES = st.lists(st.integers(0, 4), max_size=3)
TENSORS = st.dictionaries(
    st.text(min_size=1, max_size=8).filter(lambda name: name != "__metadata__"),
    st.tuples(st.sampled_from(DTYPES), SHAPES),
    max_size=6,
)


def streamed(tensors: dict[str, Tensor], **options: object) -> bytes:
    return b"".join(bytes(part) for part in safetensors_bytes(tensors, **options))


@given(TENSORS)
def test_the_bytes_are_those_of_the_library(
    kinds: dict[str, tuple[torch.dtype, list[int]]],
) -> None:
    tensors = {
        name: (100 * torch.randn(shape)).abs().to(dtype) for name, (dtype, shape) in kinds.items()
    }
    assert streamed(tensors, metadata={"format": "pt"}) == save(tensors, {"format": "pt"})


def test_tensors_larger_than_a_slice_and_views_are_whole() -> None:
    large = torch.arange(3_000_000, dtype=torch.float32)
    tensors = {"large": large, "turned": large.reshape(1500, 2000).T}
    read = load(streamed(tensors))
    assert torch.equal(read["large"], large)
    assert torch.equal(read["turned"], tensors["turned"])


def test_each_tensor_is_fetched_once_in_order_and_let_go() -> None:
    tensors = {name: torch.full((4,), float(place)) for place, name in enumerate("cab")}
    fetched: list[weakref.ref[Tensor]] = []

    def fetch(tensor: Tensor) -> Tensor:
        gc.collect()
        assert not any(earlier() is not None for earlier in fetched[:-1])
        whole = tensor + 1
        fetched.append(weakref.ref(whole))
        return whole

    read = load(streamed(tensors, fetch=fetch))
    assert {name: tensor.tolist() for name, tensor in read.items()} == {
        name: (tensor + 1).tolist() for name, tensor in tensors.items()
    }
    assert len(fetched) == 3
    assert file_order(tensors) == ["a", "b", "c"]


def test_what_the_format_cannot_hold_is_named() -> None:
    with pytest.raises(ValueError, match=r"tensor wave has dtype torch.complex64"):
        streamed({"wave": torch.zeros(2, dtype=torch.complex64)})
    with pytest.raises(ValueError, match="tensor a is not of the dtype and shape"):
        streamed({"a": torch.zeros(2)}, fetch=lambda tensor: tensor[:1])
