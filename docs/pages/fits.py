"""docs/fits.md: what `a5ctl model fits` says of two shapes."""

from io import StringIO

from docs.pages.markdown import NOTE


def what_fits() -> str:
    """What `a5ctl model fits` says of the two shapes that most people train."""
    parts = [f"# What fits\n\n{NOTE}", _FITS]
    for shape in ("qwen2.5-0.5b", "qwen2.5-1.5b"):
        parts.append(f"## {shape}\n\n```\n$ a5ctl model fits {shape}\n{_fits_of(shape)}```")
    return "\n\n".join(parts) + "\n"


def _fits_of(shape: str) -> str:
    from rich.console import Console

    from a5ctl.tables.fits import commands_text, fits_table
    from trainers.memory_fits import Asked, find_fits, read_model

    config, parameters, packed = read_model(shape)
    asked = Asked(shape, config, parameters, (24, 40, 80), packed=packed)
    found = find_fits(asked)
    written = StringIO()
    console = Console(file=written, width=80, color_system=None, force_terminal=False)
    console.print(fits_table(asked, found))
    written.write("\n".join(commands_text(asked, found)) + "\n")
    return "".join(f"{line.rstrip()}\n" for line in written.getvalue().splitlines())


_FITS = """\
Estimated memory of training on one GPU of 24, 40 or 80 GB that vLLM shares, asleep while the
policy learns. A cell says the peak in GiB and the tokens per forward pass, which a run chooses
itself, as it chooses checkpointing; `no` comes with the least that it would take. `bfloat16` takes
as much as `stochastic`. No GPU has measured these figures; [memory](memory.md) says where they come
from, and what they leave out."""
