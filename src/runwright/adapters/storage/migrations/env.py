"""Run by Alembic for each upgrade. The connection and its transaction come from migrate.py."""

from __future__ import annotations

from alembic import context

from runwright.adapters.storage.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
