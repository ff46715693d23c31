"""The schema that the migrations build is the one that the program declares; other schemas are refused."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from runwright.adapters.storage import open_store, schema
from runwright.adapters.storage.engines import make_engine, parse_url
from runwright.adapters.storage.migrate import MIGRATIONS, upgrade
from runwright.adapters.storage.specs import SPECS
from runwright.model.errors import StorageUnavailable
from runwright.model.ports.store import EVERY_CLIENT
from support import records
from support.postgres_server import shared_server

NAMED = {
    *("execution_results", "review_queue", "runbooks", "learning_analyses", "step_journal", "incidents", "hosts"),
    *("clients", "activations", "approvals", "routing_rules", "executions", "events", "proposals", "trials"),
    *("escalations", "users", "sessions", "tokens", "stop_switches", "audit_log", "host_checks"),
    *("external_executions", "questions", "run_plans"),
}


async def _with_connection(url: str, work: Any) -> Any:
    """Run a function on a connection, and commit."""
    engine = make_engine(parse_url(url), writing=True)
    try:
        async with engine.connect() as connection:
            found = await connection.run_sync(work)
            await connection.commit()
            return found
    finally:
        await engine.dispose()


async def _execute(url: str, *statements: str) -> None:
    def run(connection: Connection) -> None:
        for statement in statements:
            connection.exec_driver_sql(statement)

    await _with_connection(url, run)


SQLITE_OBJECTS = "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
POSTGRES_OBJECTS = """
SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT 'trigger', tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'function', proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
UNION ALL SELECT 'constraint', conname, pg_get_constraintdef(oid) FROM pg_constraint
          WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT 'column', table_name || '.' || column_name,
                 concat_ws(' ', data_type, is_nullable, column_default, collation_name)
          FROM information_schema.columns WHERE table_schema = 'public'
"""


def _objects(connection: Connection) -> dict[tuple[str, str], Any]:
    """Everything in the schema, by kind and name. Columns of a table may stand in another order."""
    sql = SQLITE_OBJECTS if connection.dialect.name == "sqlite" else POSTGRES_OBJECTS
    found = {(kind, name): " ".join(str(text).split()) for kind, name, text in connection.exec_driver_sql(sql)}
    tables = inspect(connection).get_table_names()
    if connection.dialect.name == "sqlite":
        for table in tables:
            found["table", table] = repr(_sqlite_table(connection, table))
    return {key: text for key, text in found.items() if "alembic_version" not in key[1]}


def _sqlite_table(connection: Connection, table: str) -> Any:
    columns = sorted(tuple(row)[1:] for row in connection.exec_driver_sql(f"PRAGMA table_info({table})"))
    looked = inspect(connection)
    unique = sorted((item["name"], item["column_names"]) for item in looked.get_unique_constraints(table))
    keys = [
        (item["name"], item["constrained_columns"], item["referred_table"]) for item in looked.get_foreign_keys(table)
    ]
    sql = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).scalar_one()
    return columns, unique, keys, looked.get_pk_constraint(table), "AUTOINCREMENT" in sql


async def test_migrated_and_declared_schema_are_the_same(empty_url: str, tmp_path: Path) -> None:
    await upgrade(empty_url)
    migrated = await _with_connection(empty_url, _objects)
    if empty_url.startswith("sqlite"):
        fresh_url = f"sqlite:///{tmp_path / 'fresh.db'}"
    else:
        fresh_url = shared_server().url(shared_server().create_database())
    await _with_connection(fresh_url, schema.METADATA.create_all)
    declared = await _with_connection(fresh_url, _objects)
    assert migrated == declared
    kinds = {kind for kind, _ in migrated}
    assert {"index", "trigger"} <= kinds
    assert sum(kind == "trigger" for kind, _ in migrated) >= 11


async def test_alembic_finds_no_difference(empty_url: str) -> None:
    await upgrade(empty_url)

    def differences(connection: Connection) -> Any:
        return compare_metadata(MigrationContext.configure(connection), schema.METADATA)

    assert await _with_connection(empty_url, differences) == []


async def test_alembic_would_find_one(empty_url: str) -> None:
    await upgrade(empty_url)
    await _execute(empty_url, "DROP INDEX ix_executions_client_id", "ALTER TABLE hosts ADD COLUMN colour TEXT")

    def differences(connection: Connection) -> Any:
        return compare_metadata(MigrationContext.configure(connection), schema.METADATA)

    assert sorted(item[0] for item in await _with_connection(empty_url, differences)) == ["add_index", "remove_column"]


async def test_the_declared_head_is_the_newest_migration() -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_heads() == [schema.HEAD]


async def test_the_named_tables_are_there_and_hold_a_document(empty_url: str) -> None:
    await upgrade(empty_url)
    tables = await _with_connection(empty_url, lambda connection: inspect(connection).get_table_names())
    assert set(tables) >= NAMED
    assert {spec.table.name for spec in SPECS} <= NAMED
    assert all("document" in schema.METADATA.tables[name].c for name in NAMED)


async def test_opening_again_keeps_what_is_there(empty_url: str) -> None:
    for _ in range(2):
        store = await open_store(empty_url)
        async with store.transaction() as tx:
            if await tx.clients.find("acme", client=EVERY_CLIENT) is None:
                await tx.clients.add(records.client())
        await store.close()
    store = await open_store(empty_url)
    async with store.reading() as tx:
        assert await tx.clients.count(client=EVERY_CLIENT) == 1
    await store.close()


async def test_many_may_start_at_once(empty_url: str) -> None:
    await asyncio.gather(*(upgrade(empty_url) for _ in range(8)))
    rows = await _with_connection(
        empty_url, lambda connection: connection.exec_driver_sql("SELECT version_num FROM alembic_version").all()
    )
    assert [row[0] for row in rows] == [schema.HEAD]


async def test_the_schema_of_a_newer_program_is_refused_and_kept(empty_url: str) -> None:
    await upgrade(empty_url)
    await _execute(empty_url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StorageUnavailable, match=r"newer Runwright \(revision 9999") as raised:
        await open_store(empty_url)
    assert raised.value.next_step
    rows = await _with_connection(
        empty_url, lambda connection: connection.exec_driver_sql("SELECT version_num FROM alembic_version").all()
    )
    assert [row[0] for row in rows] == ["9999"]


async def test_tables_of_another_program_are_left_alone(empty_url: str) -> None:
    await _execute(empty_url, "CREATE TABLE incidents (id INTEGER)", "CREATE TABLE other (id INTEGER)")
    with pytest.raises(StorageUnavailable, match="another program"):
        await open_store(empty_url)
    tables = await _with_connection(empty_url, lambda connection: inspect(connection).get_table_names())
    assert set(tables) == {"incidents", "other"}


async def test_a_migration_that_fails_leaves_nothing(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from alembic import op

    made = op.create_table

    def failing(name: str, *parts: Any, **options: Any) -> Any:
        if name == "audit_heads":
            raise ZeroDivisionError
        return made(name, *parts, **options)

    monkeypatch.setattr(op, "create_table", failing)
    with pytest.raises(ZeroDivisionError):
        await upgrade(empty_url)
    assert await _with_connection(empty_url, lambda connection: inspect(connection).get_table_names()) == []
    monkeypatch.undo()
    await upgrade(empty_url)


async def test_the_file_is_for_its_owner_and_written_ahead(tmp_path: Path) -> None:
    path = tmp_path / "runwright.db"
    await upgrade(f"sqlite:///{path}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
