"""Where the figures of a report come from: code, packages, machine, and each run's record."""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import tomli_w

from a5ctl.format import compact, count, duration, moment
from a5ctl.reports.content import Cell, Code, RunRecordSheet, Table, Tone
from a5ctl.reports.excerpts import clipped
from a5ctl.reports.results import status_tone
from a5ctl.tables.runs import run_seconds
from core.registry.liveness import LOST, STALE, display_status
from core.registry.records import ArtifactRecord, RunRecord
from core.registry.store import Registry
from core.units import gib

_DIFF_CHARS = 30_000
_CONFIG_CHARS = 20_000
_MOST_ARTIFACTS = 50
_STOPPED = ("failed", "interrupted", STALE, LOST)
Fields = tuple[tuple[str, tuple[tuple[str, str], ...]], ...]


def gather_codes(
    registry: Registry, runs: Sequence[RunRecord]
) -> tuple[tuple[Code, ...], Table | None]:
    """What the runs were made with, each combination once, and in what the combinations differ.

    Variables and host names stay in the registry: pages are sent around.
    """
    grouped: dict[str, tuple[Mapping[str, Any], list[str]]] = {}
    for run in runs:
        found = registry.provenance(run.uuid)
        kept = {name: found.get(name) for name in ("git", "python", "packages", "machine")}
        kept |= {name: found.get(name) for name in ("threads", "numerics")}
        key = json.dumps(kept, sort_keys=True)
        grouped.setdefault(key, (kept, []))[1].append(run.id)
    ordered = sorted(grouped.values(), key=lambda own: -len(own[1]))
    codes = tuple(Code(tuple(ids), _fields(kept), _diff(kept)) for kept, ids in ordered)
    return codes, _differences(codes)


def record_sheet(registry: Registry, run: RunRecord) -> RunRecordSheet:
    """One run's identity, settings, files, and the commands that go on from it."""
    status = str(display_status(run))
    argv = registry.provenance(run.uuid).get("argv") or ()
    lineage = " < ".join(parent.id for parent in registry.ancestors(run))
    took = duration(run_seconds(run)) if run.started is not None else ""
    pairs = [
        *(("kind", run.kind), ("name", run.name), ("group", run.group)),
        *(("tags", ", ".join(run.tags)), ("note", run.note)),
        ("exit reason", run.exit_reason),
        *(("seed", run.seed), ("size", run.size)),
        *(("model", run.model), ("model hash", run.model_hash)),
        *(("data", run.data), ("data hash", run.data_hash)),
        *(("config hash", run.config_hash), ("protocol", run.protocol_hash)),
        *(
            ("started from", lineage),
            ("created", moment(run.created)),
            ("ended", "" if run.ended is None else moment(run.ended)),
        ),
        *(("took", took), ("folder", run.folder), ("uuid", run.uuid)),
        ("command line", shlex.join(map(str, argv))),
    ]
    return RunRecordSheet(
        id=run.id,
        status=status,
        tone=status_tone(run),
        fields=tuple((name, clipped(str(v), 2000)) for name, v in pairs if v not in (None, "")),
        commands=_commands(run, status),
        config=_toml(run.config),
        artifacts=_artifacts(run, registry.artifacts(run.uuid)),
    )


def _commands(run: RunRecord, status: str) -> tuple[tuple[str, str], ...]:
    name = shlex.quote(run.id)
    ours = "dump" not in run.config  # another tool has the weights of the others
    found = [(f"a5ctl reproduce {name}", "the same run again from its record, and compare")] * ours
    if ours and status in _STOPPED:
        found.append((f"a5ctl resume {name}", "go on from the newest checkpoint"))
    found.append((f"a5ctl diagnose {name}", "why the wrong responses are wrong"))
    found.append((f"a5ctl show {name}", "everything recorded, environment and events included"))
    return tuple(found)


def _fields(kept: Mapping[str, Any]) -> Fields:
    git = kept.get("git") or {}
    machine = dict(kept.get("machine") or {})
    memory = machine.get("memory_bytes")
    if isinstance(memory, int):
        machine["memory_bytes"] = gib(memory)
    groups = {
        "code": {"commit": git.get("commit"), "uncommitted changes": _changes(git)} if git else {},
        "python": {"python": kept.get("python"), **(kept.get("packages") or {})},
        "machine": machine,
        "threads": kept.get("threads") or {},
        "numerics": kept.get("numerics") or {},
    }
    return tuple(
        (group, tuple((name, _text(value)) for name, value in named.items() if _told(value)))
        for group, named in groups.items()
        if any(map(_told, named.values()))
    )


def _changes(git: Mapping[str, Any]) -> str:
    parts = []
    if git.get("dirty"):
        lines = str(git.get("diff") or "").count("\n")
        cut = " and more" if git.get("diff_cut") else ""
        parts.append(f"{count(lines)} lines{cut}, SHA-256 {git.get('diff_hash')}")
    if git.get("untracked"):
        parts.append(f"untracked: {', '.join(map(str, git['untracked']))}")
    return "; ".join(parts) or "none"


def _told(value: Any) -> bool:
    return value not in (None, "", [], {})


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _diff(kept: Mapping[str, Any]) -> str:
    return clipped(str((kept.get("git") or {}).get("diff") or ""), _DIFF_CHARS)


def _differences(codes: Sequence[Code]) -> Table | None:
    flat = [{f"{g} {n}": v for g, named in code.fields for n, v in named} for code in codes]
    names = dict.fromkeys(name for one in flat for name in one)
    rows = tuple(
        (Cell(name, Tone.CODE), *(Cell(one.get(name, "-")) for one in flat))
        for name in names
        if len({one.get(name) for one in flat}) > 1
    )
    if not rows:
        return None
    headers = ("field", *(f"E{number}" for number in range(1, len(codes) + 1)))
    return Table("In what the environments differ.", headers, rows)


def _toml(config: Mapping[str, Any]) -> str:
    text = tomli_w.dumps(_without_none(config))
    return clipped(text, _CONFIG_CHARS)


def _without_none(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, Mapping) else value
        for key, value in tree.items()
        if value is not None
    }


def _artifacts(run: RunRecord, found: Sequence[ArtifactRecord]) -> Table | None:
    if not found:
        return None
    shown = found[-_MOST_ARTIFACTS:]
    some = f", the newest {len(shown)} of {len(found)}" if len(shown) < len(found) else ""
    rows = tuple(
        (
            *(Cell(clipped(artifact.path, 300), Tone.CODE), Cell(artifact.kind)),
            *(Cell(compact(artifact.bytes)), Cell(artifact.sha256, Tone.CODE)),
        )
        for artifact in shown
    )
    caption = f"Files of {run.id}{some}."
    return Table(caption, ("path", "kind", "bytes", "SHA-256"), rows, frozenset((2,)))
