"""What a run folder's `config.toml` says about its run, where the journal does not."""

import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from core.config.load import build_config, config_hash, read_toml, to_tree
from core.config.schema import RunConfig
from core.errors import UserError
from core.registry.records import RunRecord, RunStatus
from core.workspace import CONFIG

if TYPE_CHECKING:
    from core.registry.store import Registry


def adopt_config(registry: "Registry", folder: Path) -> str | None:
    """Store a run whose folder has a configuration and no journal: it ended before it began.

    Its identity follows from the folder, so that doing it again makes the same run.

    Returns:
        Why it could not be done; None when it was.
    """
    try:
        config = _read(folder)
        registry.adopt_run(_columns(registry, config, folder), folder)
    except (UserError, OSError) as error:
        return str(error)
    return None


def take_choices(registry: "Registry", run: RunRecord, folder: Path) -> None:
    """Let a run that did not get to its end have the choices that it made while it ran.

    They stand in its `config.toml`; the journal holds them only once the run has ended.
    """
    if run.status.settled:
        return
    try:
        config = _read(folder)
    except (UserError, OSError):
        return  # as the journal has it, then
    if to_tree(config) != run.config:
        registry.set_config(run.uuid, to_tree(config), config_hash(config))


def _read(folder: Path) -> RunConfig:
    path = folder / CONFIG
    return build_config(read_toml(path), str(path))


def _columns(registry: "Registry", config: RunConfig, folder: Path) -> dict[str, object]:
    digest = config_hash(config)
    parent = None
    if config.model.run is not None:
        parent = _uuid_of(registry, config.model.run)
    return {
        "uuid": uuid.uuid5(uuid.NAMESPACE_OID, f"{folder.name}:{digest}").hex,
        "id": folder.name,
        "kind": config.kind.value,
        "name": config.name,
        "group": config.group,
        "status": RunStatus.INTERRUPTED.value,
        "parent_uuid": parent,
        "config_hash": digest,
        "seed": config.seed,
        "model": config.model.source,
        "data": config.data.source,
        "size": config.data.size,
        "created": (folder / CONFIG).stat().st_mtime,
        "exit_reason": "it never began: its folder holds a configuration and no journal",
        "folder": f"runs/{folder.name}",
        "tags": json.dumps(list(config.tags)),
        "note": config.note,
        "config": json.dumps(to_tree(config)),
        "provenance": "{}",
    }


def _uuid_of(registry: "Registry", run: str) -> str | None:
    try:
        return registry.find_run(run).uuid
    except UserError:
        return None
