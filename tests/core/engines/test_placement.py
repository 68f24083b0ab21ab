"""Where an engine works and how much memory it gets, from numbers alone."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.engines.base import EngineError
from core.engines.footprint import EngineLoad, cache_bytes_per_token, engine_footprint
from core.engines.gpu_options import Graphs, graphs_for
from core.engines.placement import (
    NO_TRAINING,
    GpuMemory,
    Place,
    TrainingNeed,
    is_free,
    place_apart,
    place_shared,
)
from core.units import GIB

QWEN_05B = SimpleNamespace(
    num_hidden_layers=24, num_attention_heads=14, num_key_value_heads=2, hidden_size=896,
    intermediate_size=4864, vocab_size=151_936,
)  # fmt: skip
LOAD = EngineLoad("vllm", QWEN_05B, 494_032_768, "bfloat16", 1300, 256)
# fully fine-tuned in float32: moments between updates, more within one
TRAINING = TrainingNeed(4 * GIB, 18 * GIB)


def card(gib: float, used: float = 2.0) -> GpuMemory:
    return GpuMemory("GPU 0", int(gib * GIB), int((gib - used) * GIB))


def test_a_token_of_the_cache_has_keys_and_values_in_every_layer() -> None:
    assert cache_bytes_per_token(QWEN_05B, "bfloat16") == 2 * 24 * 2 * 64 * 2


def test_a_large_gpu_has_room_for_both_and_the_engine_stays_awake() -> None:
    found = place_shared(LOAD, card(139), TRAINING, None)
    assert found.place is Place.SHARED
    assert not found.options.sleeps
    assert found.options.cache_bytes == 256 * LOAD.sequence_bytes
    assert found.footprint.idle + TRAINING.peak < card(139).usable
    assert found.reason.startswith("the engine stays beside training and takes about 6.6 of 139.0")
    assert found.reason.endswith("training needs 18.0 of 137.0 free")


def test_on_24_gib_they_take_turns_and_the_engine_keeps_the_cache_it_needs() -> None:
    gpu = card(24)
    found = place_shared(LOAD, gpu, TRAINING, None)
    assert found.options.sleeps
    assert found.footprint.asleep + TRAINING.peak <= gpu.usable
    assert found.footprint.awake + TRAINING.staying <= gpu.usable
    assert found.options.cache_bytes == 256 * LOAD.sequence_bytes
    assert found.reason == (
        "engine and training take turns: it takes about 6.6 of 24.0 GiB (weights 0.9, cache 3.9 "
        "for 256 responses, rest 1.8), asleep it keeps 0.8; training needs 18.0 of 22.0 free"
    )


def test_an_engine_that_cannot_sleep_gets_what_training_leaves_and_says_why() -> None:
    gpu = card(25)
    found = place_shared(LOAD, gpu, TRAINING, None, awake="of something")
    assert not found.options.sleeps
    assert LOAD.least_cache <= (found.options.cache_bytes or 0) < 256 * LOAD.sequence_bytes
    assert found.reason.endswith("the engine cannot sleep because of something")


def test_without_training_there_are_no_turns() -> None:
    found = place_shared(LOAD, card(6, 0.5), NO_TRAINING, None)
    assert not found.options.sleeps
    assert found.reason.startswith("the engine has the GPU for itself and takes about ")
    assert 0 < (found.options.cache_bytes or 0) < 256 * LOAD.sequence_bytes


def test_a_share_that_was_asked_for_is_passed_on_and_vllm_sizes_its_cache() -> None:
    small, large = (place_shared(LOAD, card(28), TRAINING, share) for share in (0.2, 0.6))
    assert (small.options.share, small.options.cache_bytes) == (0.2, None)
    assert small.footprint.awake == pytest.approx(0.2 * 28 * GIB, rel=0.01)
    assert not small.options.sleeps
    assert large.options.sleeps


@pytest.mark.parametrize("share", [0.05, 0.95])
def test_a_share_that_cannot_be_is_refused_with_what_could(share: float) -> None:
    with pytest.raises(EngineError, match=r"needs at least 2\.7 GiB and 22\.0 GiB are free"):
        place_shared(LOAD, card(24), TRAINING, share)


def test_transformers_sleep_by_the_same_rule() -> None:
    load = replace(LOAD, name="hf")
    assert not place_shared(load, card(139), TRAINING, None).options.sleeps
    tight = place_shared(load, card(21), TRAINING, None)
    assert tight.options.sleeps
    assert tight.footprint.asleep == 0


def test_another_gpu_gives_all_that_is_needed_and_nobody_sleeps() -> None:
    found = place_apart(LOAD, replace(card(24, 0.1), name="GPU 1"), None)
    assert found.place is Place.APART
    assert not found.options.sleeps
    assert found.options.cache_bytes == 256 * LOAD.sequence_bytes
    assert found.reason.startswith("the engine has GPU 1 for itself and takes about ")


def test_a_gpu_that_somebody_uses_is_not_free() -> None:
    assert is_free(card(80, 0.4), LOAD)
    assert not is_free(card(80, 5), LOAD)
    assert not is_free(card(2.5, 0.2), LOAD)


def test_where_not_one_response_fits_the_error_names_the_need_and_the_ways_out() -> None:
    with pytest.raises(EngineError, match=r"needs at least .* GiB on GPU 0 .* --placement apart"):
        place_shared(LOAD, card(4), TrainingNeed(2 * GIB, 2 * GIB), None)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    size=st.floats(4, 141),
    used=st.floats(0.3, 3),
    staying=st.floats(0, 20),
    more=st.floats(0.1, 60),
    sequences=st.integers(1, 256),
    tokens=st.integers(64, 4096),
    own=st.booleans(),
)
def test_turns_never_take_more_than_there_is(
    size: float, used: float, staying: float, more: float, sequences: int, tokens: int, own: bool
) -> None:
    load = replace(LOAD, sequences=sequences, tokens=tokens)
    gpu = card(size, used)
    training = TrainingNeed(int(staying * GIB), int((staying + more) * GIB))
    try:
        found = place_shared(load, gpu, training, None, own_process=own)
    except EngineError:
        return
    assert found.footprint.awake + training.staying <= gpu.usable
    assert (found.options.share or 0) * gpu.total <= gpu.free
    assert load.least_cache <= (found.options.cache_bytes or 0) <= load.full_cache
    if not found.options.sleeps:
        assert found.footprint.idle + training.peak <= gpu.usable


def test_a_process_of_its_own_takes_cudas_share_and_room_for_arriving_weights() -> None:
    inside, outside = (engine_footprint(LOAD, own_process=own) for own in (False, True))
    assert outside.kept > inside.kept
    large = replace(LOAD, parameters=10**10)
    assert engine_footprint(large, own_process=True).step == 2 * 10**10


@pytest.mark.parametrize(
    ("steps", "graphs"),
    [(100, Graphs.NONE), (2 * 256, Graphs.DECODE), (6 * 1024, Graphs.DECODE),
     (200 * 1024, Graphs.COMPILED)],
)  # fmt: skip
def test_a_slower_start_is_chosen_where_much_is_generated(steps: int, graphs: Graphs) -> None:
    assert graphs_for(steps) is graphs
