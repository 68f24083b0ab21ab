"""Memory on CUDA: budgets, checkpointing, what stands beside by turns, and what to change."""

from dataclasses import replace

import pytest

from core.config.schema import ActivationCheckpointing as Wanted
from trainers.memory import MemoryPlan, describe_memory, plan_memory
from trainers.memory_batch import AnyBatch, DrawnBatches
from trainers.memory_beside import NOTHING_BESIDE, Beside
from trainers.memory_cuda import Sizes
from trainers.memory_estimate import TrainedModel, estimate_memory
from trainers.packed.row import split_rows
from trainers.precision import FLOAT32, MIXED, STOCHASTIC
from trainers.random_model import SHAPES
from trainers.tokenization import Example

GIB = 2**30
CONFIG = SHAPES["qwen2.5-1.5b"]


class Shape:
    """The shape as a transformers config, as far as an estimate asks."""

    tie_word_embeddings = True

    def __getattr__(self, name: str) -> int:
        found: int = getattr(CONFIG, name)
        return found


SIZES = Sizes.of(Shape())
MODEL = TrainedModel(Shape(), SIZES.parameters, "cuda", MIXED, packed=True, fused=True)


def planned(
    gib: float,
    model: TrainedModel = MODEL,
    wanted: Wanted = Wanted.AUTO,
    tokens: int | None = None,
    beside: Beside = NOTHING_BESIDE,
) -> MemoryPlan:
    weights = model.parameters * model.precision.weight_bytes
    return plan_memory(
        model,
        longest=1024,
        wanted_tokens=tokens,
        wanted=wanted,
        available=int(gib * GIB) - weights,
        beside=beside,
    )


def choice(plan: MemoryPlan) -> tuple[int, bool]:
    return plan.microbatch_tokens, plan.checkpointing


def test_rows_are_full_where_there_is_room() -> None:
    assert choice(planned(139)) == (16_384, False)


def test_rows_shrink_before_anything_is_computed_twice() -> None:
    assert choice(planned(79)) == (8192, False)


def test_checkpointing_keeps_rows_long_where_they_would_get_short() -> None:
    plan = planned(39)
    assert choice(plan) == (16_384, True)
    assert plan.fits


def test_checkpointed_rows_shrink_down_to_the_longest_example() -> None:
    needed = estimate_memory(MODEL, 1024, checkpointing=True)
    tight = (needed.weights + needed.ahead / 0.949) / GIB
    assert choice(planned(tight)) == (1024, True)
    assert not planned(tight - 1).fits


def test_what_a_person_asked_for_is_kept() -> None:
    assert choice(planned(39, tokens=2000)) == (2000, False)
    assert choice(planned(39, tokens=4000)) == (4000, True)
    assert choice(planned(39, wanted=Wanted.OFF))[1] is False
    assert choice(planned(139, wanted=Wanted.ON)) == (16_384, True)


def test_an_engine_that_sleeps_counts_in_its_own_turn_alone() -> None:
    asleep = Beside(engine=GIB, engine_awake=9 * GIB)
    awake = Beside(engine=9 * GIB)
    estimate = estimate_memory(MODEL, 16_384, checkpointing=True)
    training, engine = estimate.ahead + GIB, estimate.moments + 9 * GIB
    plan = planned(40, wanted=Wanted.ON, beside=asleep)
    assert plan.needed == max(training, engine)
    assert planned(40, wanted=Wanted.ON, beside=awake).needed > plan.needed
    assert "1,024 MiB asleep and 9,216 MiB in its own turn" in describe_memory(plan)


def test_the_engines_turn_can_be_the_fuller_one() -> None:
    small = replace(MODEL, batch=AnyBatch(0.1))
    beside = Beside(engine=GIB, engine_awake=60 * GIB)
    plan = planned(80, small, beside=beside)
    assert plan.needed == plan.estimate.moments + 60 * GIB


@pytest.mark.parametrize(
    ("gib", "wanted", "beside", "advice"),
    [
        (36, Wanted.OFF, NOTHING_BESIDE, "use --set train.activation_checkpointing=on, which"),
        (32, Wanted.AUTO, Beside(engine=6 * GIB), "use --set train.microbatch_tokens=1024"),
        (22, Wanted.AUTO, NOTHING_BESIDE, "use --precision stochastic, which takes about"),
        (8, Wanted.AUTO, NOTHING_BESIDE, "no setting makes it fit, the least is about"),
    ],
)
def test_the_smallest_change_that_would_fit_is_named(
    gib: float, wanted: Wanted, beside: Beside, advice: str
) -> None:
    tokens = 16_384 if beside.engine or wanted is Wanted.OFF else None
    plan = planned(gib, wanted=wanted, tokens=tokens, beside=beside)
    assert not plan.fits
    assert plan.advice.startswith(advice)
    assert plan.advice in describe_memory(plan)


def test_an_engine_that_is_in_the_way_is_sent_to_another_gpu() -> None:
    plan = planned(36, beside=Beside(engine=20 * GIB))
    assert "--placement apart" in plan.advice


def test_float32_is_told_of_the_precisions_that_take_less() -> None:
    plan = planned(24, replace(MODEL, precision=FLOAT32))
    assert f"--precision {STOCHASTIC.name}" in plan.advice


def test_micro_batches_are_as_large_as_those_that_steps_will_see() -> None:
    lengths = [40 + 7 * (place % 20) for place in range(200)]
    examples = [Example(f"p{i}", (1,) * n, (True,) * n, 0, n) for i, n in enumerate(lengths)]
    batches = DrawnBatches(tuple(examples), 16)
    positions, targets = batches.largest(100_000)
    assert sum(sorted(lengths)[:16]) < positions < sum(sorted(lengths)[-16:])
    assert targets == positions  # the first token of an example is no target
    positions, _ = batches.largest(1000)
    assert 500 < positions <= 1000
    rows = split_rows(examples[:16], 1000)
    assert max(sum(len(each.token_ids) - 1 for each in row) for row in rows) <= 1000


def test_more_rollouts_than_planned_rows_fill_the_budget() -> None:
    examples = [Example(f"p{i}", (1,) * 500, (True,) * 500, 0, 500) for i in range(4)]
    positions, _ = DrawnBatches(tuple(examples), 64).largest(8192)
    assert 0.9 * 8192 < positions <= 8192
