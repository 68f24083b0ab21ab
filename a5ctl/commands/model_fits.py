"""`a5ctl model fits`: which ways to train a model fit into the memory of a GPU."""

from typing import Annotated

import typer

from a5ctl.options import JsonOption


def fits(
    model: Annotated[
        str,
        typer.Argument(
            help="A folder, a hub id (its configuration is enough), or a shape: tiny, "
            "qwen2.5-0.5b, qwen2.5-1.5b."
        ),
    ],
    gpu_memory: Annotated[
        str, typer.Option("--gpu-memory", help="Memory of the GPU in GiB; several: 24,40,80.")
    ] = "24,40,80",
    max_length: Annotated[
        int, typer.Option(min=8, help="Tokens of the longest example, prompt included.")
    ] = 1024,
    max_tokens: Annotated[
        int, typer.Option(min=1, help="Tokens of the longest response that is generated.")
    ] = 1024,
    engine: Annotated[
        str, typer.Option(help="vllm or hf; either sleeps while the policy learns.")
    ] = "vllm",
    json_: JsonOption = False,
) -> None:
    """Estimate what training takes on a GPU, by method, precision and checkpointing.

    Nothing is loaded and no GPU is needed: the figures follow from the model's configuration, as
    those of preflight do, with full rows and everything on one GPU. A cell says the peak in GiB,
    and the largest number of tokens per pass, of 16,384 halved again and again, that fits.

    Examples:

        a5ctl model fits qwen2.5-1.5b --gpu-memory 40

        a5ctl model fits Qwen/Qwen2.5-0.5B --gpu-memory 24,40 --max-length 2048 --json
    """
    from a5ctl.console import out, plain, print_json
    from a5ctl.tables.fits import commands_text, fits_json, fits_table, remarks
    from core.errors import UserError
    from trainers.memory_fits import Asked, find_fits, read_model

    if engine not in ("vllm", "hf"):
        raise UserError(f"engine {engine!r} is unknown; use vllm or hf")
    gpus = _gpus(gpu_memory)
    config, parameters, packed = read_model(model)
    asked = Asked(model, config, parameters, gpus, max_length, max_tokens, engine, packed)
    found = find_fits(asked)
    if json_:
        print_json(fits_json(asked, found))
        return
    console = out()
    console.print(plain(f"{model}: {parameters / 1e6:,.0f} million parameters", "bold"))
    console.print(fits_table(asked, found), crop=False)
    for line in commands_text(asked, found):
        console.print(plain(line), soft_wrap=True)
    console.print(plain(remarks(asked), "dim"), soft_wrap=False)


def _gpus(text: str) -> tuple[float, ...]:
    from core.errors import UserError

    try:
        found = tuple(sorted({float(part) for part in text.split(",")}))
    except ValueError:
        found = ()
    if not found or not all(1 <= size <= 10_000 for size in found):
        raise UserError(
            f"--gpu-memory {text!r} is no list of sizes; give GiB between 1 and 10,000, such as "
            "40 or 24,40,80"
        )
    return found
