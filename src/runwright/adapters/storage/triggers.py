"""Triggers that keep append-only tables append-only, whoever writes to the database.

The first migration has its own frozen copy of these texts; a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import DDL, MetaData, event

_APPEND_ONLY: dict[str, str] = {
    "audit_log": "chain = NEW.chain AND sequence = NEW.sequence",
    "runbooks": "id = NEW.id OR (runbook_id = NEW.runbook_id AND number = NEW.number)",
}
"""Tables without updates and deletes, and how to find the row that an insert would replace."""

_INTENT = "sequence, attempt_id, execution_id, epoch, document"
"""The columns of an intent in the step journal; its outcome may be filled in."""


def _sqlite_refusal(name: str, when: str, message: str) -> str:
    return f"CREATE TRIGGER {name} {when} BEGIN SELECT RAISE(ABORT, '{message}'); END"


def _sqlite_keep(table: str, same: str) -> str:
    """INSERT OR REPLACE fires no delete trigger, so the insert itself is ignored where the row is there."""
    return (  # the parts are constants of this module, hence the exemption
        f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} "  # noqa: S608 - names of our own tables
        f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {same}) BEGIN SELECT RAISE(IGNORE); END"
    )


def sqlite_triggers() -> tuple[str, ...]:
    """The statements for SQLite."""
    found = []
    for table, same in _APPEND_ONLY.items():
        message = f"{table} is append-only"
        found.append(_sqlite_refusal(f"{table}_no_update", f"BEFORE UPDATE ON {table}", message))
        found.append(_sqlite_refusal(f"{table}_no_delete", f"BEFORE DELETE ON {table}", message))
        found.append(_sqlite_keep(table, same))
    found += [
        _sqlite_refusal(
            "step_journal_no_update", f"BEFORE UPDATE OF {_INTENT} ON step_journal", "an intent is never changed"
        ),
        _sqlite_refusal("step_journal_no_delete", "BEFORE DELETE ON step_journal", "step_journal is append-only"),
        _sqlite_keep("step_journal", "attempt_id = NEW.attempt_id OR sequence = NEW.sequence"),
        _sqlite_refusal("audit_heads_no_delete", "BEFORE DELETE ON audit_heads", "a chain is never deleted"),
        _sqlite_refusal(
            "audit_heads_no_update",
            "BEFORE UPDATE ON audit_heads WHEN NEW.chain <> OLD.chain OR NEW.sequence <> OLD.sequence + 1",
            "a chain moves on by one",
        ),
        _sqlite_keep("audit_heads", "chain = NEW.chain"),
    ]
    return tuple(found)


def _postgres_refusal(name: str, when: str, message: str) -> str:
    return f"CREATE TRIGGER {name} {when} EXECUTE FUNCTION runwright_refuse('{message}')"


def postgres_triggers() -> tuple[str, ...]:
    """The statements for PostgreSQL: one function, and triggers that call it."""
    found = [
        "CREATE FUNCTION runwright_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'integrity_constraint_violation'; END $$"
    ]
    for table in _APPEND_ONLY:
        message = f"{table} is append-only"
        found.append(_postgres_refusal(f"{table}_no_update", f"BEFORE UPDATE ON {table} FOR EACH ROW", message))
        found.append(_postgres_refusal(f"{table}_no_delete", f"BEFORE DELETE ON {table} FOR EACH ROW", message))
    found += [
        _postgres_refusal(
            "step_journal_no_update",
            f"BEFORE UPDATE OF {_INTENT} ON step_journal FOR EACH ROW",
            "an intent is never changed",
        ),
        _postgres_refusal(
            "step_journal_no_delete", "BEFORE DELETE ON step_journal FOR EACH ROW", "step_journal is append-only"
        ),
        _postgres_refusal(
            "audit_heads_no_delete", "BEFORE DELETE ON audit_heads FOR EACH ROW", "a chain is never deleted"
        ),
        _postgres_refusal(
            "audit_heads_no_update",
            "BEFORE UPDATE ON audit_heads FOR EACH ROW "
            "WHEN (NEW.chain <> OLD.chain OR NEW.sequence <> OLD.sequence + 1)",
            "a chain moves on by one",
        ),
    ]
    found += [
        _postgres_refusal(
            f"{table}_no_truncate", f"BEFORE TRUNCATE ON {table} FOR EACH STATEMENT", f"{table} is append-only"
        )
        for table in (*_APPEND_ONLY, "step_journal", "audit_heads")
    ]
    return tuple(found)


def attach_triggers(metadata: MetaData) -> None:
    """Make `metadata.create_all` create the triggers too."""
    for dialect, statements in (("sqlite", sqlite_triggers()), ("postgresql", postgres_triggers())):
        for statement in statements:
            ddl = DDL(statement.replace("%", "%%"))  # type: ignore[no-untyped-call]  # DDL has no annotations
            event.listen(metadata, "after_create", ddl.execute_if(dialect=dialect))
