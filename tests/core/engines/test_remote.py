"""An engine in another process: the same responses and refusals, and no process left behind."""

import os
from functools import partial
from pathlib import Path

import pytest

from core.engines.base import EngineError, Sampling
from core.engines.hf import HfEngine
from core.engines.remote import RemoteEngine
from core.engines.select import EngineChoice, build_engine
from core.errors import UserError
from core.pretrained import load_causal_lm
from tests.models import write_model

SAMPLING = Sampling(temperature=0.0, max_tokens=8, stop=(), n=1, seed=0)
PROMPTS = ["Question: Tom has 3 apples", "A train goes 60 miles"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("remote") / "model")


def start(model: Path) -> RemoteEngine:
    choice = EngineChoice("hf", "", "")
    build = partial(
        build_engine, choice, model, dtype="float32", device="cpu", max_model_len=64,
        dummy_weights=True,
    )  # fmt: skip
    return RemoteEngine(build, {"OMP_NUM_THREADS": "1"})


@pytest.mark.slow
def test_it_is_the_same_engine_elsewhere(model: Path) -> None:
    local = HfEngine(model, dtype="float32", device="cpu", max_model_len=64)
    remote = start(model)
    try:
        assert (remote.name, remote.dtype, remote.max_model_len) == ("hf", "float32", 64)
        assert remote.version == local.version
        remote.load_weights(load_causal_lm(model, "float32").state_dict().items())
        seen: list[tuple[int, int]] = []
        found = remote.generate(PROMPTS, SAMPLING, lambda done, total: seen.append((done, total)))
        assert found == local.generate(PROMPTS, SAMPLING)
        assert seen[-1] == (2, 2)
        with pytest.raises(UserError, match="tokens"):
            remote.generate(["Question: " * 80], SAMPLING)
        with pytest.raises(EngineError, match=r"lm_head|embed_tokens|layers"):
            remote.load_weights([])
        assert remote.generate(PROMPTS, SAMPLING) == found
        os.kill(remote._process.pid or 0, 9)
        with pytest.raises(EngineError, match="process"):
            remote.generate(PROMPTS, SAMPLING)
    finally:
        remote.close()
        remote.close()
    assert not remote._process.is_alive()


@pytest.mark.slow
def test_an_engine_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        start(tmp_path / "nowhere")
