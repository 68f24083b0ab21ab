"""What two runs do not have in common, of everything that can change a result."""

import difflib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from core.config.flat import flatten
from core.protocol import BLOCKING_FIELDS
from core.registry.records import RunRecord
from core.registry.store import Registry

_CONTEXT_LINES = 2
# these differ between any two runs and change nothing
_INCIDENTAL = ("process.pid", "process.started", "reproduces.run", "reproduces.uuid")
_CODE = ("git.commit", "git.dirty")


class Section(StrEnum):
    """Where a difference lies."""

    CONFIGURATION = "configuration"
    INPUTS = "data and model"
    CODE = "code"
    ENVIRONMENT = "environment"
    PROTOCOL = "protocol"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs; None where a run does not have it.

    Attributes:
        blocking: In a protocol: accuracies cannot be compared.
    """

    name: str
    a: Any
    b: Any
    blocking: bool = False


@dataclass(frozen=True, slots=True)
class RunDiff:
    """Two runs side by side.

    Attributes:
        sections: Those with differences, each with at least one.
        patch: From the uncommitted changes of one to those of the other, as unified diff lines.
        notes: What could not be compared.
    """

    a: RunRecord
    b: RunRecord
    sections: Mapping[Section, tuple[Difference, ...]]
    patch: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def alike(self) -> bool:
        """Nothing differs."""
        return not self.sections and not self.patch


def diff_runs(registry: Registry, a: RunRecord, b: RunRecord) -> RunDiff:
    """Compare two runs."""
    provenances = [registry.provenance(run.uuid) for run in (a, b)]
    protocols = [_protocol(registry, run) for run in (a, b)]
    pairs: dict[Section, list[Mapping[str, Any]]] = {
        Section.CONFIGURATION: [flatten(run.config) for run in (a, b)],
        Section.INPUTS: [_inputs(registry, run) for run in (a, b)],
        Section.CODE: [_code(provenance) for provenance in provenances],
        Section.ENVIRONMENT: [_environment(provenance) for provenance in provenances],
        Section.PROTOCOL: [protocol or {} for protocol in protocols],
    }
    if None in protocols:
        del pairs[Section.PROTOCOL]
    found = {section: _differences(section, *pair) for section, pair in pairs.items()}
    notes = [
        f"{run.id} has no evaluation, so there is no protocol to compare"
        for run, protocol in zip((a, b), protocols, strict=True)
        if protocol is None
    ]
    notes += [
        f"{run.id} recorded no provenance"
        for run, provenance in zip((a, b), provenances, strict=True)
        if not provenance
    ]
    sections = {section: rows for section, rows in found.items() if rows}
    return RunDiff(a, b, sections, _patch(a, b, provenances), tuple(notes))


def diff_json(diff: RunDiff) -> dict[str, Any]:
    """The comparison for programs."""
    return {
        "a": diff.a.id,
        "b": diff.b.id,
        "differs": not diff.alike,
        "sections": {
            section.value: [asdict(difference) for difference in rows]
            for section, rows in diff.sections.items()
        },
        "patch": list(diff.patch),
        "notes": list(diff.notes),
    }


def _differences(
    section: Section, a: Mapping[str, Any], b: Mapping[str, Any]
) -> tuple[Difference, ...]:
    names = [*a, *(name for name in b if name not in a)]
    return tuple(
        Difference(
            name,
            a.get(name),
            b.get(name),
            blocking=section is Section.PROTOCOL and name in BLOCKING_FIELDS,
        )
        for name in names
        if a.get(name) != b.get(name)
    )


def _inputs(registry: Registry, run: RunRecord) -> dict[str, Any]:
    parent = registry.runs_by_uuid([run.parent_uuid]) if run.parent_uuid else []
    return {
        "started from": parent[0].id if parent else run.parent_uuid,
        "model": run.model,
        "model_hash": run.model_hash,
        "data": run.data,
        "data_hash": run.data_hash,
    }


def _code(provenance: Mapping[str, Any]) -> dict[str, Any]:
    flat = flatten(provenance)
    return {name: flat[name] for name in _CODE if name in flat}


def _environment(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Packages, machine, threads, variables, and the command line as one text."""
    flat = flatten(provenance)
    kept = {
        name: value
        for name, value in flat.items()
        if not name.startswith("git.") and name not in (*_INCIDENTAL, "argv")
    }
    argv = provenance.get("argv")
    command = shlex.join(map(str, argv)) if isinstance(argv, list | tuple) else argv
    return {"command line": command, **kept}


def _protocol(registry: Registry, run: RunRecord) -> Mapping[str, Any] | None:
    evaluations = registry.evaluations([run.uuid])
    return evaluations[-1].protocol if evaluations else None


def _patch(a: RunRecord, b: RunRecord, provenances: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    texts = [str((provenance.get("git") or {}).get("diff") or "") for provenance in provenances]
    if texts[0] == texts[1]:
        return ()
    before, after = (text.splitlines() for text in texts)
    old, new = (f"uncommitted changes of {run.id}" for run in (a, b))
    return tuple(difflib.unified_diff(before, after, old, new, n=_CONTEXT_LINES, lineterm=""))
