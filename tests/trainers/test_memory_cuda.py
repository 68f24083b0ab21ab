"""The estimate for CUDA against the program's own passes, followed on fake tensors."""

from dataclasses import replace

import pytest

from benchmarks.memory_follow import Trace
from benchmarks.memory_steps import Work, draw, follow_one_pass, meta_model
from trainers.memory_cuda import Reads, Sizes, Step, fullest
from trainers.packed.head_gradients import rows_at_once
from trainers.packed.projection_choice import Projection
from trainers.precision import BFLOAT16, MIXED
from trainers.random_model import SHAPES, ModelShape

READS = {"sft": Reads.LOSS, "dpo": Reads.TOKENS, "grpo": Reads.ENTROPIES}
TINY = ModelShape(num_hidden_layers=3)
# true widths and vocabulary; what a layer takes is the same in each
WIDE = replace(SHAPES["qwen2.5-1.5b"], num_hidden_layers=2)
WORKS = [
    Work(TINY, MIXED, 4096, checkpointing=True, method="grpo"),
    Work(TINY, BFLOAT16, 4096, checkpointing=True, method="dpo"),
    Work(WIDE, MIXED, 1024, method="dpo"),
    Work(WIDE, MIXED, 8192, checkpointing=True, method="sft"),
    Work(WIDE, BFLOAT16, 8192, method="grpo"),
]


@pytest.fixture(scope="module", params=WORKS, ids=lambda work: work.method)
def followed(request: pytest.FixtureRequest) -> tuple[Work, Trace]:
    return request.param, follow_one_pass(request.param)


def step_of(work: Work) -> Step:
    targets = sum(example.supervised_count for example in draw(work))
    sizes = Sizes.of(meta_model(work).config)
    reads = READS[work.method]
    fused = work.projection is Projection.FUSED
    return Step(sizes, work.tokens, targets, work.precision, work.checkpointing, reads, fused)


@pytest.mark.slow
def test_the_estimate_is_what_is_alive_at_the_fullest_moment(followed: tuple[Work, Trace]) -> None:
    work, trace = followed
    peak, parts = trace.peak()
    step = step_of(work)
    state = step.sizes.parameters * work.precision.state_bytes
    assert parts["weights"] + parts["gradients"] + parts["moments"] == pytest.approx(state, 0.01)
    assert fullest(step).total == pytest.approx(parts["activations"], rel=0.02)
    assert state + fullest(step).total == pytest.approx(peak, rel=0.02)


def test_full_logits_are_never_allocated(followed: tuple[Work, Trace]) -> None:
    work, trace = followed
    vocabulary, targets = work.shape.vocab_size, step_of(work).targets
    rows = [
        block.size // (vocabulary * block.dtype.itemsize)
        for block in trace.blocks
        if len(block.shape) > 1 and block.shape[-1] == vocabulary
    ]
    most = rows_at_once(vocabulary, "cuda")
    assert max(rows) <= most
    if targets > most:
        assert max(rows) < targets


def test_all_but_weights_and_moments_is_given_back(followed: tuple[Work, Trace]) -> None:
    _, trace = followed
    left = trace.live(len(trace.moves) - 1)
    sizes: dict[str, int] = {}
    for block in left:
        kind = trace.kinds.get(block, "others")
        sizes[kind] = sizes.get(kind, 0) + trace.blocks[block].size
    assert sizes.get("gradients", 0) == 0
    assert sizes.get("others", 0) < 2**20


def test_parameters_are_counted_as_transformers_makes_them() -> None:
    for shape in (TINY, WIDE):
        model = meta_model(Work(shape, MIXED, 1))
        found = sum(parameter.numel() for parameter in model.parameters())
        assert Sizes.of(model.config).parameters == found
