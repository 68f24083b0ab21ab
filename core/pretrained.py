"""Loading a causal language model from a folder, with every weight found or a clear refusal."""

from pathlib import Path
from typing import Any

from core.errors import UserError, first_line
from core.models import prepare_imports
from core.quiet_transformers import quiet_transformers


def load_causal_lm(folder: Path, dtype: str) -> Any:
    """Load a checked model folder with transformers, on CPU.

    transformers fills weights that it does not find with random numbers and only warns; here that
    is an error, because everything measured afterwards would be wrong.

    Args:
        folder: Holds config.json, safetensors and a tokenizer.
        dtype: Name of a torch dtype for the parameters.

    Raises:
        UserError: the architecture is unknown, or weights are missing or have other shapes.
    """
    prepare_imports()
    import torch
    from transformers import AutoModelForCausalLM

    try:
        with quiet_transformers():
            model, found = AutoModelForCausalLM.from_pretrained(
                str(folder),
                dtype=getattr(torch, dtype),
                attn_implementation="sdpa",
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,  # reported below, by name
                output_loading_info=True,
            )
    except Exception as error:  # models raise many unrelated types for a wrong configuration
        reason = first_line(error).split(". ")[0].rstrip(".")
        raise UserError(f"model {folder} cannot be loaded: {reason}; check the folder") from error
    _check_complete(folder, found)
    return model


def _check_complete(folder: Path, found: dict[str, Any]) -> None:
    missing = sorted(found["missing_keys"])
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(
            f"model {folder} lacks the weight {missing[0]}{more}, which its config.json asks for; "
            "get the whole model again, or correct config.json"
        )
    mismatched = sorted(found["mismatched_keys"])
    if mismatched:
        name, stored, wanted = mismatched[0]
        raise UserError(
            f"model {folder} does not fit its config.json: the weight {name} has shape "
            f"{tuple(stored)} instead of {tuple(wanted)}; correct config.json or the weights"
        )
