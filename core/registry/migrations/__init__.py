"""The steps from an empty database to today's tables (Alembic), oldest first."""

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006")
"""Every revision in order, so that a registry's version is known without importing Alembic."""

HEAD = REVISIONS[-1]
