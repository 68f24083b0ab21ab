"""`a5ctl model fits`: a table, its JSON, and one sentence for what cannot be read."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from a5ctl.app import app

GIB = 2**30


def run(*arguments: str) -> Result:
    environment = {"COLUMNS": "100", "NO_COLOR": "1", "HF_HUB_OFFLINE": "1"}
    return CliRunner(env=environment).invoke(app, ["model", "fits", *arguments])


def fits(*arguments: str) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def one(found: dict[str, Any], **wanted: object) -> dict[str, Any]:
    (fit,) = [f for f in found["fits"] if all(f[name] == v for name, v in wanted.items())]
    return dict(fit)


def test_the_table_has_a_line_for_each_way_and_a_column_for_each_card() -> None:
    result = run("qwen2.5-1.5b", "--gpu-memory", "24,40")
    assert result.exit_code == 0, result.output
    assert "1,544 million parameters" in result.output
    assert re.search(r"^method +precision +checkpointing +24 GB +40 GB$", result.output, re.M)
    lines = [line for line in result.output.splitlines() if re.match(r"(sft|dpo|grpo) ", line)]
    assert len(lines) == 4 * 2 * 2
    assert re.search(r"^sft +mixed +on +no, [\d.]+ +[\d.]+ at 16k$", result.output, re.M)
    assert "24 GB: a5ctl run sft --precision stochastic" in result.output
    assert "40 GB: a5ctl run sft\n" in result.output
    assert "no GPU has measured them" in " ".join(result.output.split())


def test_the_bars_of_the_first_users_cards() -> None:
    half = fits("qwen2.5-0.5b", "--gpu-memory", "24")
    for method in ("sft", "grpo", "grpo --kl 0.01"):
        for again in (False, True):
            assert one(half, method=method, precision="mixed", checkpointing=again)["fits"]
    larger = fits("qwen2.5-1.5b", "--gpu-memory", "40,80")
    for method in ("sft", "grpo"):
        for gpu in (40.0, 80.0):
            way = {"method": method, "precision": "mixed", "checkpointing": True}
            fit = one(larger, **way, gpu_memory_gib=gpu)
            assert fit["fits"]
            assert fit["peak_bytes"] < gpu * GIB
            assert fit["options"] == [method]


def test_figures_add_up_and_state_is_what_adamw_needs() -> None:
    found = fits("qwen2.5-0.5b", "--gpu-memory", "80", "--max-length", "2048")
    parts = one(found, method="sft", precision="mixed", checkpointing=False)["training_bytes"]
    assert parts["weights"] + parts["gradients"] + parts["moments"] == 16 * found["parameters"]
    assert not found["measured"]
    narrow = one(found, method="sft", precision="stochastic", checkpointing=False)
    assert 2 * narrow["training_bytes"]["weights"] == parts["weights"]
    assert narrow["options"] == ["sft", "--precision", "stochastic"]


def test_what_fits_nowhere_has_no_options() -> None:
    found = fits("qwen2.5-1.5b", "--gpu-memory", "8")
    assert all(not fit["fits"] and fit["options"] is None for fit in found["fits"])
    assert "8 GB: grpo does not fit" in run("qwen2.5-1.5b", "--gpu-memory", "8").output


def test_a_folder_needs_no_more_than_its_configuration(tmp_path: Path) -> None:
    config = {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "vocab_size": 512}
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": True}
    (tmp_path / "config.json").write_text(json.dumps({**config, **sizes, **heads}))
    found = fits(str(tmp_path), "--gpu-memory", "24", "--engine", "hf")
    attention = 64 * (64 + 32 + 32 + 64) + 64 + 2 * 32
    assert found["parameters"] == 512 * 64 + 2 * (attention + 3 * 64 * 128 + 2 * 64) + 64
    assert all(fit["fits"] for fit in found["fits"])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nonsense",), "neither a shape (tiny, qwen2.5-0.5b"),
        (("Qwen/Qwen2.5-7B-not-there",), "could not be fetched from the model hub"),
        (("tiny", "--gpu-memory", "x"), "'x' is no list of sizes"),
        (("tiny", "--gpu-memory", "0.5"), "between 1 and 10,000"),
        (("tiny", "--engine", "magic"), "use vllm or hf"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(arguments: tuple[str, ...], told: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert told in " ".join(result.output.split())


def test_a_folder_without_a_configuration_is_refused(tmp_path: Path) -> None:
    result = run(str(tmp_path))
    assert result.exit_code == 2
    assert "cannot be read" in " ".join(result.output.split())
