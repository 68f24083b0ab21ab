"""Pretraining: the lean forward pass is Qwen2's, the loss falls, a killed run goes on unchanged."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.errors import UserError
from core.models import prepare_imports
from trainers import pretraining
from trainers.muon import orthogonalised
from trainers.pretraining import PretrainingConfig, PretrainingProgress, pretrain
from trainers.qwen2_forward import forward
from trainers.random_model import ModelShape, make_model

SMALL = ModelShape(
    vocab_size=400,
    tokenizer_size=400,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
)
SHORT = PretrainingConfig(
    tokens=9_000, seed=5, step_tokens=1024, micro_tokens=512, warmup_tokens=1_000, save_every=3
)


@pytest.fixture(autouse=True)
def _short_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretraining, "TOKENIZER_DOCUMENTS", 200)
    monkeypatch.setattr(pretraining, "_POOL", 24)
    torch.set_num_threads(1)


class KilledError(Exception):
    pass


def test_forward_pass_equals_that_of_transformers(tmp_path: Path) -> None:
    prepare_imports()
    from transformers import AutoModelForCausalLM

    folder = make_model(
        "tiny", tmp_path / "m", texts=["12 + 7 = 19"], layers=2, dtype=torch.float32
    )
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    weights = {k: v for k, v in model.state_dict().items() if k != "lm_head.weight"}
    for name, tensor in weights.items():
        if tensor.ndim == 1:  # ones and zeros would hide a missing norm or bias
            tensor.normal_(1.0, 0.2, generator=torch.Generator().manual_seed(len(name)))
    ids = torch.randint(0, 258, (3, 40), generator=torch.Generator().manual_seed(0))
    shape = replace(pretraining.SHAPES["tiny"], num_hidden_layers=2)
    with torch.no_grad():
        torch.testing.assert_close(forward(weights, shape, ids), model(ids).logits)


@pytest.mark.parametrize("size", [(48, 16), (16, 48), (32, 32)])
def test_orthogonalised_matrix_has_equal_singular_values_and_the_same_directions(size) -> None:
    matrix = torch.randn(size, generator=torch.Generator().manual_seed(1))
    result = orthogonalised(matrix)
    values = torch.linalg.svdvals(result)
    assert values.max() < 1.3
    assert values.median() > 0.6
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    alignment = torch.diagonal(left.T @ result @ right.T)
    assert (alignment > 0).all()


@pytest.mark.slow
def test_loss_falls_and_the_model_folder_is_complete(tmp_path: Path) -> None:
    seen: list[PretrainingProgress] = []
    config = replace(SHORT, tokens=40_000, save_every=1000)
    held_out = pretrain(tmp_path / "out", config, shape=SMALL, on_step=seen.append)
    assert seen[0].loss > 5.5
    assert held_out < 4.5
    assert seen[-1].tokens >= config.tokens
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }


@pytest.mark.slow
def test_killed_run_goes_on_with_the_same_numbers(tmp_path: Path) -> None:
    whole: list[PretrainingProgress] = []
    expected = pretrain(tmp_path / "whole", SHORT, shape=SMALL, on_step=whole.append)

    def kill_at_five(state: PretrainingProgress) -> None:
        if state.step == 5:
            raise KilledError

    with pytest.raises(KilledError):
        pretrain(tmp_path / "killed", SHORT, shape=SMALL, on_step=kill_at_five)
    rest: list[PretrainingProgress] = []
    result = pretrain(tmp_path / "killed", SHORT, shape=SMALL, resume=True, on_step=rest.append)
    assert rest[0].step == 4
    assert [(s.step, s.tokens, s.loss) for s in rest] == [
        (s.step, s.tokens, s.loss) for s in whole[3:]
    ]
    assert result == expected
    weights = [(tmp_path / run / "model.safetensors").read_bytes() for run in ("whole", "killed")]
    assert weights[0] == weights[1]


def test_nothing_to_resume_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no saved pretraining state"):
        pretrain(tmp_path, SHORT, shape=SMALL, resume=True)


def test_resume_with_other_settings_is_refused(tmp_path: Path) -> None:
    def kill_at_four(state: PretrainingProgress) -> None:
        if state.step == 4:
            raise KilledError

    with pytest.raises(KilledError):
        pretrain(tmp_path / "out", SHORT, shape=SMALL, on_step=kill_at_four)
    with pytest.raises(UserError, match="resume with the same"):
        pretrain(tmp_path / "out", replace(SHORT, seed=6), shape=SMALL, resume=True)
