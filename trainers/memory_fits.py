"""Which ways to train a model fit into the memory of a GPU, before there is one.

Everything is reckoned from the model's configuration, as a run on that GPU would: rows are taken to
be full, layers not to be compiled, and the engine to share the GPU and to sleep while the policy
learns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch

from core.config.schema import ActivationCheckpointing
from core.engines.footprint import EngineLoad, engine_footprint
from core.engines.vllm_setup import MAX_SEQUENCES
from core.errors import UserError, first_line
from core.hub import cached_model
from core.models import BUILTIN_MODEL, BUILTIN_PATH, is_hub_id, load_config, prepare_imports
from core.units import GIB
from trainers.memory import MemoryPlan, plan_memory
from trainers.memory_beside import Beside, reference_bytes
from trainers.memory_cuda import UNMEASURED, Reads
from trainers.memory_estimate import TrainedModel
from trainers.packed.prepare import structural_refusal
from trainers.precision import MIXED, STOCHASTIC, Precision
from trainers.random_model import SHAPES, qwen2_config

# responses that the engine should at least have cache for in its own turn
_FEWEST_SEQUENCES = 16


class FitMethod(StrEnum):
    """What is asked about; the value is how a run of it begins."""

    SFT = "sft"
    DPO = "dpo"
    GRPO = "grpo"
    GRPO_KL = "grpo --kl 0.01"

    @property
    def reads(self) -> Reads:
        """What it computes of logits."""
        if self is FitMethod.SFT:
            return Reads.LOSS
        return Reads.TOKENS if self is FitMethod.DPO else Reads.ENTROPIES


@dataclass(frozen=True, slots=True)
class Asked:
    """What a table of fits is about.

    Attributes:
        model: As it was named.
        config: Of transformers.
        parameters: Numbers in the weights, tied ones once.
        gpus: Memory of each GPU, in GiB.
        longest: Tokens of the longest example, prompt included.
        cap: Tokens of a response while the engine works.
        engine: `vllm` or `hf`.
        packed: The architecture takes packed rows.
    """

    model: str
    config: Any
    parameters: int
    gpus: tuple[float, ...]
    longest: int = 1024
    cap: int = 1024
    engine: str = "vllm"
    packed: bool = True


@dataclass(frozen=True, slots=True)
class Fit:
    """One way to train on one GPU.

    Attributes:
        method: How it learns.
        precision: Number formats.
        checkpointing: Layers compute their activations again.
        gpu: Memory of the GPU, in GiB.
        plan: What a run would decide, checkpointing given.
        peak: Bytes that the GPU has to hold at the fullest moment, CUDA's own included.
    """

    method: FitMethod
    precision: Precision
    checkpointing: bool
    gpu: float
    plan: MemoryPlan
    peak: int

    @property
    def fits(self) -> bool:
        """With some room left."""
        return self.plan.fits

    @property
    def options(self) -> tuple[str, ...]:
        """What to type for it behind `a5ctl run`; what a run decides by itself is left out."""
        given: tuple[str, ...] = tuple(self.method.value.split())
        return given if self.precision is MIXED else (*given, "--precision", self.precision.name)


def find_fits(asked: Asked) -> list[Fit]:
    """Every method, precision and GPU, with and without checkpointing."""
    return [
        _fit(asked, method, precision, checkpointing, gpu)
        for method in FitMethod
        for precision in (MIXED, STOCHASTIC)
        for checkpointing in (False, True)
        for gpu in asked.gpus
    ]


def chosen(fits: Sequence[Fit], method: FitMethod, gpu: float) -> Fit | None:
    """Of one method on one GPU, the way that changes least; None where none fits."""
    return next((f for f in fits if (f.method, f.gpu) == (method, gpu) and f.fits), None)


def read_model(name: str) -> tuple[Any, int, bool]:
    """Configuration of a model, its parameters, and whether it takes packed rows.

    Args:
        name: A shape that `a5ctl model make` knows, `builtin`, a folder with a config.json, or a
            hub id, of which no more than the configuration is fetched.

    Raises:
        UserError: there is no such model, or transformers knows no such architecture.
    """
    prepare_imports()
    from transformers import AutoModelForCausalLM

    config = _config(name)
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
    except (ValueError, KeyError, AttributeError) as error:
        raise UserError(
            f"model {name!r}: transformers builds no causal language model from its config.json "
            f"({first_line(error)})"
        ) from error
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return model.config, parameters, structural_refusal(model) is None


def _fit(
    asked: Asked, method: FitMethod, precision: Precision, checkpointing: bool, gpu: float
) -> Fit:
    model = TrainedModel(
        asked.config,
        asked.parameters,
        "cuda",
        precision,
        packed=asked.packed,
        reads=method.reads,
        fused=True,
    )
    weights = asked.parameters * precision.weight_bytes
    usable = int(UNMEASURED.card * gpu * GIB) - UNMEASURED.context
    switch = ActivationCheckpointing.ON if checkpointing else ActivationCheckpointing.OFF
    plan = plan_memory(
        model,
        longest=asked.longest,
        wanted_tokens=None,
        wanted=switch,
        available=usable - weights,
        beside=_beside(asked, model, method),
    )
    return Fit(
        method, precision, checkpointing, gpu, plan, weights + plan.needed + UNMEASURED.context
    )


def _beside(asked: Asked, model: TrainedModel, method: FitMethod) -> Beside:
    load = EngineLoad(
        name=asked.engine,
        config=asked.config,
        parameters=asked.parameters,
        dtype="bfloat16",
        tokens=asked.longest + asked.cap,
        sequences=MAX_SEQUENCES,
    )
    cache = _FEWEST_SEQUENCES * load.sequence_bytes
    found = engine_footprint(load, cache=cache, sleeps=True)
    tied = method is FitMethod.GRPO_KL
    return Beside(
        engine=found.asleep,
        reference=reference_bytes(model) if tied else 0,
        engine_awake=found.awake,
    )


def _config(name: str) -> Any:
    if name in SHAPES:
        return qwen2_config(SHAPES[name])
    if not (is_hub_id(name) or name == BUILTIN_MODEL or Path(name).expanduser().is_dir()):
        raise UserError(
            f"model {name!r} is neither a shape ({', '.join(SHAPES)}), nor {BUILTIN_MODEL}, nor an "
            "existing folder, nor a hub id such as Qwen/Qwen2.5-Math-1.5B; check the name"
        )
    # transformers itself would try an unreachable hub for half a minute
    where = cached_model(name, ("config.json",)) if is_hub_id(name) else _folder(name)
    if not (where / "config.json").is_file():
        raise UserError(
            f"the configuration of model {name!r} cannot be read: {where} has no config.json; give "
            f"another folder, a hub id, or one of {', '.join(SHAPES)}"
        )
    return load_config(where).get_text_config()


def _folder(name: str) -> Path:
    """Of a model whose weights need not be there."""
    return BUILTIN_PATH if name == BUILTIN_MODEL else Path(name).expanduser()
