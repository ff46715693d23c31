"""The audit of a real server: intact after work; whatever is edited in the database is named."""

from __future__ import annotations

import json
import signal
import sqlite3
from pathlib import Path

import pytest

from support.server import Server, first_admin


def tampered(server: Server, *statements: str) -> None:
    """Edit the database by hand, as someone with the file could."""
    with sqlite3.connect(server.folder / "data" / "runwright.db") as database:
        for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{trigger}"')
        for statement in statements:
            assert database.execute(statement).rowcount != 0, statement
    database.close()


EDITS = {
    "edited": "UPDATE audit_log SET document = replace(document, '.submit', '.approve') WHERE sequence = 1",
    "removed": "DELETE FROM audit_log WHERE chain = 'system' AND sequence = 2",
    "cut off": "DELETE FROM audit_log WHERE chain = 'system' AND sequence >= 3",
}


@pytest.mark.parametrize("how", EDITS)
def test_what_is_edited_by_hand_is_named(server: Server, how: str) -> None:
    first_admin(server)
    server.end(signal.SIGTERM)  # the last checkpoint is signed here
    intact = server.run("audit", "verify")
    assert intact.returncode == 0, intact.stdout + intact.stderr
    assert "system" in intact.stdout
    assert (server.folder / "data" / "audit-checkpoints.jsonl").exists()
    tampered(server, EDITS[how])
    broken = server.run("audit", "verify", "--json")
    assert broken.returncode == 1, broken.stdout + broken.stderr
    assert json.loads(broken.stdout)["system"]["faults"]


def test_an_edited_checkpoint_is_refused(server: Server) -> None:
    first_admin(server)
    server.end(signal.SIGTERM)
    file: Path = server.folder / "data" / "audit-checkpoints.jsonl"
    line = json.loads(file.read_text().splitlines()[-1])
    line["payload"] = line["payload"][:-8] + "AAAAAAAA"
    file.write_text(json.dumps(line, separators=(",", ":"), sort_keys=True) + "\n")
    answer = server.run("audit", "verify")
    assert answer.returncode == 1
    assert "error [tampered]" in answer.stderr


def test_the_log_is_append_only_for_the_database_itself(server: Server) -> None:
    first_admin(server)
    server.end(signal.SIGTERM)
    with (
        sqlite3.connect(server.folder / "data" / "runwright.db") as database,
        pytest.raises(sqlite3.DatabaseError, match="append"),
    ):
        database.execute("DELETE FROM audit_log")
    database.close()
