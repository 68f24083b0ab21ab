"""Making a recorded run again: what it takes, what has changed since, and what is in the way."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from itertools import count
from typing import Any

from core.config.flat import flatten
from core.config.load import build_config, to_tree
from core.config.schema import RunConfig, RunKind
from core.errors import UserError
from core.models import model_hash
from core.provenance import data_hash
from core.registry.liveness import display_status
from core.registry.records import RunRecord, RunStatus
from core.registry.store import Registry
from core.reproduction.compare import refuse_alive
from core.reproduction.surroundings import Aspect, Difference
from core.responses.names import GRADER_VERSIONS, GraderName
from core.workspace import Workspace
from trainers.distributed.checks import processes
from trainers.execute import learned_hash
from trainers.origin import find_origin
from trainers.pair_copy import kept_pairs
from trainers.prepare import Prepared, prepare

LINK = "reproduces"
"""Entry of a run's provenance that names the run it was made again from."""
_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Initial:
    """Other weights to start from: a checkpoint that was made again, for one.

    Attributes:
        run: Id of the run.
        step: Which checkpoint; the recorded step when None.
    """

    run: str
    step: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """How a run can be made again.

    Attributes:
        run: The recorded run.
        prepared: The run to be; None where something is in the way.
        changed: Settings and inputs that are not as they were.
        refusals: One sentence per input that has changed: only on demand does it go on.
        obstacle: Why it cannot be made again at all.
        stop_after: The update to stop behind; None goes on to the last one.
        notes: What may make a difference, or was chosen.
    """

    run: RunRecord
    prepared: Prepared | None
    changed: tuple[Difference, ...] = ()
    refusals: tuple[str, ...] = ()
    obstacle: str | None = None
    stop_after: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def link(self) -> dict[str, Any]:
        """For the provenance of the run to be."""
        return {LINK: {"run": self.run.id, "uuid": self.run.uuid}}


def check_recorded(run: RunRecord, provenance: Mapping[str, Any], workspace: Workspace) -> None:
    """Refuse runs that were not made here, and such as may still be under way.

    Raises:
        UserError: with the reason, and what to do instead.
    """
    imported = provenance.get("imported") or {}
    if imported or run.kind not in list(RunKind):
        tool = imported.get("from", "another tool")
        raise UserError(
            f"run {run.id} was imported from {tool}, so there is no configuration to make it again "
            f"from; compare two runs with a5ctl reproduce RUN --with {run.id}"
        )
    if "dump" in run.config:
        raise UserError(
            f"run {run.id} holds responses that were graded from a file, which a5ctl did not "
            "generate; grade the file again with a5ctl grade"
        )
    refuse_alive(run, workspace)


def plan_reproduction(
    run: RunRecord,
    workspace: Workspace,
    registry: Registry,
    *,
    initial: Initial | None = None,
    steps: int | None = None,
    name: str | None = None,
) -> Plan:
    """Look at everything that the run was made from; nothing is written.

    Args:
        run: A run that was made here.
        workspace: Where runs are.
        registry: Where they are recorded.
        initial: Other weights to start from.
        steps: Make only so many updates; those that a run made which did not finish when None.
        name: Of the run to be.

    Raises:
        UserError: the configuration is that of another version, or `steps` fits no such run.
    """
    config = _config(run, registry)
    _check_steps(run, config, steps)
    notes = list(_notes(registry, run))
    stop_after = steps
    if steps is None and run.status is not RunStatus.FINISHED and config.kind is not RunKind.EVAL:
        stop_after = registry.last_steps([run.uuid]).get(run.uuid) or None
        made = "no update" if stop_after is None else f"the updates up to step {stop_after}"
        notes.append(f"{run.id} did not finish ({display_status(run)}); it has recorded {made}")
    config = _from(config, initial)
    added = _added(run, config)
    labels = {
        "name": name or _free_name(registry, run),
        "group": None,
        "tags": ("reproduction",),
        "note": f"made again from {run.id}",
    }
    config = config.model_copy(update=labels)
    try:
        _check_origin(run, config, workspace, registry)
    except UserError as error:
        obstacle = f"run {run.id} cannot be made again: {error}"
        return Plan(run, None, added, obstacle=obstacle, notes=tuple(notes))
    try:
        pairs = kept_pairs(workspace.run_folder(run.id), run.data_hash)
        kept = pairs if config.kind is RunKind.DPO else None
        prepared = prepare(config, workspace, registry, kept)
    except UserError as error:
        return Plan(run, None, added, obstacle=_obstacle(run, error), notes=tuple(notes))
    changed, refusals = _inputs(run, prepared, registry)
    if stop_after is not None and processes(prepared.config) > 1:
        notes.append("several processes train together, so every update is made again")
        stop_after = None
    return Plan(
        run, prepared, (*added, *changed), refusals, stop_after=stop_after, notes=tuple(notes)
    )


def _config(run: RunRecord, registry: Registry) -> RunConfig:
    try:
        return build_config(run.config, f"stored config of run {run.id}")
    except UserError as error:
        provenance = registry.provenance(run.uuid)
        recorded = provenance.get("packages", {}).get("a5ctl", "of an unknown version")
        commit = (provenance.get("git") or {}).get("commit")
        place = f" (commit {_short(commit)})" if commit else ""
        raise UserError(
            f"{error}. The run was recorded by a5ctl {recorded}{place}, and this is a5ctl "
            f"{version('a5ctl')}: make it again with the code that recorded it"
        ) from error


def _check_steps(run: RunRecord, config: RunConfig, steps: int | None) -> None:
    if steps is None:
        return
    if config.kind is RunKind.EVAL:
        raise UserError(f"run {run.id} only evaluates and has no steps; leave out --steps {steps}")
    if processes(config) > 1:
        raise UserError(
            f"run {run.id} trains in {processes(config)} processes, which cannot be stopped at a "
            f"step; leave out --steps {steps}"
        )


def _from(config: RunConfig, initial: Initial | None) -> RunConfig:
    if initial is None:
        return config
    step = config.model.run_step if initial.step is None else initial.step
    start = {"run": initial.run, "run_step": step, "run_choice": None}
    return config.model_copy(update={"model": config.model.model_copy(update=start)})


def _added(run: RunRecord, config: RunConfig) -> tuple[Difference, ...]:
    """Settings that the recording version did not have, with the value that they take now."""
    recorded, now = flatten(run.config), flatten(to_tree(config))
    start = ("model.run", "model.run_step")
    names = sorted(name for name in now if name not in recorded and name not in start)
    return tuple(Difference(Aspect.SETTINGS, name, None, now[name]) for name in names)


def _free_name(registry: Registry, run: RunRecord) -> str:
    rows = registry.database.read("SELECT name FROM run WHERE name IS NOT NULL")
    taken = {row[0] for row in rows}
    names = (f"{run.id}-again{'' if number == 1 else f'-{number}'}" for number in count(1))
    return next(name for name in names if name not in taken)


def _notes(registry: Registry, run: RunRecord) -> list[str]:
    """Choices that the run made on its way: making it again begins with the last of them."""
    notes = []
    for event in registry.events(run.uuid):
        if event.kind == "out_of_memory":
            notes.append(
                f"{run.id} ran out of memory at step {event.step} and went on with smaller "
                "micro-batches; they hold from the first step now, and may round otherwise"
            )
        elif event.kind == "surroundings":
            notes.append(f"{run.id} was resumed, and {event.message}")
        elif event.kind == "processes" and "(before:" in event.message:
            notes.append(f"{run.id} went on with another number of processes: {event.message}")
    return notes


def _check_origin(
    run: RunRecord, config: RunConfig, workspace: Workspace, registry: Registry
) -> None:
    """Raises UserError where the run's first weights are gone, with two ways to have them."""
    if config.model.run is None:
        return
    step = config.model.run_step
    place = f"step {step} of run {config.model.run}"
    again = f"a5ctl reproduce {run.id} --init RUN:{'STEP' if step is None else step}"
    try:
        parent = registry.find_run(config.model.run)
    except UserError as error:
        raise UserError(
            f"it starts from {place}, and {error}; name another run with the same weights: {again}"
        ) from error
    try:
        find_origin(config.model, parent, workspace, registry)
    except UserError as error:
        raise UserError(
            f"it starts from {place}, whose checkpoint cannot be had ({error}); make "
            f"that run again first with a5ctl reproduce {parent.id}, then this one from it: {again}"
        ) from error


def _obstacle(run: RunRecord, error: UserError) -> str:
    known = f"; its data had the hash {_short(run.data_hash)}" if run.data_hash else ""
    return f"run {run.id} cannot be made again: {error}{known}"


def _inputs(
    run: RunRecord, prepared: Prepared, registry: Registry
) -> tuple[tuple[Difference, ...], tuple[str, ...]]:
    """Data, evaluated data and model by their hashes, each with a sentence where it is another."""
    config = prepared.config
    source = config.dpo.pairs if prepared.pairs else config.data.source
    found = [
        ("data", str(source), run.data_hash, learned_hash(prepared)),
        ("model", str(prepared.model_dir), run.model_hash, model_hash(prepared.model_dir)),
    ]
    evaluations = registry.evaluations([run.uuid])
    asked = evaluations[-1].protocol if evaluations else {}
    if asked and config.kind is not RunKind.EVAL:
        place = config.data.evaluation_source or config.data.source
        found.append(("evaluated data", place, asked["data_hash"], data_hash(prepared.evaluation)))
    if asked:
        texts = (asked["prompt_text"], prepared.template.text)
        old_text, new_text = map(_text_hash, texts)
        found.append(("prompt", config.prompt.template, old_text, new_text))
    other = [row for row in found if row[2] is not None and row[2] != row[3]]
    changed = [
        Difference(Aspect.INPUTS, what, _short(old), _short(now)) for what, _, old, now in other
    ]
    refusals = [
        f"the {what} of run {run.id} has changed: {place} has the hash {_short(now)} now, and "
        f"{_short(old)} was recorded; restore it, or make another run of it with --anyway"
        for what, place, old, now in other
    ]
    return (*changed, *_grader(asked)), tuple(refusals)


def _grader(asked: Mapping[str, Any]) -> list[Difference]:
    """The headline grader, where this version of the program judges otherwise."""
    if not asked:
        return []
    now = GRADER_VERSIONS.get(GraderName(asked["grader"]))
    if now == asked["grader_version"]:
        return []
    name = f"version of grader {asked['grader']}"
    return [Difference(Aspect.CODE, name, asked["grader_version"], now)]


def _text_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _short(digest: str | None) -> str:
    return "none" if digest is None else digest[:_DIGITS]
