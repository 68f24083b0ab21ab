"""Which engine a machine gets."""

import subprocess
import sys

import pytest

from core.engines import select, vllm_setup
from core.engines.base import EngineError
from core.engines.select import EngineChoice, check_engine, choose_engine
from core.errors import UserError
from core.models import BUILTIN_PATH

HF = EngineChoice("hf", "5", "it was asked for")
VLLM = EngineChoice("vllm", "0.32.0", "it was asked for")


def test_vllm_is_taken_where_it_is_installed(monkeypatch):
    monkeypatch.setattr(select, "vllm_version", lambda: "0.32.0")
    choice = choose_engine("auto")
    assert (choice.name, choice.version) == ("vllm", "0.32.0")


def test_transformers_is_the_fallback_and_says_why(monkeypatch):
    monkeypatch.setattr(select, "vllm_version", lambda: None)
    choice = choose_engine("auto")
    assert choice.name == "hf"
    assert "vLLM is not installed" in choice.reason


def test_missing_vllm_that_was_asked_for_is_refused_with_the_command(monkeypatch):
    monkeypatch.setattr(select, "vllm_version", lambda: None)
    with pytest.raises(UserError, match=r"install a5ctl\[gpu\]"):
        choose_engine("vllm")


def test_unknown_name_is_refused():
    with pytest.raises(UserError, match="choose auto, vllm or hf"):
        choose_engine("sglang")


def test_choosing_imports_neither_torch_nor_vllm():
    code = (
        "import sys; from core.engines.select import choose_engine; choose_engine();"
        "sys.exit(bool({'torch', 'vllm', 'transformers'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_positions_are_known_before_an_engine_starts():
    settings = {"dtype": "float32", "device": "cpu"}
    assert check_engine(HF, BUILTIN_PATH, max_model_len=300, **settings) == 300
    limit = check_engine(HF, BUILTIN_PATH, max_model_len=10**9, **settings)
    assert 300 < limit < 10**9


def test_memory_for_a_response_is_looked_at_before_vllm_starts(monkeypatch):
    monkeypatch.setattr(vllm_setup, "_free_memory", lambda: 1 << 20)
    settings = {"dtype": "float32", "max_model_len": 300}
    with pytest.raises(EngineError, match="only 1 MiB are free"):
        check_engine(VLLM, BUILTIN_PATH, device="cpu", **settings)
    assert check_engine(VLLM, BUILTIN_PATH, device="cuda", **settings) == 300
    assert check_engine(HF, BUILTIN_PATH, device="cpu", **settings) == 300
