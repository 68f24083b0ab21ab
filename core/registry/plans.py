"""Plans in the registry: every version keeps the time it was first seen."""

import time

from core.registry.codec import clean
from core.registry.database import Database
from core.registry.records import PlanRecord
from core.registry.schema import Plan, table
from core.registry.upsert import insert_new


def note_plan(database: Database, name: str, digest: str, text: str) -> list[PlanRecord]:
    """Store a version unless it is there; returns all versions of this name, oldest first.

    Raises:
        UserError: the registry cannot be written.
    """
    known = plan_versions(database, name)
    if any(version.hash == digest for version in known):
        return known
    row = {"name": name, "hash": digest, "first_seen": time.time(), "text": clean(text)}
    with database.begin() as connection:
        insert_new(connection, table(Plan), [row], ("name", "hash"))
    return plan_versions(database, name)


def plan_versions(database: Database, name: str) -> list[PlanRecord]:
    """All versions of the plan with this name, oldest first."""
    sql = "SELECT name, hash, first_seen, text FROM plan WHERE name = :name"
    rows = database.read(f"{sql} ORDER BY first_seen, key", {"name": name})
    return [PlanRecord(*row) for row in rows]
