"""The parts of `gpu_suite.py`: what each measures, what it needs, and how long it may take."""

import importlib
import importlib.util
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
# packages of the program that an image made for torch and transformers usually lacks
PROGRAM = (
    "alembic",
    "blake3",
    "jinja2",
    "math_verify",
    "pydantic",
    "pylatexenc",
    "rich",
    "sqlalchemy",
    "sqlmodel",
    "tomli_w",
    "typer",
    "zstandard",
)
_BUNDLE = "python benchmarks/gpu_bundle.py makes a folder of what a machine without network lacks"


@dataclass(frozen=True, slots=True)
class Given:
    """What a part works with.

    Attributes:
        dry: Tiny sizes, on the CPU if need be: the figures mean nothing.
        device: `cuda` or `cpu`.
        work: Folder for models, data and workspaces; shared by the parts, deleted at the end.
        until: `time.monotonic()` at which the part is stopped.
    """

    dry: bool
    device: str
    work: Path
    until: float

    @property
    def left(self) -> float:
        """Seconds until the part is stopped."""
        return self.until - time.monotonic()

    @property
    def precision(self) -> str:
        """Of policies that a part loads itself: what a run takes there by default."""
        return "mixed" if self.device == "cuda" else "float32"

    def shape(self, name: str) -> str:
        """The shape to use where `name` is meant."""
        return "tiny" if self.dry else name


@dataclass(frozen=True, slots=True)
class Part:
    """One part, run in a process of its own.

    Attributes:
        name: For `--part`.
        title: What it measures.
        call: `module:function` below `benchmarks`, called with a `Given`.
        least: Seconds without which it does not begin: what its first figures take on a large GPU.
        limit: Seconds after which it is stopped, whatever it has.
        needs: Modules without which it cannot run at all.
        models: Shapes of the models that it reads; the part `models` makes them.
    """

    name: str
    title: str
    call: str
    least: float
    limit: float
    needs: tuple[str, ...] = ()
    models: tuple[str, ...] = ()

    def run(self, given: Given) -> None:
        """Measure; figures go where `gpu_rows` sends them."""
        module, function = self.call.split(":")
        measure: Callable[[Given], None] = getattr(
            importlib.import_module(f"benchmarks.{module}"), function
        )
        measure(given)


TINY, SMALL, LARGE = "tiny", "qwen2.5-0.5b", "qwen2.5-1.5b"
_TRAINS = ("torch", "transformers", *PROGRAM)

PARTS: tuple[Part, ...] = (
    Part(
        "machine",
        "the GPU, its rates, and what is installed",
        "gpu_part_machine:machine",
        10,
        40,
        ("torch",),
    ),
    Part(
        "sft-0.5b",
        "a step of SFT at the 0.5B shape, beside a plain loop and TRL, in turns",
        "gpu_part_sft:small",
        60,
        230,
        ("torch", "transformers"),
    ),
    Part(
        "sft-1.5b",
        "the same at the 1.5B shape",
        "gpu_part_sft:large",
        40,
        120,
        ("torch", "transformers"),
    ),
    Part(
        "models",
        "random-weight models and data, made on the spot",
        "gpu_part_models:make",
        20,
        90,
        ("torch", "transformers", "tokenizers", "safetensors"),
    ),
    Part(
        "logits",
        "the largest tensor of a step: full logits are never made",
        "gpu_part_logits:largest_tensor",
        15,
        40,
        _TRAINS,
        (SMALL,),
    ),
    Part(
        "run-0.5b",
        "a5ctl run sft at the 0.5B shape: the whole loop, recording included",
        "gpu_part_runs:small",
        25,
        60,
        _TRAINS,
        (SMALL,),
    ),
    Part(
        "run-1.5b",
        "a5ctl run sft at the 1.5B shape",
        "gpu_part_runs:large",
        30,
        60,
        _TRAINS,
        (LARGE,),
    ),
    Part(
        "grpo-0.5b",
        "phases of a5ctl run grpo at the 0.5B shape",
        "gpu_part_runs:rollouts",
        30,
        60,
        _TRAINS,
        (SMALL,),
    ),
    Part(
        "fits",
        "whether runs fit in smaller cards, which are imitated by a limit",
        "gpu_part_runs:fits",
        40,
        100,
        _TRAINS,
        (SMALL, LARGE),
    ),
    Part(
        "loss",
        "100 steps of small models: GPU against CPU",
        "gpu_part_loss:gap",
        40,
        90,
        _TRAINS,
        (TINY,),
    ),
    Part(
        "copy",
        "the policy's weights into the engine",
        "gpu_part_engines:copy",
        20,
        50,
        _TRAINS,
        (SMALL,),
    ),
    Part(
        "checkpoint",
        "a checkpoint written and read back",
        "gpu_part_checkpoint:write_and_restore",
        20,
        60,
        _TRAINS,
        (SMALL,),
    ),
    Part(
        "evaluation",
        "a5ctl run eval, beside bare vLLM on the same prompts",
        "gpu_part_engines:evaluation",
        30,
        90,
        _TRAINS,
        (SMALL,),
    ),
)


def missing(names: Sequence[str]) -> list[str]:
    """Those that cannot be imported here."""
    return [name for name in names if importlib.util.find_spec(name) is None]


def why_not(names: Sequence[str], *, mend: bool = True) -> str | None:
    """Why a part cannot run, as a sentence; None where nothing is missing.

    Args:
        names: What it needs.
        mend: Say what mends it as well.
    """
    absent = missing(names)
    if not absent:
        return None
    are = "is" if len(absent) == 1 else "are"
    told = f"{', '.join(absent)} {are} not installed"
    return f"{told}; {_BUNDLE}" if mend else told


def find(names: Sequence[str]) -> list[Part]:
    """Parts by name, in their own order; all where none is named.

    Raises:
        SystemExit: there is no part of that name.
    """
    known = {part.name for part in PARTS}
    if unknown := sorted(set(names) - known):
        known_names = ", ".join(part.name for part in PARTS)
        raise SystemExit(f"no part is called {unknown[0]!r}; choose from {known_names}")
    return [part for part in PARTS if not names or part.name in names]


def with_models(parts: Sequence[Part]) -> list[Part]:
    """The parts, and in its place the one that makes the models they read."""
    read = any(part.models for part in parts)
    return find([*(part.name for part in parts), *(["models"] if read else [])])
