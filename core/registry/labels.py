"""What people put on a run: tags, a note, and whether it lies in the archive.

The registry is what counts. A small file in the run folder says the same, so that a registry that
is built again from the run folders has it too; it is a file of its own because the journal may
have a recorder that appends to it at any moment.
"""

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import select, update

from core.errors import UserError
from core.registry.apply import apply_entries
from core.registry.codec import clean
from core.registry.database import Database
from core.registry.entries import EventEntry
from core.registry.records import RunRecord
from core.registry.schema import Run, table
from core.secrets import mask_text
from core.whole_files import write_whole

LABELS_NAME = "labels.json"
LONGEST_TAG = 100
LONGEST_NOTE = 10_000


@dataclass(frozen=True, slots=True)
class Labels:
    """Everything that people put on one run."""

    tags: tuple[str, ...] = ()
    note: str = ""
    archived: bool = False


@dataclass(frozen=True, slots=True)
class Relabelled:
    """What a change led to.

    Attributes:
        changed: It was something else before.
        kept: The run folder knows it too; False where there is none here.
    """

    labels: Labels
    changed: bool
    kept: bool


def relabel(
    database: Database, run: RunRecord, folder: Path, change: Callable[[Labels], Labels]
) -> Relabelled:
    """Change a run's labels in the registry and in its folder: in both, or in neither.

    Args:
        database: The registry's.
        run: The run.
        folder: Its folder; need not exist.
        change: From what the labels are to what they shall be.

    Raises:
        UserError: the run is gone, or one of the two places cannot be written.
    """
    runs = table(Run)
    here = runs.c.uuid == run.uuid
    query = select(runs.c.tags, runs.c.note, runs.c.archived).where(here).with_for_update()
    with database.begin() as connection:
        row = connection.execute(query).first()
        if row is None:
            raise UserError(f"run {run.id} was deleted meanwhile")
        before = Labels(tuple(json.loads(row.tags)), row.note, bool(row.archived))
        after = change(before)
        if after != before:
            connection.execute(update(runs).where(here).values(_columns(after)))
        kept = folder.is_dir()
        if kept:
            _write(folder, after)
    return Relabelled(after, after != before, kept)


def add_and_drop(labels: Labels, add: tuple[str, ...], drop: tuple[str, ...]) -> Labels:
    """Labels with more tags, and with fewer; the order they came in stays."""
    tags = dict.fromkeys((*(tag for tag in labels.tags if tag not in drop), *add))
    return replace(labels, tags=tuple(tags))


def checked_tag(tag: str) -> str:
    """A tag that can be shown and searched for, without secrets.

    Raises:
        UserError: it is empty, too long, or holds what cannot be printed.
    """
    text = clean(tag).strip()
    if not text or len(text) > LONGEST_TAG or not text.isprintable():
        raise UserError(
            f"{tag[:LONGEST_TAG]!r} is no tag; give 1 to {LONGEST_TAG} printable characters"
        )
    return mask_text(text)


def checked_note(note: str) -> str:
    """A note that is not too long, without secrets.

    Raises:
        UserError: it is.
    """
    if len(note) > LONGEST_NOTE:
        raise UserError(f"the note has {len(note):,} characters; at most {LONGEST_NOTE:,} are kept")
    return mask_text(clean(note))


def with_labels(
    columns: Mapping[str, Any], folder: Path | None
) -> tuple[dict[str, Any], str | None]:
    """A run's row with the labels that its folder holds, and why those could not be read."""
    try:
        labels = _read(folder) if folder is not None else None
    except (OSError, ValueError) as error:
        return dict(columns), f"{LABELS_NAME} of the run folder cannot be read: {error}"
    return {**columns, **(_columns(labels) if labels is not None else {})}, None


def tell_of_damage(database: Database, run: RunRecord, damage: str) -> None:
    """Leave an event; the same one however often the folder is read."""
    identity = uuid.uuid5(uuid.NAMESPACE_OID, f"{run.uuid}:{LABELS_NAME}").hex
    event = EventEntry(
        uuid=identity,
        time=run.created,
        step=None,
        severity="warning",
        kind="labels_damaged",
        message=clean(f"{damage}; tags, note and archive are those of the journal"),
    )
    with database.begin() as connection:
        apply_entries(connection, run.key, [event])


def _columns(labels: Labels) -> dict[str, Any]:
    tags = json.dumps([clean(tag) for tag in labels.tags])
    return {"tags": tags, "note": clean(labels.note), "archived": labels.archived}


def _read(folder: Path) -> Labels | None:
    """Raises ValueError for a file that says something else than labels."""
    path = folder / LABELS_NAME
    if not path.is_file():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError("it holds no labels")
    tags, note, archived = found.get("tags"), found.get("note"), found.get("archived")
    if not (isinstance(tags, list) and all(isinstance(tag, str) for tag in tags)):
        raise ValueError("its tags are no list of texts")
    if not isinstance(note, str) or not isinstance(archived, bool):
        raise ValueError("its note is no text, or archived is not true or false")
    return Labels(tuple(tags), note, archived)


def _write(folder: Path, labels: Labels) -> None:
    """Whole or not at all."""
    try:
        write_whole(folder / LABELS_NAME, json.dumps(asdict(labels), indent=2) + "\n")
    except OSError as error:
        raise UserError(
            f"run folder {folder} cannot be written ({error.strerror}), so nothing was changed; "
            "make it writable"
        ) from error
