"""TensorBoard logs: every folder with event files is a run, as TensorBoard itself shows them.

Scalars are read in both forms, the old number and the newer tensor; hyperparameters and texts that
hold JSON (as transformers logs its arguments) become settings. Where a later file goes back in
steps, it replaces what the earlier ones hold from there on, tag by tag.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.interchange.decoding import decode
from core.interchange.event_messages import Found, Parameters, Scalar, TextNote, event_values
from core.interchange.foreign import ForeignRun, Source, fingerprint_of
from core.interchange.guesses import guess_data, guess_model, guess_seed
from core.interchange.limits import short_name, short_text, tidy_settings, time_of
from core.interchange.record_files import read_tfrecords
from core.interchange.sentences import Damage, counted
from core.interchange.wire import WireError
from core.registry.records import RunStatus
from core.units import MIB

_LONGEST_EVENT = MIB
_MOST_TEXTS = 50
_SUCCESS, _FAILURE = 1, 2


def event_files(folder: Path) -> list[Path]:
    """The event files right in a folder, oldest first; their names begin with a time."""
    found = folder.glob("*tfevents*")
    return sorted(path for path in found if path.is_file() and not path.is_symlink())


@dataclass(slots=True)
class _Reading:
    run: ForeignRun
    known: set[str] = field(default_factory=set)
    parameters: dict[str, Any] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    ending: int = 0
    passed_over: Counter[str] = field(default_factory=Counter)
    damage: Damage = field(default_factory=Damage)


def read_tensorboard(path: Path, root: Path | None = None) -> ForeignRun:
    """Read the run in one folder as far as its files can be read.

    Args:
        path: A folder with event files, or one such file.
        root: The folder that was asked for; the run is named by its way from there.

    Raises:
        UserError: there is no event file, or nothing in it can be read.
    """
    files = [path] if path.is_file() else event_files(path)
    if not files:
        raise UserError(f"{path} holds no event files (*tfevents*)")
    run = ForeignRun(Source.TENSORBOARD, _identity(files), path, fingerprint_of(files))
    reading = _Reading(run)
    for file in files:
        _read_file(reading, file)
    _finish(reading, path if path.is_dir() else path.parent, root)
    return run


def _identity(files: list[Path]) -> str:
    """Name and first event of the first file: every file begins with the time of its making."""
    complaints = Damage()
    for file in files:
        with file.open("rb") as source:
            first = next(read_tfrecords(source, complaints, _LONGEST_EVENT), None)
        if first is not None:
            return f"{file.name}:{hashlib.sha256(first).hexdigest()}"
    why = complaints.sentence() or "it holds no event"
    raise UserError(f"{files[0]} cannot be imported: {why}")


def _read_file(reading: _Reading, file: Path) -> None:
    seen: set[str] = set()
    with file.open("rb") as source:
        for data in read_tfrecords(source, reading.damage, _LONGEST_EVENT):
            try:
                found = event_values(data)
            except WireError:
                reading.damage("an event is no message")
                continue
            for value in found:
                _take(reading, value, seen)
    reading.known |= seen


def _take(reading: _Reading, value: Found, seen: set[str]) -> None:
    match value:
        case Scalar():
            if value.tag not in seen:
                seen.add(value.tag)
                if value.tag in reading.known:
                    reading.run.curves.cut(value.tag, value.step)
            when = time_of(value.time) or 0.0
            reading.run.curves.add(value.tag, value.step, when, value.value)
        case TextNote():
            _take_text(reading, value)
        case Parameters():
            reading.parameters |= value.values
            reading.ending = value.ending or reading.ending
        case str():
            reading.passed_over[value] += 1


def _take_text(reading: _Reading, note: TextNote) -> None:
    """Arguments that a tool logs as JSON are settings; other texts are kept as they are."""
    try:
        document = decode(note.text) if note.text.lstrip().startswith("{") else None
    except ValueError:
        document = None
    if isinstance(document, dict):
        reading.parameters |= document
    elif len(reading.texts) < _MOST_TEXTS or note.tag in reading.texts:
        reading.texts[short_name(note.tag)] = short_text(note.text)
    else:
        reading.passed_over[f"texts beyond the first {_MOST_TEXTS}"] += 1


def _finish(reading: _Reading, folder: Path, root: Path | None) -> None:
    run = reading.run
    top = folder if root is None else root
    way = "" if folder == top else folder.relative_to(top).as_posix()
    run.name = short_name(way or folder.resolve().name) or None
    run.group = short_name(top.resolve().name) if way else None
    run.settings, cut = tidy_settings(reading.parameters)
    run.model, run.data = guess_model(run.settings), guess_data(run.settings)
    run.seed = guess_seed(run.settings)
    run.origin = {"texts": reading.texts} if reading.texts else {}
    run.started, run.ended = run.curves.span()
    run.created = run.started
    failed = reading.ending == _FAILURE
    run.status = RunStatus.FAILED if failed else RunStatus.FINISHED
    run.exit_reason = "completed"
    if reading.ending != _SUCCESS:
        run.exit_reason = "failed" if failed else "the log does not say how the run ended"
    run.left_out += reading.damage.sentences()
    run.left_out += counted(reading.passed_over)
    if cut:
        run.left_out.append(f"{cut} settings that are nested too deeply, too many, or secret")
