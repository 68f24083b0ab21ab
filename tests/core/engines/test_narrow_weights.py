"""Weights in bfloat16 are compared with an engine in the precision that it computes in."""

from pathlib import Path

import torch

from core.engines.weights import WeightContract
from tests.core.engines.conftest import start, weights_of

IDS = [(7919 * place + 13) % 280 for place in range(40)]


def test_beside_an_engine_in_float32_they_are_widened(model_dir: Path) -> None:
    contract = WeightContract(model_dir)
    narrow = {name: tensor.bfloat16() for name, tensor in weights_of(model_dir).items()}
    wide = {name: tensor.float() for name, tensor in narrow.items()}
    wanted = contract.reference_logprobs(wide, IDS, "float32")
    assert torch.equal(contract.reference_logprobs(narrow, IDS, "float32"), wanted)
    in_bfloat16 = contract.reference_logprobs(narrow, IDS, "bfloat16")
    # what the comparison has to tell a wrong copy by, 0.002 nats, is less than bfloat16's rounding
    assert 2e-3 < float((in_bfloat16 - wanted).abs().mean()) < 0.5


def test_an_engine_in_float32_holds_their_values_exactly(model_dir: Path) -> None:
    narrow = {name: tensor.bfloat16() for name, tensor in weights_of(model_dir).items()}
    engine = start("hf", model_dir)
    engine.load_weights(narrow.items())
    held = dict(engine._model.state_dict())
    engine.close()
    assert all(torch.equal(held[name], tensor.float()) for name, tensor in narrow.items())
