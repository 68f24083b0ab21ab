"""Decoder layers compiled one by one, for packed rows alone: tried out, compared, and timed.

Compiling fuses what stands between the matrix products (norms, rotary positions, SwiGLU, residual
sums), which on a GPU moves more bytes than the products do. All layers share one graph, lengths of
rows are symbols in it, and calls without `cu_seq_lens_q` (padded rows, generation) go the way they
went before.
"""

import inspect
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trainers.packed.attention import call_arguments
from trainers.packed.kernels import Kernel
from trainers.packed.row import PackedRow, pack_row
from trainers.packed.trials import trial_autocast, trial_tokens

# a layer's output and gradients against those of the same layer as it is: above what sums in
# another order and fewer roundings to bfloat16 do, below what a missing term does
_CLOSE = {torch.float64: 1e-6, torch.float32: 1e-3}
_CLOSE_HALF = 0.05
_LENGTHS = (211, 307, 389)
# of the rows that are tried, as shares of a typical one; a compiler splits long sums by the size
# that it sees first, so the typical one comes first
_SHARES = (1.0, 0.61, 0.37)


@dataclass(frozen=True, slots=True)
class Compilation:
    """Whether layers are compiled.

    Attributes:
        on: They are.
        reason: Why or why not, in one sentence for a person.
        seconds: What compiling them took.
    """

    on: bool
    reason: str
    seconds: float = 0.0


def layers_of(model: Any) -> list[nn.Module]:
    """The decoder layers of a transformers model; empty where they are not found."""
    layers = getattr(model.base_model, "layers", None)
    return list(layers) if isinstance(layers, nn.ModuleList) else []


def compile_layers(model: Any, backend: str = "inductor", *, fresh: bool = True) -> None:
    """From now on packed rows go through compiled layers; each graph is made when first needed.

    Args:
        model: A transformers causal LM that `prepare_packed` switched.
        backend: Of torch.compile.
        fresh: Forget the graphs of earlier models, which count against a limit.
    """
    layers = layers_of(model)
    if fresh:
        forget_graphs(layers)
    for layer in layers:
        compiled = torch.compile(layer._call_impl, dynamic=True, backend=backend)
        # nn.Module.compile sets the same attribute; ours asks first what kind of call it is
        layer._compiled_call_impl = _packed_alone(layer, compiled)


def restore_layers(model: Any) -> None:
    """Undo `compile_layers`."""
    for layer in layers_of(model):
        layer._compiled_call_impl = None


def try_compiled(
    model: Any,
    kernel: Kernel,
    compute_dtype: torch.dtype,
    positions: int,
    backend: str = "inductor",
) -> Compilation:
    """Compile a model's layers; leave them as they are where one fails or computes something else.

    Gradients of parameters are left as they were.

    Args:
        model: Prepared for packed rows with this kernel.
        kernel: Its attention.
        compute_dtype: Of the forward pass; autocast is entered for bfloat16 over wider weights.
        positions: Of a typical row: what is compiled is meant for about that many.
        backend: Of torch.compile.
    """
    layers = layers_of(model)
    if not layers:
        return Compilation(False, f"layers run as they are: {type(model).__name__} has no list")
    started = time.perf_counter()
    try:
        problem = _problem(model, layers[0], kernel, compute_dtype, positions, backend)
    except Exception as error:  # compilers raise whatever they like
        problem = f"compiling fails here ({_first_line(error)})"
    if problem is not None:
        restore_layers(model)
        forget_graphs(layers)
        return Compilation(False, f"layers run as they are: {problem}")
    seconds = time.perf_counter() - started
    made = "one graph" if graphs() == 1 else f"{graphs()} graphs"
    text = f"{len(layers)} layers compiled into {made} for rows of any length in {seconds:.0f} s"
    return Compilation(True, text, seconds)


def graphs() -> int:
    """Graphs that were compiled in this process since the last reset."""
    from torch._dynamo.utils import counters

    return int(counters["stats"]["unique_graphs"])


def forget_graphs(layers: Sequence[nn.Module]) -> None:
    """Count from 0, and keep no graph of these layers' code, which earlier models may have shared.

    Graphs of other code stay: an engine in this process has compiled its own model.
    """
    from torch._dynamo import eval_frame
    from torch._dynamo.utils import counters

    reset_code = getattr(eval_frame, "reset_code", None)  # a torch without it keeps them
    for code in {inspect.unwrap(type(layer).forward).__code__ for layer in layers}:
        if reset_code is not None:
            reset_code(code)
    counters.clear()


def _packed_alone(layer: nn.Module, compiled: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        packed = kwargs.get("cu_seq_lens_q") is not None
        return compiled(*args, **kwargs) if packed else layer._call_impl(*args, **kwargs)

    return call


def _problem(
    model: Any,
    layer: nn.Module,
    kernel: Kernel,
    compute_dtype: torch.dtype,
    positions: int,
    backend: str,
) -> str | None:
    """What is wrong with the compiled layer, as the end of a sentence; None where nothing is."""
    from torch._dynamo.utils import counters

    device = next(model.parameters()).device
    size = model.get_output_embeddings().weight.shape[0]
    rows = [_trial_row(int(share * positions), size).to(device) for share in _SHARES]
    calls = [_call_of(model, layer, row, kernel, compute_dtype) for row in rows]
    wanted = [_run(model, layer, *call, compute_dtype) for call in calls]
    compile_layers(model, backend)
    made = []
    for call, expected in zip(calls, wanted, strict=True):
        found = _run(model, layer, *call, compute_dtype)
        made.append(graphs())
        for mine, other in zip(found, expected, strict=True):
            apart = ((mine - other).norm() / other.norm()).item()
            close = _CLOSE.get(mine.dtype if compute_dtype is torch.float32 else compute_dtype)
            if not apart <= (close or _CLOSE_HALF):
                return f"a compiled layer computes something else (off by {apart:.1%})"
    if counters["graph_break"]:
        return f"the graph breaks ({next(iter(counters['graph_break'])).splitlines()[0]})"
    if made[-1] >= len(rows):
        return "every length of row needs another graph"
    return None


def _trial_row(positions: int, vocabulary: int) -> PackedRow:
    """Examples as long as those of word problems, and one that fills up the row."""
    lengths: list[int] = []
    while (left := positions - sum(lengths)) > 0:
        lengths.append(min(left, _LENGTHS[len(lengths) % len(_LENGTHS)]))
    # an example of n tokens takes n - 1 positions
    return pack_row([trial_tokens(one + 1, one, vocabulary) for one in lengths])


def _call_of(
    model: Any, layer: nn.Module, row: PackedRow, kernel: Kernel, compute_dtype: torch.dtype
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments with which the model calls its first layer for a row."""
    seen: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def look(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        seen.append((args, kwargs))

    handle = layer.register_forward_pre_hook(look, with_kwargs=True)
    try:
        with torch.no_grad(), trial_autocast(model, compute_dtype):
            model.base_model(**call_arguments(row, kernel))
    finally:
        handle.remove()
    return seen[0]


def _run(
    model: Any,
    layer: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    compute_dtype: torch.dtype,
) -> list[Tensor]:
    """Output and gradients of one layer: by its input, and by its matrices."""
    states = args[0].detach().requires_grad_()
    with trial_autocast(model, compute_dtype):
        output = layer(states, *args[1:], **kwargs)
    output = output[0] if isinstance(output, tuple) else output
    # vectors are left out: the gradient of a key's bias is nothing but rounding
    matrices = [one for one in layer.parameters() if one.ndim >= 2 and one.requires_grad]
    upstream = torch.linspace(-1, 1, output.numel(), device=output.device).view_as(output)
    gradients = torch.autograd.grad(output, (states, *matrices), upstream.to(output.dtype))
    return [part.detach().float() for part in (output, *gradients)]


def _first_line(error: Exception) -> str:
    # a failure of the backend comes wrapped, and the wrapper's first line names the backend alone
    cause = getattr(error, "inner_exception", error)
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__
