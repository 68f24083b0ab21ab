"""Runs as such: made, found, listed, settled and deleted."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import UserError
from core.registry import run_queries
from core.registry.codec import clean, stored_table
from core.registry.database import Database
from core.registry.liveness import display_status
from core.registry.records import Deletion, NamesInUse, NewRun, RunRecord, RunStatus

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from core.registry.query.request import Selection
    from core.registry.query.selection import SelectedRuns


class RunStore:
    """The part of the registry that holds the runs; `core.registry.store` has the rest."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @property
    def label(self) -> str:
        """Where the registry is, for messages."""
        return self.database.label

    def close(self) -> None:
        """Close all connections; the next access opens new ones."""
        self.database.close()

    def create_run(self, new: NewRun) -> RunRecord:
        """Store a new run as queued, under a short id that no other run has.

        Raises:
            UserError: the registry cannot be written, or `new.id` is taken.
        """
        from core.registry.run_writes import insert_run

        uuid = insert_run(self.database, new)
        return self.run_by_uuid(uuid)

    def adopt_run(self, columns: Mapping[str, Any], folder: Path | None = None) -> RunRecord:
        """Store a run that another registry made; it gets a new short id if its own is taken.

        Args:
            columns: Its row, as its journal has it.
            folder: Its run folder, whose file of labels is newer than the row.
        """
        from core.registry.labels import tell_of_damage, with_labels
        from core.registry.run_writes import insert_foreign_run

        labelled, damage = with_labels(columns, folder)
        run = self.run_by_uuid(insert_foreign_run(self.database, labelled))
        if damage is not None:
            tell_of_damage(self.database, run, damage)
        return run

    def find_run(self, reference: str) -> RunRecord:
        """The run a person means: short id, uuid, name, unique beginning or ending of an id.

        Raises:
            UserError: no run fits (near matches are named), or several do.
        """
        return run_queries.find_run(self.database, reference)

    def run_by_uuid(self, uuid: str) -> RunRecord:
        """The run with this identity.

        Raises:
            UserError: there is none.
        """
        run = run_queries.run_by_uuid(self.database, uuid)
        if run is None:
            raise UserError(f"registry {self.label} has no run with the uuid {uuid}")
        return run

    def runs(
        self,
        kind: str | None = None,
        group: str | None = None,
        status: str | None = None,
        limit: int | None = None,
        *,
        archived: bool = False,
    ) -> list[RunRecord]:
        """Runs that fit everything given, newest first.

        Args:
            status: As stored, or as shown: `stale` and `lost` work too.
            archived: With those that were archived.
        """
        read = run_queries.list_runs
        if status is None:
            return read(self.database, kind, group, None, limit, archived=archived)
        stored = status if status in list(RunStatus) else None
        found = read(self.database, kind, group, stored, None, archived=archived)
        return [run for run in found if display_status(run) == status][:limit]

    def count_runs(
        self, kind: str | None = None, group: str | None = None, *, archived: bool = False
    ) -> int:
        """How many runs fit everything given."""
        return run_queries.count_runs(self.database, kind, group, archived=archived)

    def names_in_use(self) -> NamesInUse:
        """Groups and kinds that runs have."""
        return run_queries.names_in_use(self.database)

    def select_runs(self, selection: "Selection") -> "SelectedRuns":
        """Runs that a filter lets through, in the order asked for, with the fields asked for.

        Raises:
            UserError: the filter, a field or the order cannot be understood.
        """
        from core.registry.query.selection import select_runs

        return select_runs(self.database, selection)

    def runs_by_uuid(self, run_uuids: Sequence[str]) -> list[RunRecord]:
        """These runs, in the order asked for; unknown ones are left out."""
        return run_queries.runs_by_uuid(self.database, run_uuids)

    def children(self, run_uuid: str) -> list[RunRecord]:
        """Runs that started from this one's weights."""
        return run_queries.children(self.database, run_uuid)

    def ancestors(self, run: RunRecord) -> list[RunRecord]:
        """The runs that this one descends from, the nearest first; it ends where one is gone."""
        return run_queries.ancestors(self.database, run)

    def descendants(self, run_uuid: str) -> list[RunRecord]:
        """Every run that descends from this one, oldest first."""
        return run_queries.descendants(self.database, run_uuid)

    def set_status(
        self,
        run_uuid: str,
        status: RunStatus | str,
        exit_reason: str | None = None,
        traceback: str | None = None,
    ) -> None:
        """Set a run's status by hand; a settled one gets the time of its end.

        Raises:
            UserError: the registry cannot be written.
        """
        wanted = RunStatus(status)
        values: dict[str, Any] = {"status": wanted.value, "exit_reason": exit_reason}
        values |= {"traceback": traceback, "ended": time.time() if wanted.settled else None}
        self._update(run_uuid, values)

    def set_config(self, run_uuid: str, config: Mapping[str, Any], config_hash: str) -> None:
        """Replace a run's configuration, for choices that are made while it runs."""
        text = clean(json.dumps(config))
        self._update(run_uuid, {"config": text, "config_hash": config_hash})

    def beat(self, connection: "Connection", run_uuid: str) -> None:
        """Note a sign of life in an open transaction; a run that was given up runs again."""
        from core.registry.run_writes import beat

        beat(connection, run_uuid)

    def provenance(self, run_uuid: str) -> dict[str, Any]:
        """Commit, packages, hardware and hashes of a run."""
        return stored_table(self._column(run_uuid, "provenance") or "", "the provenance of a run")

    def traceback(self, run_uuid: str) -> str | None:
        """What a failed run raised; None when nothing was kept."""
        return self._column(run_uuid, "traceback")

    def columns(self, run_uuid: str) -> dict[str, Any]:
        """A run's whole row as written into its journal."""
        from core.registry.run_writes import run_columns

        return run_columns(self.database, run_uuid)

    def plan_deletion(self, run_uuid: str) -> Deletion:
        """What would go with a run: rows by table, its folder, and the runs that came from it."""
        from core.registry.run_writes import plan_deletion

        return plan_deletion(self.database, self.run_by_uuid(run_uuid))

    def delete_run(self, run_uuid: str) -> Deletion:
        """Delete a run's rows and return what went; its folder is left to the caller.

        Raises:
            UserError: the run is still running.
        """
        from core.registry.run_writes import delete_run

        return delete_run(self.database, self.run_by_uuid(run_uuid))

    def _update(self, run_uuid: str, values: dict[str, Any]) -> None:
        from core.registry.run_writes import update_run

        update_run(self.database, run_uuid, values)

    def _column(self, run_uuid: str, column: str) -> Any:
        sql = f"SELECT {column} FROM run WHERE uuid = :uuid"
        rows = self.database.read(sql, {"uuid": run_uuid})
        if not rows:
            raise UserError(f"registry {self.label} has no run with the uuid {run_uuid}")
        return rows[0][0]
