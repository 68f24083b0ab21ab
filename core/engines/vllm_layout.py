"""Where each weight of a checkpoint lies in a loaded vLLM model, found by names and shapes.

vLLM joins some matrices: query, key and value, or gate and up. A model that holds anything of
another kind than those known here gets no plan, and keeps to vLLM's own reload.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from core.engines.vllm_targets import Kept, LookedUp, Packed, PackedTable, Target
from core.engines.weights import INPUT_EMBEDDING, OUTPUT_HEAD

if TYPE_CHECKING:
    import torch

Shapes = Mapping[str, tuple[int, ...]]


class UnknownLayoutError(Exception):
    """The model holds something whose place or form is not known here."""


def find_targets(model: Any, shapes: Shapes, *, tied: bool, dtype: "torch.dtype") -> list[Target]:
    """Plan the copy into a loaded model; what is packed from a parameter comes after it.

    Args:
        model: vLLM's model, on the CPU.
        shapes: Name and shape of every weight of the checkpoint.
        tied: The output head is the input embedding, and what is given for it is not read.
        dtype: The engine's precision.

    Raises:
        UnknownLayoutError: a weight has no place, or a part of the model is of a kind that is not
            known here.
    """
    from vllm.platforms import current_platform

    if not current_platform.is_cpu() or current_platform.is_zen_cpu():
        raise UnknownLayoutError("only vLLM's own kernels for CPUs are known")
    homes = _homes(model, [n for n in shapes if not (tied and n == OUTPUT_HEAD)])
    targets: list[Target] = []
    for home, names in homes.items():
        targets.append(_target(model, home, names, shapes, dtype))
    _check_complete(model, set(homes) | _shared_head(model, tied), targets)
    return [*targets, *_tables(model)]


def _homes(model: Any, names: list[str]) -> dict[str, tuple[str, ...]]:
    """vLLM's parameters, and the weights that fill each, in order."""
    joined = getattr(model, "packed_modules_mapping", {})
    order = {part: (whole, parts) for whole, parts in joined.items() for part in parts}
    homes: dict[str, tuple[str, ...]] = {}
    for name in names:
        path, _, parameter = name.rpartition(".")
        above, _, module = path.rpartition(".")
        if module not in order:
            homes[name] = (name,)
            continue
        whole, parts = order[module]
        homes[f"{above}.{whole}.{parameter}"] = tuple(f"{above}.{p}.{parameter}" for p in parts)
    missing = {name for given in homes.values() for name in given} - set(names)
    if missing:
        raise UnknownLayoutError(f"{min(missing)} is missing beside its neighbours")
    return homes


def _target(
    model: Any, home: str, names: tuple[str, ...], shapes: Shapes, dtype: "torch.dtype"
) -> Target:
    path, _, own = home.rpartition(".")
    try:
        layer, parameter = model.get_submodule(path), model.get_parameter(home)
    except AttributeError:
        raise UnknownLayoutError(f"the model has no {home}") from None
    rows = sum(shapes[name][0] for name in names)
    rest = {shapes[name][1:] for name in names}
    if len(rest) != 1 or getattr(layer, "tp_size", 1) != 1 or parameter.device.type != "cpu":
        raise UnknownLayoutError(f"{home} is divided in another way")
    (others,) = rest
    if own == "weight" and _is_linear(layer) and parameter.numel() == 0:
        if sum(layer.output_partition_sizes) != rows or len(others) != 1:
            raise UnknownLayoutError(f"{home} has another shape")
        return Packed(path, layer, names, rows, others[0], dtype)
    wanted = tuple(parameter.shape)
    padded = _is_table(layer) and wanted[1:] == others and wanted[0] >= rows
    if not padded and wanted != (rows, *others):
        raise UnknownLayoutError(f"{home} has another shape")
    return Kept(path, layer, own, names, dtype)


def _tables(model: Any) -> list[Target]:
    """Embeddings and output heads once more: what vLLM has packed of them."""
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead

    tables = [(path, layer) for path, layer in model.named_modules() if _is_table(layer)]
    heads = [table for table in tables if isinstance(table[1], ParallelLMHead)] or tables
    return [
        PackedTable(path, layer) if (path, layer) in heads else LookedUp(path, layer)
        for path, layer in tables
    ]


def _shared_head(model: Any, tied: bool) -> set[str]:
    """The head's parameter where it truly is the embedding's."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    head = parameters.get(OUTPUT_HEAD)
    return {OUTPUT_HEAD} if tied and head is parameters.get(INPUT_EMBEDDING) else set()


def _check_complete(model: Any, filled: set[str], targets: list[Target]) -> None:
    """No parameter, no packed copy and no derived value may stay as it is."""
    for name, _ in model.named_parameters(remove_duplicate=False):
        if name not in filled:
            raise UnknownLayoutError(f"no weight is known for {name}")
    packed = {target.path for target in targets if isinstance(target, Packed)}
    for path, layer in model.named_modules():
        if hasattr(layer, "cpu_linear") and path not in packed and not _is_table(layer):
            raise UnknownLayoutError(f"{path} is packed in a way that is not known")
        derives = hasattr(layer, "process_weights_after_loading")
        if derives and type(layer).__name__ != "Attention":
            raise UnknownLayoutError(f"{path} derives values from its weights")


def _is_linear(layer: Any) -> bool:
    from vllm.model_executor.layers.linear import UnquantizedLinearMethod

    return type(getattr(layer, "quant_method", None)) is UnquantizedLinearMethod


def _is_table(layer: Any) -> bool:
    from vllm.model_executor.layers.vocab_parallel_embedding import UnquantizedEmbeddingMethod

    return type(getattr(layer, "quant_method", None)) is UnquantizedEmbeddingMethod
