"""`a5ctl model make` and `a5ctl model pretrain`: models to work on, without any model hub."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from a5ctl.options import JsonOption, QuietOption

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rich.progress import Progress, ProgressColumn

    from trainers.pretraining import PretrainingProgress


def make(
    shape: str = typer.Option(..., help="tiny, qwen2.5-0.5b or qwen2.5-1.5b."),
    out: Path = typer.Option(..., help="Folder to write; must be new or empty."),
    layers: int | None = typer.Option(None, help="Number of layers instead of the shape's own."),
    data: str = typer.Option(
        "builtin", help="Data the tokenizer is trained on: builtin, a .jsonl file, or a folder."
    ),
    seed: int = typer.Option(0, help="Seed of the random weights."),
    quiet: QuietOption = False,
    json_: JsonOption = False,
) -> None:
    """Write a model of a true Qwen2.5 shape with random weights, for smoke tests and benchmarks.

    Examples:

        a5ctl model make --shape tiny --out models/tiny

        a5ctl model make --shape qwen2.5-0.5b --layers 2 --out models/shallow
    """
    from a5ctl.progress import Stop, progress
    from trainers.random_model import find_shape, make_model, refuse_full_folder

    find_shape(shape, layers)
    refuse_full_folder(out)
    texts = _training_texts(data)
    with progress("writing a random model", stop=Stop.NOTHING, quiet=quiet, as_json=json_):
        make_model(shape, out, texts=texts, layers=layers, seed=seed)
    remark = "random weights: it knows nothing until it is trained"
    _report_folder(out, remark, {"seed": seed}, as_json=json_)


def pretrain(
    out: Path = typer.Option(..., help="Folder to write; must be new or empty."),
    tokens: int = typer.Option(24_000_000, min=1, help="Tokens to train on."),
    seed: int | None = typer.Option(None, help="Seed of text, order and weights."),
    resume: bool = typer.Option(False, "--resume", help="Go on from the last saved state in OUT."),
    threads: int = typer.Option(2, min=1, help="CPU threads; another number rounds differently."),
    quiet: QuietOption = False,
    json_: JsonOption = False,
) -> None:
    """Pretrain the built-in base model from nothing on generated text.

    A stopped one goes on with --resume from the last saved state, which is at most a few minutes
    old.

    Examples:

        a5ctl model pretrain --out models/base

        a5ctl model pretrain --out models/base --resume
    """
    import torch
    from rich.progress import Progress

    from a5ctl.console import err, is_interactive
    from core.data.synthetic import BUILTIN_SEED
    from trainers.pretraining import PretrainingConfig
    from trainers.pretraining import pretrain as run_pretraining

    torch.set_num_threads(threads)
    config = PretrainingConfig(tokens=tokens, seed=BUILTIN_SEED if seed is None else seed)
    if quiet:
        loss = run_pretraining(out, config, resume=resume, on_step=lambda _: None)
    elif is_interactive() and not json_:
        with Progress(*_columns(), console=err()) as progress:
            loss = run_pretraining(out, config, resume=resume, on_step=_shower(progress, tokens))
    else:
        loss = run_pretraining(out, config, resume=resume, on_step=_print_now_and_then)
    remark = f"loss {loss:.4f} nats per token on unseen documents"
    _report_folder(out, remark, {"seed": config.seed, "loss": loss}, as_json=json_)


def _training_texts(data: str) -> list[str]:
    from core.data.load import load_data
    from core.errors import UserError

    splits = load_data(data).splits
    problems = splits.get("train") or splits["test"]
    texts = [f"{p.prompt or p.question}\n{p.target or p.reasoning or p.truth}" for p in problems]
    if not any(text.strip() for text in texts):
        raise UserError(f"data {data!r} holds no text to train a tokenizer on; name other data")
    return texts


def _columns() -> "tuple[ProgressColumn, ...]":
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

    return (
        TextColumn("pretraining"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} tokens"),
        TextColumn(
            "step {task.fields[step]}  loss {task.fields[loss]}  {task.fields[speed]} tok/s"
        ),
        TimeRemainingColumn(),
        TextColumn("[dim]Ctrl-C: --resume goes on[/dim]"),
    )


def _shower(progress: "Progress", tokens: int) -> "Callable[[PretrainingProgress], None]":
    task = progress.add_task("", total=tokens, step=0, loss="-", speed="-")

    def show(state: "PretrainingProgress") -> None:
        progress.update(
            task,
            completed=min(state.tokens, tokens),
            step=state.step,
            loss=f"{state.loss:.3f}",
            speed=f"{state.tokens_per_second:,.0f}",
        )

    return show


def _print_now_and_then(state: "PretrainingProgress") -> None:
    """For logs: a line at the start and one per hundred steps."""
    from a5ctl.console import err, plain

    if state.step == 1 or state.step % 100 == 0:
        line = (
            f"step {state.step:,}  {state.tokens:,} tokens  loss {state.loss:.4f}  "
            f"{state.tokens_per_second:,.0f} tok/s"
        )
        err().print(plain(line), soft_wrap=True)


def _report_folder(out: Path, remark: str, facts: "Mapping[str, float]", *, as_json: bool) -> None:
    from a5ctl.console import out as results
    from a5ctl.console import plain, print_json
    from a5ctl.format import size

    weights = (out / "model.safetensors").stat().st_size
    if as_json:
        print_json({"folder": str(out), "bytes": weights, **facts})
        return
    line = f"wrote {out} ({size(weights)} of weights; {remark})"
    results().print(plain(line), soft_wrap=True)
