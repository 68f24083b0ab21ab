"""Reads what versions of a plan the registry holds."""

from core.registry.database import Database
from core.registry.records import PlanRecord


def plan_versions(database: Database, name: str) -> list[PlanRecord]:
    """All versions of the plan with this name, oldest first."""
    sql = "SELECT name, hash, first_seen, text FROM plan WHERE name = :name"
    rows = database.read(f"{sql} ORDER BY first_seen, key", {"name": name})
    return [PlanRecord(*row) for row in rows]
