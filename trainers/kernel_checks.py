"""Kernels that were asked for and cannot be had here, as far as that is known before a run."""

import importlib.util

from core.config.schema import Attention, Compile, RunConfig, RunKind
from core.errors import UserError
from trainers.distributed.checks import processes

_VARIABLE_LENGTH = (Attention.FLASH, Attention.VARLEN)


def check_kernels(config: RunConfig, device: str) -> None:
    """Refuse kernels that were asked for by name and cannot work on this machine.

    What only a trial on the device can tell is found when the model is loaded.

    Args:
        config: With every open setting filled in.
        device: `cpu` or `cuda`, as chosen for this machine.

    Raises:
        UserError: names the setting, why, and what to use.
    """
    if config.kind is RunKind.EVAL:
        return
    train = config.train
    if train.attention in _VARIABLE_LENGTH:
        asked = f"--attention {train.attention}"
        if (reason := _unfit(config, device)) is not None:
            raise UserError(f"{asked} cannot be had: {reason}; use --attention auto")
    if train.attention is Attention.FLASH and importlib.util.find_spec("flash_attn") is None:
        raise UserError(
            "--attention flash needs the package flash-attn, which is not installed; install "
            "a5ctl[flash], or use --attention auto"
        )
    if train.compile is Compile.ON:
        if device != "cuda":
            raise UserError(
                f"--compile on needs CUDA, and this run trains on {device}, whose passes are "
                "written out; use --compile auto"
            )
        if processes(config) > 1:
            raise UserError(
                "--compile on works in one process, and several share the weights; use "
                "--compile auto or --gpus 1"
            )


def _unfit(config: RunConfig, device: str) -> str | None:
    if device != "cuda":
        return f"variable-length kernels need CUDA, and this run trains on {device}"
    if processes(config) > 1:
        return "several processes share the weights, and their rows are padded"
    if config.train.precision == "float32":
        return "variable-length kernels compute in half precision, and --precision is float32"
    return None
