"""The table of `a5ctl model fits`, its JSON, and what to type."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from rich.table import Table
from rich.text import Text

from a5ctl.console import plain
from core.units import GIB
from trainers.memory_fits import Asked, Fit, FitMethod, chosen


def fits_table(asked: Asked, fits: Sequence[Fit]) -> Table:
    """A row for each way to train, a column for each GPU."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("method", "precision", "checkpointing"):
        table.add_column(name, no_wrap=True)
    for gpu in asked.gpus:
        table.add_column(f"{gpu:g} GB", justify="right", no_wrap=True)
    for (method, precision, again), row in groupby(fits, key=_way):
        cells = [_cell(fit) for fit in row]
        name = method.removesuffix(" 0.01")
        table.add_row(plain(name), plain(precision), plain("on" if again else "off"), *cells)
    return table


def commands_text(asked: Asked, fits: Sequence[Fit]) -> list[str]:
    """For each method and GPU what to type, GPUs with the same answer in one line."""
    lines = []
    for method in FitMethod:
        answers = [(gpu, _answer(chosen(fits, method, gpu), method)) for gpu in asked.gpus]
        for answer, group in groupby(answers, key=lambda each: each[1]):
            sizes = ", ".join(f"{gpu:g}" for gpu, _ in group)
            lines.append(f"{sizes} GB: {answer}")
    return lines


def remarks(asked: Asked) -> str:
    """What the figures are and are not."""
    engine = "vLLM" if asked.engine == "vllm" else "transformers' engine"
    rows = "" if asked.packed else " Rows are padded: this architecture takes no packed ones."
    return (
        f"Estimated GiB at the peak and tokens per pass, with {engine} on the same GPU by turns; "
        f"no GPU has measured them.{rows} A run chooses checkpointing and tokens by itself. "
        "bfloat16 takes as much as stochastic."
    )


def fits_json(asked: Asked, fits: Sequence[Fit]) -> dict[str, Any]:
    """Everything in numbers; bytes where a name says so."""
    return {
        "model": asked.model,
        "parameters": asked.parameters,
        "max_length": asked.longest,
        "max_tokens": asked.cap,
        "engine": asked.engine,
        "measured": False,
        "fits": [_one(fit) for fit in fits],
    }


def _one(fit: Fit) -> dict[str, Any]:
    estimate, beside = fit.plan.estimate, fit.plan.beside
    return {
        "method": fit.method.value,
        "precision": fit.precision.name,
        "checkpointing": fit.checkpointing,
        "gpu_memory_gib": fit.gpu,
        "fits": fit.fits,
        "peak_bytes": fit.peak,
        "microbatch_tokens": fit.plan.microbatch_tokens,
        "training_bytes": {
            "weights": estimate.weights,
            "gradients": estimate.gradients,
            "moments": estimate.moments,
            "copies": estimate.copies,
            "activations": estimate.activations,
            "projection": estimate.projection,
            "overhead": estimate.overhead,
            "lost": estimate.lost,
        },
        "reference_bytes": beside.reference,
        "engine_bytes": beside.engine,
        "engine_awake_bytes": beside.engine_awake,
        "options": list(fit.options) if fit.fits else None,
    }


def _way(fit: Fit) -> tuple[str, str, bool]:
    return fit.method.value, fit.precision.name, fit.checkpointing


def _cell(fit: Fit) -> Text:
    peak = f"{fit.peak / GIB:.1f}"
    if fit.fits:
        return plain(f"{peak} at {_tokens(fit.plan.microbatch_tokens)}", "green")
    return plain(f"no, {peak}", "dim")


def _tokens(count: int) -> str:
    return f"{count // 1024}k" if count % 1024 == 0 else f"{count:,}"


def _answer(fit: Fit | None, method: FitMethod) -> str:
    if fit is None:
        return f"{method.value} does not fit"
    return f"a5ctl run {' '.join(fit.options)}"
