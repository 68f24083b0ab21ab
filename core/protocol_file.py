"""Protocols outside the registry: a TOML file that says completely how an evaluation was made.

The file holds every field of both fingerprints, the fingerprints themselves, and where the
problems were found. A value that nobody recorded is left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import UserError
from core.given_toml import parse_toml, read_toml_text, tables_of
from core.protocol import GRADING_FIELDS, fingerprints
from core.wrong_fields import first_wrong

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class ProtocolSource:
    """Where an evaluation came from; what is not known is None.

    Attributes:
        run: Short id of the run.
        step: Optimizer updates behind the evaluated weights.
        data: Where the problems were found: `--data` of `a5ctl run eval`.
        held_out: Of a single file only the part that training leaves out was asked.
        limit: Only the first so many problems were asked.
        problems: How many were asked.
    """

    run: str | None = None
    step: int | None = None
    data: str | None = None
    held_out: bool | None = None
    limit: int | None = None
    problems: int | None = None


@dataclass(frozen=True, slots=True)
class RecordedProtocol:
    """One evaluation's protocol.

    Attributes:
        label: What to call it in messages, for example `sft-256-k3f9 step 96`.
        fields: Every field of both fingerprints, flat; None where nobody recorded it.
    """

    label: str
    fields: Mapping[str, Any]
    source: ProtocolSource = field(default_factory=ProtocolSource)

    @property
    def generation(self) -> dict[str, Any]:
        """The fields that decide which responses come out."""
        return {k: v for k, v in self.fields.items() if k not in GRADING_FIELDS}

    @property
    def grading(self) -> dict[str, Any]:
        """The fields that decide what is right."""
        return {k: v for k, v in self.fields.items() if k in GRADING_FIELDS}


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class _Generation(_Table):
    # a field of a later version is kept: what cannot be followed is refused where it is used
    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    prompt_name: str
    prompt_text: str
    data_name: str
    split: str
    data_hash: str
    engine: str
    engine_version: str
    dtype: str
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    min_tokens: int | None = None
    stop: list[str] | None = None
    n: int | None = None
    seed: int | None = None


class _Grading(_Table):
    grader: str
    grader_version: int


class _Source(_Table):
    run: str | None = None
    step: int | None = None
    data: str | None = None
    held_out: bool | None = None
    limit: int | None = Field(None, ge=1)
    problems: int | None = None


class _Fingerprints(_Table):
    generation: str
    grading: str


class _File(_Table):
    format: int
    generation: _Generation
    grading: _Grading
    source: _Source = _Source()
    fingerprints: _Fingerprints | None = None


def to_toml(protocol: RecordedProtocol) -> str:
    """The protocol as a file."""
    generation, grading = fingerprints(protocol.fields)
    tree = {
        "format": _FORMAT,
        "generation": _known(protocol.generation),
        "grading": _known(protocol.grading),
        "source": _known(_Source(**_as_dict(protocol.source)).model_dump()),
        "fingerprints": {"generation": generation, "grading": grading},
    }
    note = (
        "# How an evaluation was made. To evaluate a run in the same way:\n"
        "#   a5ctl run eval --run RUN --protocol THIS_FILE\n"
    )
    return note + _dumps(tree)


def read_protocol(path: Path) -> RecordedProtocol:
    """Read a protocol file.

    Raises:
        UserError: it cannot be read, it is no protocol file, or it was edited and still has the
            fingerprints of what it was before.
    """
    origin = f"protocol file {path}"
    tree = tables_of(read_toml_text(path, origin), origin)
    try:
        file = _File.model_validate(tree)
    except ValidationError as error:
        raise UserError(f"{origin}: {_sentence(error)}") from error
    if file.format != _FORMAT:
        raise UserError(f"{origin} has format {file.format}, and this a5ctl reads format {_FORMAT}")
    fields = {**file.generation.model_dump(), **file.grading.model_dump()}
    _check_fingerprints(path, fields, file.fingerprints)
    return RecordedProtocol(str(path), fields, ProtocolSource(**file.source.model_dump()))


def _check_fingerprints(path: Path, fields: Mapping[str, Any], noted: _Fingerprints | None) -> None:
    if noted is None:
        return
    found = fingerprints(fields)
    changed = [
        name
        for name, now, then in zip(
            ("generation", "grading"), found, (noted.generation, noted.grading), strict=True
        )
        if now != then
    ]
    if changed:
        raise UserError(
            f"protocol file {path} was edited: its {' and '.join(changed)} fields do not give the "
            "fingerprints that it notes; take the table [fingerprints] out to use it as it is now"
        )


def _known(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


def _as_dict(source: ProtocolSource) -> dict[str, Any]:
    return {name: getattr(source, name) for name in ProtocolSource.__slots__}


def _dumps(tree: Mapping[str, Any]) -> str:
    """With the prompt on several lines where that keeps it exactly."""
    text = tomli_w.dumps(tree, multiline_strings=True)
    return text if parse_toml(text) == tree else tomli_w.dumps(tree)


def _sentence(error: ValidationError) -> str:
    wrong = first_wrong(error)
    if wrong.missing:
        remedy = "a5ctl protocol show RUN --out FILE.toml writes a whole file"
        return f"{wrong.place} is missing; {remedy}"
    if wrong.unknown:
        return f"{wrong.place} is not part of a protocol; take it out"
    return wrong.sentence
