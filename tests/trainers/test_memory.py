"""The estimate follows the architecture, and decides budget and activation checkpointing."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from core.config.schema import ActivationCheckpointing as Wanted
from trainers.memory import MemoryPlan, describe_memory, plan_memory
from trainers.memory_batch import DrawnBatches
from trainers.memory_beside import Beside, reference_bytes, rollout_bytes
from trainers.memory_estimate import TrainedModel, activation_bytes_per_token, estimate_memory
from trainers.precision import BFLOAT16, FLOAT32, MIXED, STOCHASTIC, Precision
from trainers.tokenization import Example

MIB = 2**20
CONFIG = SimpleNamespace(
    vocab_size=1000,
    hidden_size=256,
    intermediate_size=768,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    tie_word_embeddings=True,
)
MODEL = TrainedModel(CONFIG, 4_000_000, "cpu")


def planned(
    available: int | None, wanted: Wanted = Wanted.AUTO, tokens: int | None = None
) -> MemoryPlan:
    return plan_memory(MODEL, longest=100, wanted_tokens=tokens, wanted=wanted, available=available)


def test_state_is_four_numbers_a_parameter() -> None:
    estimate = estimate_memory(MODEL, 512, checkpointing=False)
    assert estimate.weights + estimate.gradients + estimate.moments == 16 * 4_000_000
    assert estimate.ahead == estimate.total - estimate.weights


def test_several_processes_share_the_state_and_gather_layers() -> None:
    alone = estimate_memory(MODEL, 512, checkpointing=False)
    shared = estimate_memory(replace(MODEL, processes=4), 512, checkpointing=False)
    assert shared.weights + shared.gradients + shared.moments == 16 * 1_000_000
    assert shared.activations == alone.activations
    embeddings = 1000 * 256
    whole = embeddings + (4_000_000 - embeddings) // 2  # two of four layers
    assert shared.overhead - alone.overhead == 8 * whole


def test_activations_grow_with_tokens_and_layers() -> None:
    layer = 6 * 256 + 2 * (4 + 2) * 64 + 4 * 768
    assert activation_bytes_per_token(CONFIG) == 4 * layer * 4
    assert activation_bytes_per_token(CONFIG, 2) == 4 * layer * 2
    assert activation_bytes_per_token(CONFIG, checkpointing=True) == (4 * 256 + layer) * 4
    one, two = (estimate_memory(MODEL, n, checkpointing=False) for n in (256, 512))
    assert two.activations == 2 * one.activations


def test_tied_matrices_cost_another_copy_in_transit() -> None:
    untied = SimpleNamespace(**{**vars(CONFIG), "tie_word_embeddings": False})
    apart = estimate_memory(replace(MODEL, config=untied), 512, checkpointing=False)
    tied = estimate_memory(MODEL, 512, checkpointing=False)
    assert tied.projection - apart.projection == 1000 * 256 * 4


def test_bfloat16_halves_the_activations_and_keeps_copies_of_the_weights() -> None:
    wide = estimate_memory(MODEL, 512, checkpointing=False)
    narrow = estimate_memory(replace(MODEL, precision=MIXED), 512, checkpointing=False)
    assert narrow.activations == wide.activations // 2
    assert (wide.copies, narrow.copies) == (0, wide.weights // 2)
    assert (narrow.weights, narrow.moments) == (wide.weights, wide.moments)


def test_rows_without_padding_count_as_far_as_batches_fill_them() -> None:
    rows = [Example(f"p{i}", (1,) * 101, (False,) * 51 + (True,) * 50, 51, 101) for i in range(9)]
    open_ended = replace(MODEL, written_out=True, precision=MIXED)
    fed = replace(open_ended, batch=DrawnBatches(tuple(rows), 4))
    whole, small = (estimate_memory(m, 4000, checkpointing=False) for m in (open_ended, fed))
    assert small.activations * 10 == whole.activations
    assert small.projection * 3000 == whole.projection * 200, "of the tokens that are read"
    narrow = estimate_memory(fed, 4000, checkpointing=False)
    wide = estimate_memory(replace(fed, precision=FLOAT32), 4000, checkpointing=False)
    assert narrow.overhead - wide.overhead > 100 * MIB, "compiled kernels"


@pytest.mark.parametrize("precision", [STOCHASTIC, BFLOAT16])
def test_weights_in_bfloat16_halve_all_state_and_need_no_copies(precision: Precision) -> None:
    wide = estimate_memory(MODEL, 512, checkpointing=False)
    narrow = estimate_memory(replace(MODEL, precision=precision), 512, checkpointing=False)
    for part in ("weights", "gradients", "moments"):
        assert 2 * getattr(narrow, part) == getattr(wide, part)
    assert narrow.copies == 0


def test_with_room_nothing_is_computed_twice() -> None:
    plan = planned(10**12)
    assert (plan.microbatch_tokens, plan.checkpointing, plan.fits) == (512, False, True)
    assert planned(None).fits


def test_a_budget_nobody_asked_for_shrinks_first() -> None:
    needed = estimate_memory(MODEL, 256, checkpointing=False).ahead
    plan = planned(int(needed / 0.84))
    assert (plan.microbatch_tokens, plan.checkpointing, plan.fits) == (256, False, True)


def test_checkpointing_comes_where_shrinking_does_not_help() -> None:
    needed = estimate_memory(MODEL, 256, checkpointing=True).ahead
    plan = planned(int(needed / 0.84))
    assert (plan.microbatch_tokens, plan.checkpointing, plan.fits) == (256, True, True)


def test_a_budget_that_was_asked_for_stays() -> None:
    needed = estimate_memory(MODEL, 4096, checkpointing=True).ahead
    plan = planned(int(needed / 0.84), tokens=4096)
    assert (plan.microbatch_tokens, plan.checkpointing) == (4096, True)


@pytest.mark.parametrize(("wanted", "on"), [(Wanted.ON, True), (Wanted.OFF, False)])
def test_what_a_person_set_is_kept(wanted: Wanted, on: bool) -> None:
    assert planned(10**12, wanted).checkpointing is on
    assert planned(MIB, wanted).checkpointing is on


def test_the_sentence_names_what_is_missing() -> None:
    text = describe_memory(planned(50 * MIB))
    assert "only 50 MiB are free" in text
    assert "no setting makes it fit" in text
    assert "it may run out" not in describe_memory(planned(10**12))


def test_what_is_beside_the_policy_counts_towards_what_must_fit() -> None:
    needed = estimate_memory(MODEL, 512, checkpointing=False).ahead
    room = int(needed / 0.85) + 1
    assert planned(room).microbatch_tokens == 512
    for beside in (Beside(engine=MIB), Beside(reference=MIB), Beside(rollouts=MIB)):
        plan = plan_memory(
            MODEL,
            longest=100,
            wanted_tokens=None,
            wanted=Wanted.AUTO,
            available=room,
            beside=beside,
        )
        assert plan.microbatch_tokens < 512, beside


def test_a_reference_is_weights_and_no_gradients() -> None:
    assert reference_bytes(MODEL) == 4 * 4_000_000
    assert reference_bytes(replace(MODEL, precision=MIXED)) == 6 * 4_000_000
    assert reference_bytes(replace(MODEL, precision=BFLOAT16)) == 2 * 4_000_000
    on_gpu = replace(MODEL, precision=MIXED, device="cuda")
    layer = 256 * (256 + 128 + 128 + 256) + 256 + 2 * 128 + 3 * 256 * 768
    assert reference_bytes(on_gpu) == 2 * 4 * layer + 4 * (4_000_000 - 4 * layer)


def test_rollouts_take_what_python_takes_for_their_tokens() -> None:
    ids, log_probs = tuple(range(1000, 1200)), tuple(-1.0 - i for i in range(200))
    python = sum(map(sys.getsizeof, (*ids, *log_probs))) + sys.getsizeof(ids) * 4
    assert rollout_bytes(1, 200) == pytest.approx(python + 4 * 200, rel=0.05)


def test_the_sentence_names_what_is_beside() -> None:
    plan = replace(planned(10**12), beside=Beside(3 * MIB, 5 * MIB, 7 * MIB))
    told = "the engine takes about 3 MiB, the reference policy 5 MiB, rollouts at most 7 MiB"
    assert told in describe_memory(plan)
    assert "reference" not in describe_memory(planned(10**12))
