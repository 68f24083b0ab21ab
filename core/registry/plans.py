"""Plans in the registry: every version keeps the time it was first seen.

`plans.jsonl` of the workspace says the same, line by line, and is written first; a registry that
is built again takes them from there.
"""

import time
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from core.errors import UserError
from core.registry.codec import clean
from core.registry.database import Database
from core.registry.journal import append_lines, read_lines
from core.registry.lock import FileLock
from core.registry.plan_queries import plan_versions
from core.registry.records import PlanRecord
from core.registry.schema import Plan, table
from core.registry.upsert import insert_new
from core.workspace import Workspace

PLANS_NAME = "plans.jsonl"
_LOCK_NAME = ".plans.lock"


class _PlanLine(BaseModel):
    """One version of a plan."""

    model_config = ConfigDict(frozen=True)

    name: str
    hash: str
    first_seen: float
    text: str


def note_plan(
    database: Database, workspace: Workspace | None, name: str, digest: str, text: str
) -> list[PlanRecord]:
    """Store a version unless it is there; returns all versions of this name, oldest first.

    Args:
        database: Where to.
        workspace: Whose file of plans gets it too; None where only the registry shall have it.
        name: Of the plan.
        digest: Of its content.
        text: As it was written.

    Raises:
        UserError: registry or workspace cannot be written.
    """
    known = plan_versions(database, name)
    if any(version.hash == digest for version in known):
        return known
    version = PlanRecord(name, digest, time.time(), clean(text))
    if workspace is not None:
        (version,) = journal_plans(workspace, [version])
    store_plans(database, [version])
    return plan_versions(database, name)


def store_plans(database: Database, plans: Sequence[PlanRecord]) -> None:
    """Store versions; those that are there stay as they are.

    Raises:
        UserError: the registry cannot be written.
    """
    if not plans:
        return
    rows = [{name: getattr(plan, name) for name in _PlanLine.model_fields} for plan in plans]
    with database.begin() as connection:
        insert_new(connection, table(Plan), rows, ("name", "hash"))


def journal_plans(workspace: Workspace, plans: Sequence[PlanRecord]) -> list[PlanRecord]:
    """Write versions into the workspace's file; those that are there stay.

    Returns:
        The same versions as the file has them: some may have been known there for longer.

    Raises:
        UserError: the file cannot be written; nothing of it was.
    """
    try:
        with FileLock(workspace.root / _LOCK_NAME):
            there = {(plan.name, plan.hash): plan for plan in journaled_plans(workspace)[0]}
            new = [plan for plan in plans if (plan.name, plan.hash) not in there]
            append_lines(workspace.root, [_line(plan) for plan in new], PLANS_NAME)
    except OSError as error:
        reason = error.strerror or "another process holds it"
        raise UserError(
            f"{workspace.root / PLANS_NAME} cannot be written ({reason}), so the plan was not "
            "noted; make it writable"
        ) from error
    return [there.get((plan.name, plan.hash), plan) for plan in plans]


def journaled_plans(workspace: Workspace) -> tuple[list[PlanRecord], int]:
    """What the workspace's file holds, oldest line first, and how many lines are damaged.

    Raises:
        OSError: it cannot be read.
    """
    plans: dict[tuple[str, str], PlanRecord] = {}
    damaged = 0
    for _, lines in read_lines(workspace.root / PLANS_NAME):
        for line in lines:
            try:
                found = _PlanLine.model_validate_json(line)
            except ValueError:
                damaged += bool(line.strip())
                continue
            plan = PlanRecord(found.name, found.hash, found.first_seen, found.text)
            plans.setdefault((plan.name, plan.hash), plan)
    return list(plans.values()), damaged


def _line(plan: PlanRecord) -> bytes:
    line = _PlanLine(name=plan.name, hash=plan.hash, first_seen=plan.first_seen, text=plan.text)
    return line.model_dump_json().encode() + b"\n"
