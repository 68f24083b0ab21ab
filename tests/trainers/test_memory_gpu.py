"""Real steps on a GPU against the estimate; a small device is imitated by torch's own limit."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from benchmarks.memory_measured import measure
from benchmarks.memory_steps import Work, draw, model_config
from trainers.memory_cuda import UNMEASURED, Reads, Sizes, Step, fullest
from trainers.packed.fused_loss import triton_version
from trainers.packed.projection_choice import Projection
from trainers.precision import BFLOAT16, MIXED, STOCHASTIC
from trainers.random_model import SHAPES

pytestmark = pytest.mark.gpu

GIB = 2**30
READS = {"sft": Reads.LOSS, "dpo": Reads.TOKENS, "grpo": Reads.ENTROPIES}
HALF, ONE_AND_A_HALF = SHAPES["qwen2.5-0.5b"], SHAPES["qwen2.5-1.5b"]
# GPU memory in GiB, and what a run on such a card would be planned as
FITTING = [
    (24, Work(HALF, MIXED, 4096, method="sft")),
    (24, Work(HALF, MIXED, 16_384, checkpointing=True, method="grpo")),
    (24, Work(HALF, BFLOAT16, 8192, method="dpo")),
    (24, Work(ONE_AND_A_HALF, STOCHASTIC, 16_384, checkpointing=True, method="sft")),
    (40, Work(ONE_AND_A_HALF, MIXED, 16_384, checkpointing=True, method="sft")),
    (40, Work(ONE_AND_A_HALF, MIXED, 8192, checkpointing=True, method="grpo")),
]


@pytest.fixture
def card(request: pytest.FixtureRequest) -> Iterator[float]:
    """A device of so many GiB."""
    _, total = torch.cuda.mem_get_info()
    share = (UNMEASURED.card * request.param * GIB - UNMEASURED.context) / total
    if share > 1:
        pytest.skip(f"this GPU has less than {request.param} GiB")
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(share)
    yield request.param
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1.0)


def estimated(work: Work) -> int:
    """Peak of the bytes that tensors take."""
    targets = sum(example.supervised_count for example in draw(work))
    sizes = Sizes.of(model_config(work.shape))
    step = Step(
        sizes,
        work.tokens,
        targets,
        work.precision,
        work.checkpointing,
        READS[work.method],
        fused=work.projection is Projection.FUSED,
    )
    state = sizes.parameters * work.precision.state_bytes
    return state + fullest(step).total + UNMEASURED.workspace


def here(work: Work) -> Work:
    """With the projection that this machine can compute."""
    if triton_version() is not None:
        return work
    return replace(work, projection=Projection.CHUNKED)


@pytest.mark.parametrize(("card", "work"), FITTING, indirect=["card"], ids=str)
def test_it_fits_and_the_estimate_is_within_a_tenth(card: float, work: Work) -> None:
    work = here(work)
    found = measure(work)
    assert found.allocated == pytest.approx(estimated(work), rel=0.1)
    assert found.reserved <= UNMEASURED.card * card * GIB


@pytest.mark.parametrize("method", ["sft", "dpo", "grpo"])
def test_the_chunked_projection_is_estimated_too(method: str) -> None:
    shallow = replace(HALF, num_hidden_layers=4)
    work = Work(shallow, MIXED, 8192, method=method, projection=Projection.CHUNKED)
    assert measure(work).allocated == pytest.approx(estimated(work), rel=0.1)


def test_what_is_outside_the_allocator_is_what_was_guessed() -> None:
    found = measure(here(Work(replace(HALF, num_hidden_layers=2), MIXED, 1024)))
    _, total = torch.cuda.mem_get_info()
    # others may use the device, so the guess is an upper end of a free one alone
    if found.outside < 0.02 * total:
        assert found.outside <= 1.5 * UNMEASURED.context
