"""The first schema.

Frozen: later changes are migrations of their own. It spells out its tables instead of reading `schema.py`, which
goes on changing.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WAITING = "status IN ('pending_review', 'in_review')"


def upgrade() -> None:
    """Build all tables, their indexes and the triggers of the append-only ones."""
    _clients_and_incidents()
    _runbooks()
    _reviews()
    _executions()
    _learning()
    _access()
    _audit()
    for statement in SQLITE_TRIGGERS if op.get_bind().dialect.name == "sqlite" else POSTGRES_TRIGGERS:
        op.execute(sa.DDL(statement.replace("%", "%%")))  # type: ignore[no-untyped-call]  # DDL has no annotations


def _clients_and_incidents() -> None:
    _records("clients")
    _records("hosts", *_words("client_id", "hostname"), unique=("client_id", "hostname"))
    _listed("hosts", "client_id", "hostname")
    _records("incidents", *_words("client_id", "host_id", "status", "incident_type", "fingerprint", "severity"))
    _listed("incidents", "client_id", "client_id+status", "client_id+incident_type", "client_id+severity")
    _listed("incidents", "host_id", "status", "incident_type", "fingerprint", "severity")
    _records("escalations", *_words("client_id", "incident_id", "reason"))
    _listed("escalations", "client_id", "client_id+reason", "incident_id", "reason")


def _runbooks() -> None:
    _records(
        "runbooks",
        *_words("runbook_id", "scope", "digest"),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("parent", WORD, nullable=True),
        unique=("runbook_id", "number"),
    )
    _listed("runbooks", "runbook_id", "scope", "digest", "parent")
    op.create_table(
        "version_counters",
        sa.Column("runbook_id", WORD, primary_key=True),
        sa.Column("last", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("runbook_id", name="pk_version_counters"),
    )
    _records("activations", *_words("runbook_id", "scope", "state", "version_id", "approval_id"))
    _listed("activations", "runbook_id", "scope", "state", "version_id", "approval_id")
    _partial("uq_activations_live", "activations", ["runbook_id", "scope"], "state = 'live'", unique=True)
    _records(
        "routing_rules",
        *_words("scope", "incident_type"),
        sa.Column("active", sa.Boolean, nullable=False),
        *_words("runbook_id"),
    )
    _listed("routing_rules", "scope", "incident_type+active", "active", "runbook_id")


def _reviews() -> None:
    _records(
        "review_queue",
        sa.Column("client_id", WORD, nullable=True),
        *_words("kind", "status"),
        sa.Column("priority", sa.SmallInteger, nullable=False),
        *_words("author_id"),
    )
    _listed("review_queue", "client_id", "client_id+status", "client_id+kind", "client_id+priority")
    _listed("review_queue", "client_id+author_id", "kind", "status", "priority", "author_id")
    order = ["priority", "created_at", "id"]
    _partial("ix_review_queue_waiting", "review_queue", order, WAITING)
    _partial("ix_review_queue_client_id_waiting", "review_queue", ["client_id", *order], WAITING)
    _records("approvals", *_words("subject_id", "scope"))
    _listed("approvals", "subject_id", "scope")


def _executions() -> None:
    _records(
        "executions",
        *_words("client_id", "host_id", "incident_id", "status", "runbook_id", "version_id"),
        sa.Column("epoch", sa.Integer, nullable=False),
    )
    _listed("executions", "client_id", "client_id+status", "client_id+runbook_id", "client_id+version_id")
    _listed("executions", "host_id", "host_id+status", "incident_id", "status", "runbook_id", "version_id")
    _records("execution_results", *_words("client_id", "status", "incident_type", "runbook_id"))
    _listed("execution_results", "client_id")
    op.create_table(
        "step_journal",
        sa.Column("sequence", SEQUENCE, primary_key=True, autoincrement=True),
        *_words("attempt_id", "execution_id"),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text),
        sa.Column("step_status", WORD),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_step_journal"),
        sa.UniqueConstraint("attempt_id", name="uq_step_journal_attempt_id"),
        sa.ForeignKeyConstraint(["execution_id"], ["executions.id"], name="fk_step_journal_execution_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_step_journal_execution_id", "step_journal", ["execution_id", "sequence"])
    op.create_table(
        "events",
        sa.Column("sequence", SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("writer", sa.BigInteger, nullable=False),
        *_words("client_id", "subject_id"),
        sa.Column("document", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_events"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_client_id", "events", ["client_id", "sequence"])
    op.create_index("ix_events_subject_id", "events", ["subject_id", "sequence"])


def _learning() -> None:
    _records("learning_analyses", *_words("client_id", "execution_id", "failure_fingerprint"))
    _listed("learning_analyses", "client_id", "execution_id", "failure_fingerprint")
    _records("proposals", *_words("client_id", "execution_id", "candidate", "parent"))
    _listed("proposals", "client_id", "execution_id", "candidate", "parent")
    _records("trials", *_words("version_id", "digest"))
    _listed("trials", "version_id", "digest")


def _access() -> None:
    _records("users", *_words("name"), unique=("name",))
    _records("sessions", *_words("user_id", "secret_digest"), unique=("secret_digest",), owner="user_id")
    _listed("sessions", "user_id")
    _records("tokens", *_words("name", "secret_digest"), unique=("secret_digest",))
    _listed("tokens", "name")
    _records("stop_switches", *_words("scope"))


def _audit() -> None:
    op.create_table(
        "audit_log",
        sa.Column("chain", WORD, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("hash", WORD, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("chain", "sequence", name="pk_audit_log"),
    )
    op.create_table(
        "audit_heads",
        sa.Column("chain", WORD, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("hash", WORD, nullable=False),
        sa.PrimaryKeyConstraint("chain", name="pk_audit_heads"),
    )


def _words(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, WORD, nullable=False) for name in names]


def _records(name: str, *columns: sa.Column[Any], unique: tuple[str, ...] = (), owner: str | None = None) -> None:
    """A table of records by id; `owner` is a column that refers to users."""
    constraints: list[sa.Constraint] = [sa.PrimaryKeyConstraint("id", name=f"pk_{name}")]
    if owner:
        constraints.append(sa.ForeignKeyConstraint([owner], ["users.id"], name=f"fk_{name}_{owner}"))
    if unique:
        constraints.append(sa.UniqueConstraint(*unique, name=f"uq_{name}_{'_'.join(unique)}"))
    op.create_table(
        name,
        sa.Column("id", WORD, nullable=False),
        *columns,
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        *constraints,
    )
    op.create_index(f"ix_{name}", name, ["created_at", "id"])


def _listed(table: str, *groups: str) -> None:
    for group in groups:
        columns = group.split("+")
        op.create_index("_".join(("ix", table, *columns)), table, [*columns, "created_at", "id"])


def _partial(name: str, table: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    op.create_index(name, table, columns, unique=unique, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


SQLITE_TRIGGERS = (
    (
        "CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log BEGIN SELECT RAISE(ABORT, 'audit_log is "
        "append-only'); END"
    ),
    (
        "CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log BEGIN SELECT RAISE(ABORT, 'audit_log is "
        "append-only'); END"
    ),
    (
        "CREATE TRIGGER audit_log_no_replace BEFORE INSERT ON audit_log WHEN EXISTS (SELECT 1 FROM audit_log "
        "WHERE chain = NEW.chain AND sequence = NEW.sequence) BEGIN SELECT RAISE(IGNORE); END"
    ),
    (
        "CREATE TRIGGER runbooks_no_update BEFORE UPDATE ON runbooks BEGIN SELECT RAISE(ABORT, 'runbooks is "
        "append-only'); END"
    ),
    (
        "CREATE TRIGGER runbooks_no_delete BEFORE DELETE ON runbooks BEGIN SELECT RAISE(ABORT, 'runbooks is "
        "append-only'); END"
    ),
    (
        "CREATE TRIGGER runbooks_no_replace BEFORE INSERT ON runbooks WHEN EXISTS (SELECT 1 FROM runbooks WHERE "
        "id = NEW.id OR (runbook_id = NEW.runbook_id AND number = NEW.number)) BEGIN SELECT RAISE(IGNORE); END"
    ),
    (
        "CREATE TRIGGER step_journal_no_update BEFORE UPDATE OF sequence, attempt_id, execution_id, epoch, "
        "document ON step_journal BEGIN SELECT RAISE(ABORT, 'an intent is never changed'); END"
    ),
    (
        "CREATE TRIGGER step_journal_no_delete BEFORE DELETE ON step_journal BEGIN SELECT RAISE(ABORT, "
        "'step_journal is append-only'); END"
    ),
    (
        "CREATE TRIGGER step_journal_no_replace BEFORE INSERT ON step_journal WHEN EXISTS (SELECT 1 FROM "
        "step_journal WHERE attempt_id = NEW.attempt_id OR sequence = NEW.sequence) BEGIN SELECT RAISE(IGNORE); "
        "END"
    ),
    (
        "CREATE TRIGGER audit_heads_no_delete BEFORE DELETE ON audit_heads BEGIN SELECT RAISE(ABORT, 'a chain is "
        "never deleted'); END"
    ),
    (
        "CREATE TRIGGER audit_heads_no_update BEFORE UPDATE ON audit_heads WHEN NEW.chain <> OLD.chain OR "
        "NEW.sequence <> OLD.sequence + 1 BEGIN SELECT RAISE(ABORT, 'a chain moves on by one'); END"
    ),
    (
        "CREATE TRIGGER audit_heads_no_replace BEFORE INSERT ON audit_heads WHEN EXISTS (SELECT 1 FROM "
        "audit_heads WHERE chain = NEW.chain) BEGIN SELECT RAISE(IGNORE); END"
    ),
)

POSTGRES_TRIGGERS = (
    (
        "CREATE FUNCTION runwright_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '%', "
        "TG_ARGV[0] USING ERRCODE = 'integrity_constraint_violation'; END $$"
    ),
    (
        "CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log FOR EACH ROW EXECUTE FUNCTION "
        "runwright_refuse('audit_log is append-only')"
    ),
    (
        "CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log FOR EACH ROW EXECUTE FUNCTION "
        "runwright_refuse('audit_log is append-only')"
    ),
    (
        "CREATE TRIGGER runbooks_no_update BEFORE UPDATE ON runbooks FOR EACH ROW EXECUTE FUNCTION "
        "runwright_refuse('runbooks is append-only')"
    ),
    (
        "CREATE TRIGGER runbooks_no_delete BEFORE DELETE ON runbooks FOR EACH ROW EXECUTE FUNCTION "
        "runwright_refuse('runbooks is append-only')"
    ),
    (
        "CREATE TRIGGER step_journal_no_update BEFORE UPDATE OF sequence, attempt_id, execution_id, epoch, "
        "document ON step_journal FOR EACH ROW EXECUTE FUNCTION runwright_refuse('an intent is never changed')"
    ),
    (
        "CREATE TRIGGER step_journal_no_delete BEFORE DELETE ON step_journal FOR EACH ROW EXECUTE FUNCTION "
        "runwright_refuse('step_journal is append-only')"
    ),
    (
        "CREATE TRIGGER audit_heads_no_delete BEFORE DELETE ON audit_heads FOR EACH ROW EXECUTE FUNCTION "
        "runwright_refuse('a chain is never deleted')"
    ),
    (
        "CREATE TRIGGER audit_heads_no_update BEFORE UPDATE ON audit_heads FOR EACH ROW WHEN (NEW.chain <> "
        "OLD.chain OR NEW.sequence <> OLD.sequence + 1) EXECUTE FUNCTION runwright_refuse('a chain moves on by "
        "one')"
    ),
    (
        "CREATE TRIGGER audit_log_no_truncate BEFORE TRUNCATE ON audit_log FOR EACH STATEMENT EXECUTE FUNCTION "
        "runwright_refuse('audit_log is append-only')"
    ),
    (
        "CREATE TRIGGER runbooks_no_truncate BEFORE TRUNCATE ON runbooks FOR EACH STATEMENT EXECUTE FUNCTION "
        "runwright_refuse('runbooks is append-only')"
    ),
    (
        "CREATE TRIGGER step_journal_no_truncate BEFORE TRUNCATE ON step_journal FOR EACH STATEMENT EXECUTE "
        "FUNCTION runwright_refuse('step_journal is append-only')"
    ),
    (
        "CREATE TRIGGER audit_heads_no_truncate BEFORE TRUNCATE ON audit_heads FOR EACH STATEMENT EXECUTE "
        "FUNCTION runwright_refuse('audit_heads is append-only')"
    ),
)
