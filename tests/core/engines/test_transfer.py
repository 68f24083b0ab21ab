"""Weights in pieces: they arrive as they were sent, through little memory, in the right order."""

import pickle
from collections import deque
from collections.abc import Iterator

import pytest
import torch

from core.engines.staging import SharedMemory
from core.engines.transfer import Piece, Receiver, Sender

CPU = torch.device("cpu")


class Exchange:
    """Both sides in one process; what is posted is read when it is settled, or later."""

    def __init__(self, size: int, dtype: torch.dtype) -> None:
        self.memory = torch.zeros(size, dtype=torch.uint8)
        self.receiver = Receiver(dtype, CPU)
        self.waiting: deque[list[Piece]] = deque()
        self.messages = 0
        self.most_waiting = 0
        self.sender = Sender(self.memory, dtype, self.post, self.settle)

    def post(self, pieces: object) -> None:
        self.waiting.append(pickle.loads(pickle.dumps(pieces)))
        self.messages += 1
        self.most_waiting = max(self.most_waiting, len(self.waiting))

    def settle(self) -> None:
        self.receiver.take(self.memory, self.waiting.popleft())


def weights(seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"model.embed_tokens.weight": (50, 8), "a": (7,), "b": (16, 33), "c": (1, 1)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


@pytest.mark.parametrize("size", [16, 64, 1000, 2**20])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_all_arrive_in_the_engines_precision_whatever_room_there_is(
    size: int, dtype: torch.dtype
) -> None:
    exchange, given = Exchange(size, dtype), weights()
    exchange.sender.send(given.items())
    found = dict(exchange.receiver.drain())
    assert list(found) == list(given)
    assert all(found[name].equal(tensor.to(dtype)) for name, tensor in given.items())
    assert exchange.most_waiting <= 2
    assert exchange.messages == -(-sum(t.numel() for t in given.values()) * dtype.itemsize // (
        size // 2
    ))  # fmt: skip


def test_a_tied_head_is_sent_once_and_another_one_with_the_rest() -> None:
    tied = weights()
    tied["lm_head.weight"] = tied["model.embed_tokens.weight"]
    exchange = Exchange(64, torch.float32)
    exchange.sender.send(tied.items())
    assert "lm_head.weight" not in dict(exchange.receiver.drain())
    untied = tied | {"lm_head.weight": tied["model.embed_tokens.weight"].clone()}
    exchange = Exchange(64, torch.float32)
    exchange.sender.send(untied.items())
    assert "lm_head.weight" in dict(exchange.receiver.drain())


def test_tensors_that_are_made_on_the_way_are_not_mixed_up() -> None:
    """Gathered weights come one at a time, each where the one before has been."""

    def gathered() -> Iterator[tuple[str, torch.Tensor]]:
        for number in range(6):
            yield f"weight {number}", torch.full((9, 5), float(number)).T

    exchange = Exchange(48, torch.float32)
    exchange.sender.send(gathered())
    found = dict(exchange.receiver.drain())
    assert [tensor.unique().tolist() for tensor in found.values()] == [[n] for n in range(6)]
    assert found["weight 1"].shape == (5, 9)


def test_what_was_drained_is_not_held() -> None:
    exchange = Exchange(64, torch.float32)
    exchange.sender.send(weights().items())
    for _ in exchange.receiver.drain():
        pass
    assert list(exchange.receiver.drain()) == []


def test_shared_memory_has_no_name_in_any_folder_and_can_be_closed_twice() -> None:
    memory = SharedMemory(4096)
    memory.tensor[:3] = torch.tensor([1, 2, 3], dtype=torch.uint8)
    assert memory.tensor[:4].tolist() == [1, 2, 3, 0]
    memory.close()
    memory.close()
