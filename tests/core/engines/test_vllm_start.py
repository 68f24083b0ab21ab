"""Starting vLLM again and again: silence, second engines, failures that end an engine."""

import dataclasses
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from core.engines.base import EngineError, Sampling
from core.engines.gpu_options import GpuOptions, Graphs, vllm_options
from core.models import prepare_imports
from tests.core.engines.conftest import start, weights_of

pytestmark = [pytest.mark.vllm, pytest.mark.slow]
GREEDY = Sampling(max_tokens=32, stop=("</answer>",))


def test_nothing_is_printed(model_dir):
    code = f"""
        from pathlib import Path
        from core.engines.base import Sampling
        from core.engines.vllm import VllmEngine
        engine = VllmEngine(
            Path({str(model_dir)!r}), dtype="float32", device="cpu", max_model_len=256
        )
        engine.generate(["Tom"], Sampling(max_tokens=4))
        engine.close()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_a_copy_that_goes_wrong_in_silence_is_found_and_ends_the_engine(
    model_dir, other_model_dir, monkeypatch
):
    engine = start("vllm", model_dir)
    rpc = engine._llm.collective_rpc

    def forgetful(method, kwargs):
        # what an outdated list of names did once: one layer stays as it was
        kept = [(n, t) for n, t in kwargs["weights_iterator"] if "layers.1.mlp.down" not in n]
        return rpc(method, kwargs={"weights_iterator": iter(kept)})

    monkeypatch.setattr(engine._llm, "collective_rpc", forgetful)
    with pytest.raises(EngineError, match="differ from the policy's"):
        engine.load_weights(weights_of(other_model_dir).items())
    with pytest.raises(EngineError, match="failed before"):
        engine.generate(["Tom"], GREEDY)
    engine.close()


def test_dummy_weights_cannot_answer_and_a_second_engine_can_follow(model_dir, prompts):
    first = start("vllm", model_dir, dummy_weights=True)
    with pytest.raises(EngineError, match="call load_weights first"):
        first.generate(prompts[:1], GREEDY)
    first.load_weights(weights_of(model_dir).items())
    answers = first.generate(prompts[:4], GREEDY)
    first.close()
    second = start("vllm", model_dir)
    assert second.generate(prompts[:4], GREEDY) == answers
    second.close()


def test_bfloat16_copies_pass_the_check(model_dir, other_model_dir, prompts):
    engine = start("vllm", model_dir, dtype="bfloat16", dummy_weights=True)
    engine.load_weights(weights_of(other_model_dir).items())
    copied = engine.generate(prompts[:8], GREEDY)
    engine.close()
    fresh = start("vllm", other_model_dir, dtype="bfloat16")
    assert fresh.generate(prompts[:8], GREEDY) == copied
    fresh.close()


def test_start_that_fails_says_why(model_dir):
    with pytest.raises(EngineError, match="could not start"):
        start("vllm", model_dir, dtype="no-such-type")


@pytest.mark.parametrize("graphs", list(Graphs))
def test_vllm_knows_every_option_that_it_gets_on_a_gpu(graphs):
    prepare_imports()
    from vllm.config import CompilationConfig
    from vllm.engine.arg_utils import EngineArgs

    options = vllm_options(GpuOptions(cache_bytes=2**30, sleeps=True, graphs=graphs), 0.4)
    assert options.keys() <= {field.name for field in dataclasses.fields(EngineArgs)}
    CompilationConfig(**options.get("compilation_config", {}))
