"""What a batch system has to be told at one site: the site file of `--site` (docs/cluster.md)."""

import difflib
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from core.config.section import Section
from core.errors import UserError
from core.given_toml import read_toml_text, tables_of
from core.wrong_fields import first_wrong

_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.,:@+/=-]*")
_DURATION = re.compile(r"(?:(?P<days>\d+)-)?(?P<hours>\d+):(?P<minutes>\d{2})(?::(?P<s>\d{2}))?")
_SHORT_DURATION = re.compile(r"(?P<number>\d+)\s*(?P<unit>[smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_MEMORY = re.compile(r"(?P<number>\d+)\s*(?P<unit>[MGT])i?B?", re.IGNORECASE)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONGEST_S = 366 * 86400


def _word(text: str) -> str:
    if not _WORD.fullmatch(text):
        raise ValueError("use letters, digits and . , : @ + / = _ - only")
    return text


def _one_line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("give one line without control characters")
    return text


def _seconds(value: str) -> str:
    """Refuse what `seconds` cannot read; the text stays as it is."""
    seconds(value)
    return value


Word = Annotated[str, AfterValidator(_word)]
Line = Annotated[str, AfterValidator(_one_line)]
Duration = Annotated[str, AfterValidator(_seconds)]


class PbsKind(StrEnum):
    """Two families of PBS that take different options."""

    OPENPBS = "openpbs"
    """OpenPBS and PBS Professional: arrays by `-J`, resources by `select`."""
    TORQUE = "torque"
    """Torque: arrays by `-t`, resources by `nodes`."""


class Recording(StrEnum):
    """Where a cell on another machine records."""

    AUTO = "auto"
    """On a server where the registry is on one; else on the node."""
    SHARED = "shared"
    """In the registry itself: a server, or a file that all nodes may write (one machine)."""
    NODE = "node"
    """In a registry of its own on the node; who follows brings the run in from its journal."""


class Site(Section):
    """One site, for all cells of a plan."""

    walltime: Duration
    """Longest time of one job: `4:00:00`, `1-12:00:00`, `90m`. What needs more gets another job."""
    margin: Duration = "2m"
    """How long before the end a run is told to save itself."""
    partition: Word | None = None
    """Slurm's partition."""
    queue: Word | None = None
    """Queue of PBS."""
    account: Word | None = None
    """Who pays."""
    qos: Word | None = None
    """Slurm's quality of service."""
    gpus: int | None = Field(None, ge=0, le=1024)
    """GPUs of one job; train.gpus of cells on device cuda, and none else, when not given."""
    gpu_type: Word | None = None
    """Which GPUs, as the site calls them: `a100`."""
    cpus: int | None = Field(None, ge=1, le=4096)
    """CPU cores of one job; train.threads for each process, else 4, when not given."""
    memory: str | None = None
    """Memory of one job: `32G`."""
    at_once: int | None = Field(None, ge=1)
    """Most elements of an array that run at a time."""
    array_limit: int = Field(1000, ge=1, le=100_000)
    """Most elements of one array; more cells become several arrays."""
    most_jobs: int = Field(20, ge=1, le=1000)
    """Most jobs that one cell gets before it counts as failed."""
    ask_every: Duration = "10s"
    """How often the batch system is asked how things are."""
    modules: tuple[Line, ...] = ()
    """`module load` of each, in this order."""
    venv: Line | None = None
    """Virtual environment that is activated; its `a5ctl` runs the cells."""
    program: tuple[Line, ...] | None = Field(None, min_length=1)
    """What runs the cells instead: a command as a list of words."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Variables, taken literally."""
    setup: tuple[Line, ...] = ()
    """Lines of shell before a cell, as they are."""
    directives: tuple[Line, ...] = ()
    """Further options of the batch system, each a line of its own: `--constraint=a100`."""
    pbs: PbsKind = PbsKind.OPENPBS
    """Which PBS: `openpbs` (also PBS Professional) or `torque`."""
    recording: Recording = Recording.AUTO
    """`auto`, `shared` or `node`: where cells record (docs/cluster.md)."""

    @field_validator("memory")
    @classmethod
    def _is_memory(cls, text: str | None) -> str | None:
        if text is not None and not _MEMORY.fullmatch(text):
            raise ValueError("give a number with M, G or T, such as 32G")
        return text

    @field_validator("environment")
    @classmethod
    def _are_variables(cls, variables: dict[str, str]) -> dict[str, str]:
        for name, value in variables.items():
            if not _VARIABLE.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a variable")
            if "\0" in value:
                raise ValueError(f"the value of {name} holds a NUL character")
        return variables

    @field_validator("directives")
    @classmethod
    def _are_options(cls, lines: tuple[str, ...]) -> tuple[str, ...]:
        for line in lines:
            if not line.startswith("-"):
                raise ValueError(f"{line!r} is no option; write for example --constraint=a100")
        return lines

    @model_validator(mode="after")
    def _leaves_time(self) -> "Site":
        if self.margin_s >= self.walltime_s:
            raise ValueError(
                f"margin {self.margin} leaves nothing of walltime {self.walltime}; shorten it"
            )
        if self.venv is not None and self.program is not None:
            raise ValueError("venv and program both say what runs the cells; give one of them")
        return self

    @property
    def walltime_s(self) -> int:
        """Longest time of one job in seconds."""
        return seconds(self.walltime)

    @property
    def margin_s(self) -> int:
        """Seconds before the end at which a run is told to save itself."""
        return seconds(self.margin)

    @property
    def ask_every_s(self) -> int:
        """Seconds between two questions to the batch system."""
        return seconds(self.ask_every)

    @property
    def memory_mib(self) -> int | None:
        """Memory of one job in MiB."""
        found = None if self.memory is None else _MEMORY.fullmatch(self.memory)
        if found is None:
            return None
        return int(found["number"]) * {"M": 1, "G": 1024, "T": 1024**2}[found["unit"].upper()]


def seconds(text: str) -> int:
    """A duration: `4:00:00`, `4:00` (hours and minutes), `1-12:00:00`, `90m`.

    Raises:
        ValueError: it is none, or not between a second and a year.
    """
    if short := _SHORT_DURATION.fullmatch(text):
        total = int(short["number"]) * _UNITS[short["unit"]]
    elif long := _DURATION.fullmatch(text):
        days, hours, minutes, rest = (int(part or 0) for part in long.groups())
        total = ((days * 24 + hours) * 60 + minutes) * 60 + rest
    else:
        raise ValueError("give a duration such as 4:00:00, 1-12:00:00 or 90m")
    if not 0 < total <= _LONGEST_S:
        raise ValueError("give a duration between a second and a year")
    return total


def load_site(path: Path) -> Site:
    """Read a site file.

    Raises:
        UserError: one sentence that names what is wrong in it.
    """
    origin = f"site file {path}"
    tree = tables_of(read_toml_text(path, origin), origin)
    try:
        return Site.model_validate(tree)
    except ValidationError as error:
        raise UserError(f"{origin}: {_sentence(error)}") from error


def _sentence(error: ValidationError) -> str:
    wrong = first_wrong(error)
    if wrong.unknown:
        near = difflib.get_close_matches(wrong.place, Site.model_fields, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else "docs/cluster.md lists what is"
        return f"{wrong.place!r} is not known here; {hint}"
    if wrong.missing:
        return f'{wrong.place} is missing; write for example {wrong.place} = "4:00:00"'
    return f"{wrong.place}: {wrong.message}{_given(wrong.given)}" if wrong.parts else wrong.message


def _given(value: Any) -> str:
    return f" (got {str(value)[:60]!r})" if isinstance(value, str | int | float | bool) else ""
