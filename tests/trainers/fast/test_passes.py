"""The written-out passes have the naive loss and the naive gradients, in float64."""

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.models import prepare_imports
from tests.trainers.fast.reference import target_log_probs
from trainers.fast import head
from trainers.fast.layout import pack
from trainers.fast.passes import WrittenOut, written_out
from trainers.logit_rules import LogitRules
from trainers.reading import Reading
from trainers.tokenization import Example

VOCABULARY = 37


def model(kind: str = "qwen2", *, tied: bool = True, dtype: torch.dtype = torch.float64) -> Any:
    prepare_imports()
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

    config_class, model_class = {
        "qwen2": (Qwen2Config, Qwen2ForCausalLM),
        "llama": (LlamaConfig, LlamaForCausalLM),
    }[kind]
    with torch.random.fork_rng():
        torch.manual_seed(5)
        made = model_class(
            config_class(
                vocab_size=VOCABULARY,
                hidden_size=24,
                intermediate_size=40,
                num_hidden_layers=3,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=512,
                initializer_range=0.4,
                tie_word_embeddings=tied,
            )
        )
        for name, parameter in made.named_parameters():
            if parameter.ndim == 1:
                torch.nn.init.normal_(parameter, 1.0 if "norm" in name else 0.0, 0.3)
    return made.to(dtype)


def passes(made: Any, dtype: torch.dtype = torch.float64) -> WrittenOut:
    written, reason = written_out(made, dtype)
    assert written is not None, reason
    return written


def gradients(made: Any) -> dict[str, torch.Tensor]:
    return {n: p.grad.clone() for n, p in made.named_parameters() if p.grad is not None}


def example(name: str, ids: list[int], supervised: list[bool]) -> Example:
    return Example(name, tuple(ids), tuple(supervised), 1, len(ids))


@st.composite
def examples(draw: st.DrawFn) -> list[Example]:
    """Examples of unequal lengths, some with a common beginning, with any masks."""
    token = st.integers(0, VOCABULARY - 1)
    start = draw(st.lists(token, max_size=80))
    made = []
    for index in range(draw(st.integers(1, 5))):
        own = draw(st.lists(token, min_size=2, max_size=90))
        ids = [*(start if draw(st.booleans()) or index == 0 else []), *own]
        mask = draw(st.lists(st.booleans(), min_size=len(ids), max_size=len(ids)))
        made.append(example(f"e{index}", ids, mask))
    made[0] = example("e0", list(made[0].token_ids), [*made[0].supervised[:-1], True])
    return made


def naive(made: Any, batch: list[Example], weights: torch.Tensor) -> tuple[float, dict]:
    made.zero_grad()
    found = [
        row if any(e.supervised[1:]) else row[:0]
        for e, row in zip(batch, target_log_probs(made, batch), strict=True)
    ]
    loss = -(torch.cat(found) * weights[: sum(map(len, found))]).sum()
    loss.backward()
    return float(loss.detach()), gradients(made)


def close(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], relative: float) -> None:
    assert one.keys() == other.keys()
    whole = max(float(g.norm()) for g in other.values())
    for name, gradient in other.items():
        assert float((one[name] - gradient).norm()) <= relative * max(
            float(gradient.norm()), 1e-3 * whole
        ), name


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["qwen2", "llama"])
@pytest.mark.parametrize("recompute", [False, True])
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(batch=examples(), chunk=st.sampled_from([1, 7, 10**6]), grain=st.sampled_from([1, 8, 64]))
def test_loss_and_gradients_are_the_naive_ones(
    kind: str, recompute: bool, batch: list[Example], chunk: int, grain: int
) -> None:
    made = model(kind, tied=kind == "qwen2")
    weights = torch.linspace(0.1, 2.0, 2000, dtype=torch.float64)
    expected, wanted = naive(made, batch, weights)
    made.zero_grad()
    written = passes(made)
    written.recompute = recompute
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(head, "_LOGITS", chunk * VOCABULARY)
        row = pack(batch, grain=grain)
        value, found = written.accumulate(
            row, lambda values, places: -(values * weights[places]).sum()
        )
        again = written.log_probs(row)
        assert torch.allclose(again.log_probs, found.log_probs, rtol=1e-12, atol=1e-12)
    assert float(value) == pytest.approx(expected, rel=1e-10)
    close(gradients(made), wanted, 1e-10)


def random_batch(count: int, longest: int) -> list[Example]:
    generator = torch.Generator().manual_seed(count)
    batch = []
    for index in range(count):
        length = int(torch.randint(longest // 2, longest, (1,), generator=generator))
        ids = torch.randint(0, VOCABULARY, (length,), generator=generator).tolist()
        ids[:9] = range(9)
        batch.append(example(f"r{index}", ids, [i > 12 for i in range(length)]))
    return batch


def test_any_split_adds_up_to_the_same_gradient() -> None:
    made, batch = model(), random_batch(6, 150)
    _, wanted = naive(made, batch, torch.ones(2000, dtype=torch.float64))
    for parts in ([batch[:1], batch[1:]], [[e] for e in batch], [batch[::2], batch[1::2]]):
        made.zero_grad()
        written = passes(made)
        for part in parts:
            written.accumulate(pack(part), lambda values, _: -values.sum())
        close(gradients(made), wanted, 1e-10)


def test_the_shared_prefix_is_computed_once_and_changes_nothing() -> None:
    made, batch = model(), random_batch(4, 120)
    shared, apart = pack(batch), pack(batch, share_prefix=False)
    assert shared.prefix == 9
    assert apart.tokens - shared.tokens == 3 * 9
    written = passes(made)
    one, other = written.log_probs(shared).log_probs, written.log_probs(apart).log_probs
    assert torch.allclose(one, other, rtol=1e-12, atol=1e-12)


def test_numbers_of_tokens_and_targets_recur_where_shapes_are_compiled() -> None:
    rows = [pack(random_batch(count, 150), grain=64) for count in range(2, 9)]
    assert passes(model(dtype=torch.float32), torch.bfloat16).grain == 64
    assert passes(model()).grain == 1
    assert all(len(row.ids) % 64 == len(row.read) % 64 == 0 for row in rows)
    assert all(block.longest % 64 == 0 for row in rows for block in row.blocks)
    assert all(row.tokens - row.filled < 128 for row in rows)


def test_examples_never_see_each_other() -> None:
    batch = random_batch(3, 150)
    written = passes(model())
    before = written.log_probs(pack(batch, share_prefix=False)).log_probs
    other = example("x", [*range(36, -1, -1)] * 2, [True] * 74)
    row = pack([batch[0], other, batch[2]], share_prefix=False)
    after = written.log_probs(row).log_probs
    first = pack(batch, share_prefix=False)
    for index in (0, 2):
        own = before[first.owners == index]
        assert torch.allclose(own, after[row.owners == index], rtol=1e-13, atol=1e-13)


def test_a_change_of_the_weights_is_noticed() -> None:
    made, batch = model(), random_batch(2, 60)
    written = passes(made)
    before = written.log_probs(pack(batch)).log_probs
    with torch.no_grad():
        made.model.layers[1].self_attn.k_proj.weight.mul_(1.5)
    assert not torch.allclose(before, written.log_probs(pack(batch)).log_probs)


def test_frozen_parameters_get_no_gradient() -> None:
    made = model(tied=False)
    frozen = ("model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight", "model.norm.weight")
    for name, parameter in made.named_parameters():
        parameter.requires_grad_(name not in frozen)
    passes(made).accumulate(pack(random_batch(2, 60)), lambda values, _: -values.sum())
    assert {n for n, p in made.named_parameters() if p.grad is None} == set(frozen)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_bfloat16_stays_near_float32(temperature: float) -> None:
    reading = Reading(LogitRules(temperature=temperature))
    batch = random_batch(4, 120)
    results = {}
    for dtype in (torch.float32, torch.bfloat16):
        made = model(dtype=torch.float32)
        with torch.no_grad():
            for parameter in made.parameters():
                if parameter.ndim == 2:
                    parameter.mul_(0.3)
        value, _ = passes(made, dtype).accumulate(
            pack(batch), lambda v, _: -v.sum() / len(v), reading
        )
        results[dtype] = float(value), gradients(made)
    (exact, wanted), (near, found) = results[torch.float32], results[torch.bfloat16]
    # 8 bits of mantissa: single products are off by 0.4%, sums of them by less
    assert near == pytest.approx(exact, rel=5e-3)
    flat = torch.cat([wanted[n].flatten() for n in wanted])
    error = torch.cat([(found[n] - wanted[n]).flatten() for n in wanted])
    assert float(error.norm() / flat.norm()) < 0.03


def test_a_row_without_targets_has_no_loss_and_no_gradient() -> None:
    made = model()
    value, found = passes(made).accumulate(
        pack([example("n", [1, 2, 3], [False] * 3)]), lambda values, _: -values.sum()
    )
    assert float(value) == 0.0
    assert len(found.log_probs) == 0
    assert all(p.grad is None or not p.grad.any() for p in made.parameters())


def test_the_same_row_gives_the_same_bits() -> None:
    batch = random_batch(5, 150)
    runs = []
    for _ in range(2):
        made = model(dtype=torch.float32)
        passes(made, torch.bfloat16).accumulate(pack(batch), lambda values, _: -values.sum())
        runs.append(gradients(made))
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"hidden_act": "gelu"}, "gelu"),
        ({"model_type": "opt"}, "opt"),
        ({"attention_dropout": 0.1}, "dropout"),
        ({"use_sliding_window": True}, "sliding"),
    ],
)
def test_models_that_differ_keep_their_own_passes(change: dict[str, Any], reason: str) -> None:
    made = model()
    for name, value in change.items():
        setattr(made.config, name, value)
    written, text = written_out(made, torch.float64)
    assert written is None
    assert reason in text


def test_an_example_of_one_token_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to predict"):
        pack([example("short", [4], [False])])
