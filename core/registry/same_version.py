"""A run lasts for days, and somebody may upgrade a5ctl, and with it the registry, meanwhile."""

from sqlalchemy import Connection, text

from core.errors import UserError
from core.registry.migrations import HEAD, REVISIONS


class NewerTablesError(UserError):
    """A newer a5ctl has migrated the registry under this process."""


def is_same_version(connection: Connection, label: str) -> bool:
    """Whether the tables are still those that this process knows; older ones can be upgraded.

    Tables that look alike may mean something else in another version, so nothing may be written
    into them, even where SQL would not mind.

    Args:
        connection: An open transaction, within which the answer holds.
        label: The registry for messages.

    Raises:
        NewerTablesError: they are newer.
    """
    version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if version in REVISIONS:
        return version == HEAD
    raise NewerTablesError(
        f"registry {label} was upgraded by a newer a5ctl (schema {version}; this run knows up to "
        f"{HEAD}), which will merge what this run adds"
    )
