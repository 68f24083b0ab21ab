"""Which engine a machine gets."""

import subprocess
import sys

import pytest

from core.engines import select
from core.engines.select import choose_engine
from core.errors import UserError


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
