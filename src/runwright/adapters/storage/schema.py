"""The tables: typed, indexed columns beside the record itself as JSON text (`document`).

Moments are stored as microseconds since 1970 (`created_at`): exact, comparable, the same on both databases. Each
list is read newest first, so each column that lists are filtered by has an index ending in (created_at, id), and
those with few values have another that begins with the client.
The migrations build the same schema; a test compares the two.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from runwright.adapters.storage.triggers import attach_triggers

HEAD = "0002"
"""The revision of the schema below; a test compares it with the newest migration."""

METADATA = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)

WORD = Text().with_variant(Text(collation="C"), "postgresql")
"""Text that is compared and sorted byte by byte on both databases."""

SEQUENCE = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite numbers rows by itself in INTEGER keys only."""

WAITING = "status IN ('pending_review', 'in_review')"
"""Items that wait for a reviewer. A literal, so that both planners see that the partial index fits."""

LIVE = "state = 'live'"


def _column(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, WORD, nullable=nullable)


def _listing(table: str, *columns: str, where: str | None = None, suffix: str = "") -> Index:
    """An index that gives the newest first within equal `columns`."""
    name = "_".join(("ix", table, *columns)) + suffix
    options: dict[str, Any] = {}
    if where is not None:
        options = {"sqlite_where": text(where), "postgresql_where": text(where)}
    return Index(name, *columns, "created_at", "id", **options)


def _records(name: str, *parts: Column[Any] | Index | UniqueConstraint, listed: tuple[str, ...] = ()) -> Table:
    """A table of records by id. `listed` names the columns that lists are filtered by, `a+b` for a pair."""
    return Table(
        name,
        METADATA,
        Column("id", WORD, primary_key=True),
        *(part for part in parts if isinstance(part, Column)),
        Column("created_at", BigInteger, nullable=False),
        Column("document", Text, nullable=False),
        *(part for part in parts if not isinstance(part, Column)),
        _listing(name),
        *(_listing(name, *columns.split("+")) for columns in listed),
    )


clients = _records("clients")

hosts = _records(
    "hosts",
    _column("client_id"),
    _column("hostname"),
    UniqueConstraint("client_id", "hostname"),
    listed=("client_id", "hostname"),
)

host_checks = _records("host_checks", *map(_column, ("client_id", "host_id")), listed=("client_id", "host_id"))
"""The last few of each host."""

incidents = _records(
    "incidents",
    *map(_column, ("client_id", "host_id", "status", "incident_type", "fingerprint", "severity")),
    listed=(
        *("client_id", "client_id+status", "client_id+incident_type", "client_id+severity"),
        *("host_id", "status", "incident_type", "fingerprint", "severity"),
    ),
)

escalations = _records(
    "escalations",
    *map(_column, ("client_id", "incident_id", "reason")),
    listed=("client_id", "client_id+reason", "incident_id", "reason"),
)

runbooks = _records(
    "runbooks",
    *map(_column, ("runbook_id", "scope", "digest")),
    Column("number", Integer, nullable=False),
    _column("parent", nullable=True),
    UniqueConstraint("runbook_id", "number"),
    listed=("runbook_id", "scope", "digest", "parent"),
)
"""Versions of runbooks. Triggers refuse updates and deletes."""

version_counters = Table(
    "version_counters",
    METADATA,
    Column("runbook_id", WORD, primary_key=True),
    Column("last", Integer, nullable=False),
)
"""The highest number given in each line of versions, so that none is ever given twice."""

review_queue = _records(
    "review_queue",
    _column("client_id", nullable=True),
    *map(_column, ("kind", "status")),
    Column("priority", SmallInteger, nullable=False),
    _column("author_id"),
    Index(
        "ix_review_queue_waiting",
        "priority",
        "created_at",
        "id",
        sqlite_where=text(WAITING),
        postgresql_where=text(WAITING),
    ),
    Index(
        "ix_review_queue_client_id_waiting",
        "client_id",
        "priority",
        "created_at",
        "id",
        sqlite_where=text(WAITING),
        postgresql_where=text(WAITING),
    ),
    listed=(
        *("client_id", "client_id+status", "client_id+kind", "client_id+priority", "client_id+author_id"),
        *("kind", "status", "priority", "author_id"),
    ),
)

approvals = _records("approvals", *map(_column, ("subject_id", "scope")), listed=("subject_id", "scope"))

activations = _records(
    "activations",
    *map(_column, ("runbook_id", "scope", "state", "version_id", "approval_id")),
    Index(
        "uq_activations_live",
        "runbook_id",
        "scope",
        unique=True,
        sqlite_where=text(LIVE),
        postgresql_where=text(LIVE),
    ),
    listed=("runbook_id", "scope", "state", "version_id", "approval_id"),
)

routing_rules = _records(
    "routing_rules",
    *map(_column, ("scope", "incident_type")),
    Column("active", Boolean, nullable=False),
    _column("runbook_id"),
    listed=("scope", "incident_type+active", "active", "runbook_id"),
)

executions = _records(
    "executions",
    *map(_column, ("client_id", "host_id", "incident_id", "status", "runbook_id", "version_id")),
    Column("epoch", Integer, nullable=False),
    listed=(
        *("client_id", "client_id+status", "client_id+runbook_id", "client_id+version_id"),
        *("host_id", "host_id+status", "incident_id", "status", "runbook_id", "version_id"),
    ),
)

external_executions = _records(
    "external_executions",
    *map(_column, ("client_id", "source", "status", "runbook_id", "learning")),
    listed=(
        *("client_id", "client_id+status", "client_id+learning", "client_id+source", "client_id+runbook_id"),
        *("status", "source", "learning", "runbook_id"),
    ),
)
"""Runs that other executors reported. Apart from `executions`: nothing that counts or decides about ours reads it."""

execution_results = _records(
    "execution_results",
    *map(_column, ("client_id", "status", "incident_type", "runbook_id")),
    listed=("client_id",),
)
"""Telemetry by execution id. No reference to `executions`: results of other systems are kept here too."""

questions = _records(
    "questions",
    *map(_column, ("client_id", "execution_id", "status")),
    listed=("client_id", "client_id+status", "execution_id", "status"),
)
"""What runs ask persons."""

run_plans = _records(
    "run_plans", *map(_column, ("client_id", "host_id", "incident_id")), listed=("client_id", "incident_id")
)
"""What would run, asked for with `--check`. No execution: nothing of it can be started."""

step_journal = Table(
    "step_journal",
    METADATA,
    Column("sequence", SEQUENCE, primary_key=True, autoincrement=True),
    Column("attempt_id", WORD, nullable=False),
    Column("execution_id", WORD, ForeignKey("executions.id"), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("document", Text, nullable=False),
    Column("outcome", Text),
    Column("step_status", WORD),
    Column("reason", Text, nullable=False),
    UniqueConstraint("attempt_id"),
    Index("ix_step_journal_execution_id", "execution_id", "sequence"),
    sqlite_autoincrement=True,
)
"""Intents (`document`) and outcomes. Triggers refuse deletes and changes of an intent."""

events = Table(
    "events",
    METADATA,
    Column("sequence", SEQUENCE, primary_key=True, autoincrement=True),
    Column("writer", BigInteger, nullable=False),
    *map(_column, ("client_id", "subject_id")),
    Column("document", Text, nullable=False),
    Index("ix_events_client_id", "client_id", "sequence"),
    Index("ix_events_subject_id", "subject_id", "sequence"),
    sqlite_autoincrement=True,
)
"""`writer` is PostgreSQL's number of the writing transaction (0 on SQLite); see events.py."""

learning_analyses = _records(
    "learning_analyses",
    *map(_column, ("client_id", "execution_id", "failure_fingerprint")),
    listed=("client_id", "execution_id", "failure_fingerprint"),
)

proposals = _records(
    "proposals",
    *map(_column, ("client_id", "execution_id", "candidate", "parent")),
    listed=("client_id", "execution_id", "candidate", "parent"),
)

trials = _records("trials", *map(_column, ("version_id", "digest")), listed=("version_id", "digest"))

users = _records("users", _column("name"), UniqueConstraint("name"))

sessions = _records(
    "sessions",
    Column("user_id", WORD, ForeignKey("users.id"), nullable=False),
    _column("secret_digest"),
    UniqueConstraint("secret_digest"),
    listed=("user_id",),
)

tokens = _records(
    "tokens", *map(_column, ("name", "secret_digest")), UniqueConstraint("secret_digest"), listed=("name",)
)

stop_switches = _records("stop_switches", _column("scope"))

audit_log = Table(
    "audit_log",
    METADATA,
    Column("chain", WORD, primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", WORD, nullable=False),
    Column("document", Text, nullable=False),
)
"""Append-only: triggers refuse updates and deletes."""

audit_heads = Table(
    "audit_heads",
    METADATA,
    Column("chain", WORD, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("hash", WORD, nullable=False),
)
"""The end of each chain; its row is the chain's lock. Triggers let it move on by one only."""

attach_triggers(METADATA)
