"""What came after the first schema: runs that other executors report.

Until it is released, further changes go in here, each in a function of its own.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the tables."""
    _external_executions()


def _external_executions() -> None:
    names = ("client_id", "source", "status", "runbook_id", "learning")
    op.create_table(
        "external_executions",
        sa.Column("id", WORD, nullable=False),
        *(sa.Column(name, WORD, nullable=False) for name in names),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_external_executions"),
    )
    op.create_index("ix_external_executions", "external_executions", ["created_at", "id"])
    _listed("external_executions", "client_id", "client_id+status", "client_id+learning", "client_id+source")
    _listed("external_executions", "client_id+runbook_id", "status", "source", "learning", "runbook_id")


def _listed(table: str, *groups: str) -> None:
    for group in groups:
        columns = group.split("+")
        op.create_index("_".join(("ix", table, *columns)), table, [*columns, "created_at", "id"])
