"""Copies straight into vLLM's layers: the same to the last bit, only where proven, never stale."""

import copy
import functools
import random
import re

import pytest

from core.engines.base import EngineError, Sampling
from core.engines.vllm_copy import CANARY_EVERY, MadeUp, WeightCopies
from core.engines.weights import WeightContract
from tests.core.engines.conftest import start, weights_of

GREEDY = Sampling(max_tokens=24, stop=())
EXACT = Sampling(max_tokens=24, stop=(), logprobs=True)


class ReloadOnly:
    """In the place of vLLM's `LLM`, where nothing but its own reload may be asked for."""

    def __init__(self):
        self.loaded = []

    def collective_rpc(self, method, kwargs):
        assert method == "reload_weights"
        self.loaded.append(dict(kwargs["weights_iterator"]))


def moved(weights, seed):
    """Other weights of the same model: even what starts as zeros or ones differs everywhere."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    tied = weights["lm_head.weight"].data_ptr() == weights["model.embed_tokens.weight"].data_ptr()
    other = {
        name: tensor + 0.1 * torch.randn(tensor.shape, generator=generator)
        for name, tensor in weights.items()
    }
    if tied:
        other["lm_head.weight"] = other["model.embed_tokens.weight"]
    return other


def reloaded(engine, weights):
    """The same copy by vLLM's own reload."""
    engine._llm.collective_rpc("reload_weights", kwargs={"weights_iterator": iter(weights.items())})


@pytest.fixture(scope="module")
def shared(model_dir):
    engine = start("vllm", model_dir)
    for _ in range(2):
        engine.load_weights(weights_of(model_dir).items())
    assert engine._copies.refused is None
    yield engine
    engine.close()


def test_on_a_gpu_every_copy_is_a_reload_and_is_compared(model_dir):
    llm, copies = ReloadOnly(), WeightCopies("bfloat16", on_cpu=False)
    contract, weights = WeightContract(model_dir), weights_of(model_dir)
    assert all(copies.copy(llm, contract, weights) for _ in range(3))
    assert not copies.in_place
    assert [len(loaded) for loaded in llm.loaded] == [len(weights)] * 3
    assert {str(t.dtype) for t in llm.loaded[2].values()} == {"torch.bfloat16"}


def test_where_the_rehearsal_fails_every_copy_stays_a_reload(model_dir):
    llm, copies = ReloadOnly(), WeightCopies("float32", on_cpu=True)
    contract, weights = WeightContract(model_dir), weights_of(model_dir)
    assert all(copies.copy(llm, contract, weights) for _ in range(3))
    assert not copies.in_place
    assert copies.refused.startswith("AttributeError")


def test_made_up_weights_differ_by_name_row_and_column_and_are_the_same_each_time():
    made = MadeUp({"a": (3, 4), "b": (3, 4), "bias": (3,)}, tied=False)
    assert made["a"].unique().numel() == 12
    assert made["bias"].unique().numel() == 3
    assert not made["a"].equal(made["b"])
    assert made["a"].equal(made["a"])


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.parametrize(
    ("tied", "dtype"), [(True, "float32"), (False, "float32"), (True, "bfloat16")]
)
def test_each_copy_answers_like_a_fresh_engine(
    model_dir, other_model_dir, untied_model_dir, prompts, tied, dtype, tmp_path
):
    from transformers import AutoModelForCausalLM

    folder = model_dir if tied else untied_model_dir
    first = weights_of(folder)
    second = moved(first, seed=5)
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.load_state_dict(second)
    other = tmp_path / "moved"
    model.save_pretrained(other)
    for file in folder.glob("tokenizer*"):
        (other / file.name).write_bytes(file.read_bytes())

    engine = start("vllm", folder, dtype=dtype)
    fresh_first = engine.generate(prompts, GREEDY)
    engine.load_weights(second.items())
    engine.generate(prompts, GREEDY)
    answers = []
    for weights in (first, second):
        engine.load_weights(weights.items())
        assert engine._copies.in_place
        # twice, so that the second time finds its prefixes in the cache
        answers += [engine.generate(prompts, GREEDY) for _ in range(2)][:1]
    engine.close()
    fresh = start("vllm", other, dtype=dtype)
    fresh_second = fresh.generate(prompts, GREEDY)
    fresh.close()
    assert answers == [fresh_first, fresh_second]
    assert sum(a == b for a, b in zip(fresh_first, fresh_second, strict=True)) == 0


@pytest.mark.vllm
@pytest.mark.slow
def test_both_ways_give_the_same_log_probs_to_the_last_bit(shared, model_dir, prompts):
    weights = moved(weights_of(model_dir), seed=6)
    shared.load_weights(weights.items())
    in_place = shared.generate(prompts[:16], EXACT)
    reloaded(shared, weights)
    assert shared.generate(prompts[:16], EXACT) == in_place
    shared.load_weights(weights.items())
    assert shared.generate(prompts[:16], EXACT) == in_place


@pytest.mark.vllm
@pytest.mark.slow
def test_policies_of_other_precision_and_layout_are_taken_as_they_are(shared, model_dir, prompts):
    weights = {name: tensor.bfloat16() for name, tensor in weights_of(model_dir).items()}
    exact = {name: tensor.float() for name, tensor in weights.items()}
    turned = {
        name: tensor.T.contiguous().T.requires_grad_() if tensor.ndim == 2 else tensor
        for name, tensor in exact.items()
    }
    found = []
    for given in (exact, weights, turned):
        shared.load_weights(given.items())
        found.append(shared.generate(prompts[:8], EXACT))
    assert found[0] == found[1] == found[2]
    assert turned["model.layers.0.mlp.up_proj.weight"].requires_grad


@pytest.mark.vllm
@pytest.mark.slow
def test_what_does_not_fit_is_refused_before_anything_is_copied(shared, model_dir, prompts):
    weights = weights_of(model_dir)
    shared.load_weights(weights.items())
    before = shared.generate(prompts[:4], EXACT)
    name = "model.layers.1.mlp.up_proj.weight"
    other = moved(weights, seed=7)
    missing = {key: tensor for key, tensor in other.items() if key != name}
    for wrong in (missing, {**other, "more": other[name]}, {**other, name: other[name][:-1]}):
        with pytest.raises(EngineError, match="nothing was copied"):
            shared.load_weights(wrong.items())
    assert shared.generate(prompts[:4], EXACT) == before


@pytest.mark.vllm
@pytest.mark.slow
def test_the_policy_is_neither_changed_nor_held(shared, model_dir, prompts):
    weights = moved(weights_of(model_dir), seed=8)
    before = {name: tensor.clone() for name, tensor in weights.items()}
    shared.load_weights(weights.items())
    answers = shared.generate(prompts[:4], EXACT)
    assert all(tensor.equal(before[name]) for name, tensor in weights.items())
    for tensor in weights.values():
        tensor.zero_()
    assert shared.generate(prompts[:4], EXACT) == answers


@pytest.mark.vllm
@pytest.mark.slow
def test_random_states_are_left_alone_by_reload_rehearsal_and_copy(shared, model_dir, monkeypatch):
    import numpy as np
    import torch

    def states():
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()

    monkeypatch.setattr(shared, "_copies", WeightCopies("float32", on_cpu=True))
    before = states()
    for _ in range(3):
        shared.load_weights(weights_of(model_dir).items())
    assert shared._copies.in_place
    assert states() == before


@pytest.mark.vllm
@pytest.mark.slow
def test_answers_are_compared_after_the_first_and_every_64th_copy(shared, model_dir, monkeypatch):
    compared = []
    check = shared._check_canary
    monkeypatch.setattr(shared, "_copies", WeightCopies("float32", on_cpu=True))
    weights = weights_of(model_dir)
    for number in range(CANARY_EVERY + 3):
        noting = functools.partial(noted, compared, number, check)
        monkeypatch.setattr(shared, "_check_canary", noting)
        shared.load_weights(weights.items())
    # the reload, the first that goes into the layers, the 64th after that
    assert compared == [0, 1, 1 + CANARY_EVERY]


def noted(compared, number, check, *given):
    """Compare, and remember after which copy."""
    compared.append(number)
    check(*given)


@pytest.mark.vllm
@pytest.mark.slow
def test_every_part_of_the_model_is_looked_into_within_sixteen_copies(shared, model_dir):
    weights = weights_of(model_dir)
    shared.load_weights(weights.items())
    plan, other = shared._copies._plan, moved(weights, seed=9)
    assert not complaints(plan, weights)
    for name in weights.keys() - {"lm_head.weight"}:
        (complaint,) = complaints(plan, {**weights, name: other[name]})
        layer = name.rpartition(".")[0].replace("model.", "", 1)
        joined = layer.replace("gate_proj", "gate_up_proj").replace(".up_proj", ".gate_up_proj")
        joined = re.sub("[qkv]_proj", "qkv_proj", joined)
        assert f"{joined} does not hold the policy's weights" in complaint


def complaints(plan, weights):
    """What sixteen looks find, were these the policy's weights."""
    found = []
    for turn in range(16):
        try:
            plan.check(weights, turn)
        except RuntimeError as error:
            found.append(str(error))
    return found


@pytest.mark.vllm
@pytest.mark.slow
def test_a_policy_that_diverged_is_not_called_a_bad_copy(shared, model_dir):
    weights = weights_of(model_dir)
    shared.load_weights(weights.items())
    weights["model.norm.weight"][5] = float("nan")
    found = complaints(shared._copies._plan, weights)
    assert found == ["the policy's weights are not finite; it has diverged"]


@pytest.mark.vllm
@pytest.mark.slow
def test_a_layer_or_model_that_vllm_replaced_is_found(shared, model_dir, monkeypatch):
    weights, plan = weights_of(model_dir), shared._copies._plan
    shared.load_weights(weights.items())
    (model,) = shared._llm.apply_model(lambda model: model)
    mlp = model.model.layers[1].mlp
    with monkeypatch.context() as patch:
        patch.setitem(mlp._modules, "down_proj", copy.copy(mlp.down_proj))
        (found,) = complaints(plan, weights)
    assert "layers.1.mlp.down_proj" in found
    with pytest.raises(RuntimeError, match="another model"):
        plan.check_model(copy.copy(model))


@pytest.mark.vllm
@pytest.mark.slow
def test_a_plan_that_mixes_up_two_weights_fails_its_rehearsal(
    shared, model_dir, other_model_dir, prompts, monkeypatch
):
    shared.load_weights(weights_of(model_dir).items())
    expected = shared.generate(prompts[:8], EXACT)
    (model,) = shared._llm.apply_model(lambda model: model)
    mixed = {**model.packed_modules_mapping, "qkv_proj": ["q_proj", "v_proj", "k_proj"]}
    with monkeypatch.context() as patch:
        patch.setattr(model, "packed_modules_mapping", mixed)
        patch.setattr(shared, "_copies", WeightCopies("float32", on_cpu=True))
        for folder in (other_model_dir, model_dir, other_model_dir, model_dir):
            shared.load_weights(weights_of(folder).items())
        assert shared._copies.refused == "the layers do not compute what they do after a reload"
        assert not shared._copies.in_place
    assert shared.generate(prompts[:8], EXACT) == expected


@pytest.mark.vllm
@pytest.mark.slow
def test_a_head_that_stays_as_it_was_ends_the_engine(model_dir, monkeypatch):
    engine = start("vllm", model_dir)
    weights = weights_of(model_dir)
    for _ in range(2):
        engine.load_weights(weights.items())
    targets = engine._copies._plan._targets
    monkeypatch.setattr(
        engine._copies._plan,
        "_targets",
        [Forgetful(t) if t.path == "lm_head" else t for t in targets],
    )
    with pytest.raises(EngineError, match="lm_head does not hold the policy's weights"):
        load_often(engine, weights)
    with pytest.raises(EngineError, match="failed before"):
        engine.generate(["Tom"], GREEDY)
    engine.close()


class Forgetful:
    """A part of the model that is never written to."""

    def __init__(self, target):
        self.path, self.layer, self.holds = target.path, target.layer, target.holds

    def fill(self, weights):
        """Leave everything as it is."""


def load_often(engine, weights):
    """Sixteen copies of as many policies."""
    for seed in range(16):
        engine.load_weights(moved(weights, seed).items())
