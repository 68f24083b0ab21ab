"""What Alembic runs: migrates on the connection it is handed, in that transaction."""

from alembic import context

from core.registry import schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.SQLModel.metadata,
    transactional_ddl=True,
)
context.run_migrations()
