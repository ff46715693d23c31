"""What came after the first schema: runs that other executors report, checks of hosts.

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
    _questions()
    _host_checks()
    _run_plans()


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


def _questions() -> None:
    op.create_table(
        "questions",
        sa.Column("id", WORD, nullable=False),
        *(sa.Column(name, WORD, nullable=False) for name in ("client_id", "execution_id", "status")),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_questions"),
    )
    op.create_index("ix_questions", "questions", ["created_at", "id"])
    _listed("questions", "client_id", "client_id+status", "execution_id", "status")


def _host_checks() -> None:
    op.create_table(
        "host_checks",
        sa.Column("id", WORD, nullable=False),
        *(sa.Column(name, WORD, nullable=False) for name in ("client_id", "host_id")),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_host_checks"),
    )
    op.create_index("ix_host_checks", "host_checks", ["created_at", "id"])
    _listed("host_checks", "client_id", "host_id")


def _run_plans() -> None:
    op.create_table(
        "run_plans",
        sa.Column("id", WORD, nullable=False),
        *(sa.Column(name, WORD, nullable=False) for name in ("client_id", "host_id", "incident_id")),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_run_plans"),
    )
    op.create_index("ix_run_plans", "run_plans", ["created_at", "id"])
    _listed("run_plans", "client_id", "incident_id")


def _listed(table: str, *groups: str) -> None:
    for group in groups:
        columns = group.split("+")
        op.create_index("_".join(("ix", table, *columns)), table, [*columns, "created_at", "id"])
