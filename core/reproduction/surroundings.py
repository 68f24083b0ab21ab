"""What was recorded of code, packages and machine, against what there is now."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

_SHOWN_DIGITS = 12
_LONGEST = 200
_MACHINE = ("os", "cpu", "usable_cores", "gpus", "driver")
# places, display, and what the stored configuration says itself: none of it changes a figure
_NO_MATTER = re.compile(
    r"NO_COLOR|COLUMNS|A5CTL_(HOME|REGISTRY|MODEL|DATA|ENGINE)|HF_HOME|HF_HUB_DISABLE_\w+|"
    # where things are kept; torch sets such a variable itself once it is loaded
    r"\w+_CACHE(_DIR|_ROOT)?|SLURM_JOB_\w+|PBS_JOBID"
)


class Aspect(StrEnum):
    """Where a difference lies."""

    CODE = "code"
    SETTINGS = "settings"
    PACKAGES = "packages"
    HARDWARE = "hardware"
    THREADS = "threads"
    NUMERICS = "numerics"
    ENVIRONMENT = "environment"
    INPUTS = "data and model"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it was; None where there is or was no such thing."""

    aspect: Aspect
    name: str
    recorded: Any
    now: Any


def differences(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> list[Difference]:
    """Compare two records of `core.provenance`; what an older record lacks is not compared."""
    pairs = {aspect: (_facts(aspect, recorded), _facts(aspect, now)) for aspect in _READERS}
    return [
        Difference(aspect, name, old.get(name), new.get(name))
        for aspect, (old, new) in pairs.items()
        if old
        for name in _names(aspect, old, new)
        if old.get(name) != new.get(name)
    ]


def shown(value: Any) -> str:
    """A value of a difference in short, for people."""
    if value is None:
        return "none"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _names(aspect: Aspect, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    yield from old
    if aspect in (Aspect.PACKAGES, Aspect.ENVIRONMENT, Aspect.CODE):
        yield from (name for name in new if name not in old)


def _facts(aspect: Aspect, provenance: Mapping[str, Any]) -> dict[str, Any]:
    return _READERS[aspect](provenance)


def _code(provenance: Mapping[str, Any]) -> dict[str, Any]:
    git = provenance.get("git")
    if "git" not in provenance:
        return {}
    if git is None:
        return {"commit": None}
    untracked = git.get("untracked") or {}
    return {
        "commit": str(git.get("commit"))[:_SHOWN_DIGITS],
        "uncommitted changes": _diff_hash(git),
        **{f"untracked {name}": digest[:_SHOWN_DIGITS] for name, digest in untracked.items()},
    }


def _diff_hash(git: Mapping[str, Any]) -> str | None:
    """Records from before the hash hold the whole difference, unless it was cut."""
    diff = str(git.get("diff") or "")
    digest = git.get("diff_hash")
    if digest is None and diff:
        digest = hashlib.sha256(diff.encode()).hexdigest()
    return None if digest is None else str(digest)[:_SHOWN_DIGITS]


def _packages(provenance: Mapping[str, Any]) -> dict[str, Any]:
    packages = provenance.get("packages")
    if packages is None:
        return {}
    return {"python": provenance.get("python"), **packages}


def _hardware(provenance: Mapping[str, Any]) -> dict[str, Any]:
    machine = provenance.get("machine") or {}
    return {name: machine[name] for name in _MACHINE if name in machine}


def _threads(provenance: Mapping[str, Any]) -> dict[str, Any]:
    return dict(provenance.get("threads") or {})


def _numerics(provenance: Mapping[str, Any]) -> dict[str, Any]:
    return dict(provenance.get("numerics") or {})


def _environment(provenance: Mapping[str, Any]) -> dict[str, Any]:
    variables = provenance.get("environment")
    if variables is None:
        return {}
    counted = _threads(provenance)  # told there
    kept = (name for name in variables if not _NO_MATTER.fullmatch(name) and name not in counted)
    return {"": None, **{name: variables[name] for name in kept}}


_READERS = {
    Aspect.CODE: _code,
    Aspect.PACKAGES: _packages,
    Aspect.HARDWARE: _hardware,
    Aspect.THREADS: _threads,
    Aspect.NUMERICS: _numerics,
    Aspect.ENVIRONMENT: _environment,
}
