"""A planted secret is nowhere: no file, table, log, event, export or page, however steps print it (promise 10).

The same server shows what a check and the whole output look like from the command line, and that a run is followed
live by several at once.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx2
import psycopg
import pytest
from psycopg import sql

from runwright.adapters.hosts.machines import NspawnMachines
from runwright.model.executions import Event, EventKind, ExecutionResult, ExecutionStatus
from runwright.model.hosts import NewHost, NspawnConnection
from runwright.model.incidents import NewIncident
from runwright.model.ports.machines import MachineRequest
from runwright.surfaces.client import RunwrightClient
from support.postgres_server import postgres_url
from support.server import CLIENT, HOST, PASSWORD, Server, approve_runbook, finished, first_admin

__all__ = ["postgres_url"]

CANARY = "kan/+'\"$arie-7f3a9c81e2"
FORMS = {
    "plain": CANARY,
    "stripped of quotes": CANARY.replace("'", "").replace('"', ""),
    "base64": base64.b64encode(CANARY.encode()).decode(),
    "base64 in something longer": base64.b64encode(b"user:" + CANARY.encode()).decode()[8:-4],
    "hex": CANARY.encode().hex(),
    "url": quote(CANARY, safe=""),
    "json": json.dumps(CANARY)[1:-1],
    "shell": CANARY.replace("'", "'\\''"),
}
TELLTALE = "arie-7f3a9c81"
"""The middle of it: in none of the forms but those that leave it as it is."""

RUNBOOK = """\
schema: runwright/v1
id: RB-TEST-CANARY-001
name: Says more than it should
incident_types: [disk_full]
parameters:
  token: {type: secret, from: secret.canary}
  mount: {type: string, from: incident.subject.mount}
steps:
  - id: prints
    run: |
      printf '%s\\n' "$token"; printf '%s' "$token" >&2
      printf '\\033]0;owned\\007 \\342\\200\\256 hostile\\n'
  - id: splits
    run: |
      half=${token%???????????}; printf '%s' "$half"; sleep 0.2; printf '%s\\n' "${token#"$half"}"
  - id: encodes
    run: |
      printf '%s' "$token" | base64 -w0; echo; printf 'user:%s' "$token" | base64 -w0; echo
      printf '%s' "$token" | od -An -tx1 -v -w100 | tr -d ' '
      python3 -c 'import os, json, urllib.parse as u
      t = os.environ["token"]
      print(json.dumps(t), u.quote(t, safe=""))'
      set -x; : "$token"
  - id: fails
    run: |
      ls "/nowhere/$token"; cat "/nowhere/$token"
    on_failure: continue
  - id: asks
    only_if: printf '%s' "$token"; printf '%s' "$token" >&2; test -n "$token"
    run: "true"
    until: printf '%s' "$token" >&2; true
  - id: skips
    unless: test -e "$mount"
    run: "true"
  - id: floods
    run: |
      head -c 600000 /dev/zero | tr '\\0' a; printf '%s' "$token"; head -c 2500000 /dev/zero | tr '\\0' b
      printf '%s\\n' "$token"
  - id: guarded
    only_if: echo "$token" >/dev/null; touch /nowhere/x; true
    run: "true"
  - id: shouts
    run: |
      if command -v systemd-cat >/dev/null && [ -d /run/systemd/system ]; then
        printf '%s\\n' "$token" | systemd-cat -t shopd; logger -t shopd -- "$token"
        mkdir -p /run/systemd/system
        printf '[Service]\\nExecStart=/bin/sh -c "cat /run/told; sleep 100"\\n' >/run/systemd/system/shopd.service
        printf '%s\\n' "$token" >/run/told; systemctl daemon-reload; systemctl start shopd; sleep 0.5; rm /run/told
      fi
verify:
  - id: tells
    run: printf '%s' "$token"; printf '%s' "$token" >&2; false
    hold: 0s
rollback:
  - id: back
    run: printf '%s' "$token" >&2
"""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, RunwrightClient]]:
    server = Server(tmp_path_factory.mktemp("planted"))
    server.start()
    yield server, plant(server)
    server.close()


def plant(server: Server) -> RunwrightClient:
    """Who runs the server, logged in for the command line too; the secret on its disk; the runbook approved."""
    admin = first_admin(server)
    server.run("user", "login", "ada", "--password-stdin", given=PASSWORD + "\n")
    folder = server.folder / "data" / "secrets" / CLIENT
    folder.mkdir(parents=True, mode=0o700)
    (folder / "canary").touch(0o600)
    (folder / "canary").write_text(CANARY + "\n")
    approve_runbook(admin, RUNBOOK)
    return admin


def start(admin: RunwrightClient, host: str = HOST) -> str:
    subject = {"mount": "/", "threshold_percent": 100, "service": "shopd"}
    incident = admin.report_incident(
        NewIncident(client_id=CLIENT, host=host, incident_type="disk_full", subject=subject, source="test")
    )
    (run,) = admin.executions(incident_id=incident.id)
    return run.id


def exported(server: Server, admin: RunwrightClient, result: ExecutionResult) -> dict[str, str]:
    """Everything that can be asked of the server about a run, by where it was asked."""
    run = result.execution_id
    said = {
        "show": server.run("execution", "show", run),
        "show --json": server.run("execution", "show", run, "--json"),
        "watch": server.run("execution", "watch", run),
        "output": server.run("execution", "output", run, "--step", "floods", "--whole"),
        "stderr": server.run("execution", "output", run, "--step", "encodes", "--stream", "stderr"),
        "export": server.run("execution", "export", run, "--output", "-"),
        "audit": server.run("audit", "export"),
    }
    found = {name: answer.stdout + answer.stderr for name, answer in said.items()}
    found["events"] = "\n".join(event.model_dump_json() for event in admin.events(run))
    with httpx2.Client(base_url=server.url) as browser:
        browser.post("/login", data={"name": "ada", "password": PASSWORD})
        for page in (f"/executions/{run}", "/executions", f"/incidents/{result.incident.id}", "/"):
            found[page] = browser.get(page).text
    return found


def leaks(texts: dict[str, bytes]) -> list[str]:
    """Where the secret is, in which form."""
    found = []
    for place, text in texts.items():
        found += [f"{form} in {place}" for form, value in FORMS.items() if value.encode() in text]
        if TELLTALE.encode() in text:
            at = text.index(TELLTALE.encode())
            found.append(f"middle in {place}: {text[max(at - 60, 0) : at + 40]!r}")
    return found


def every_file(folder: Path) -> dict[str, bytes]:
    """All files of the server but the one that the secret is kept in; compressed ones also unpacked."""
    kept = folder / "data" / "secrets"
    found: dict[str, bytes] = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_relative_to(kept):
            found[str(path)] = data = path.read_bytes()
            if path.suffix == ".gz":
                unpacked = subprocess.run(["gzip", "-dc"], input=data, capture_output=True, check=True)
                found[f"{path} unpacked"] = unpacked.stdout
    return found


def every_row(database: Path) -> dict[str, bytes]:
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as opened:
        tables = [row[0] for row in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            f"{database.name}:{name}": repr(opened.execute(f'SELECT * FROM "{name}"').fetchall()).encode()  # noqa: S608
            for name in tables
        }


def followed(client: RunwrightClient, run: str) -> list[Event]:
    return list(client.events(run))


def test_a_planted_secret_is_nowhere_and_a_run_is_seen_live(planted: tuple[Server, RunwrightClient]) -> None:
    server, admin = planted
    checked = server.run(
        *("run", "disk_full", "--host", HOST, "--set", "mount=/", "--set", "threshold_percent=100", "--check", "--json")
    )
    assert checked.returncode == 0, checked.stderr
    plan = json.loads(checked.stdout)
    assert plan["parameters"]["token"] == {"value": None, "secret": "canary"}
    would = {step["id"]: step["would"] for step in plan["steps"]}
    assert would["asks"] == would["prints"] == "run"
    assert would["skips"] == "skip"
    assert would["guarded"] == would["back"] == "unknown"
    assert admin.incidents() == []
    assert admin.executions() == []

    run = start(admin)
    told: dict[str, list[Event]] = {}
    watchers = [
        threading.Thread(target=lambda name=name: told.update({name: followed(server.person(), run)}))
        for name in ("one", "two")
    ]
    for watcher in watchers:
        watcher.start()
    result = finished(admin, run)
    for watcher in watchers:
        watcher.join(30)
    late = followed(admin, run)
    ends = [[event.sequence for event in events] for events in (told["one"], told["two"], late)]
    assert ends[0] == ends[1]
    assert set(ends[0]) <= set(ends[2])
    shown = [event.data for event in told["one"] if event.kind is EventKind.STEP_OUTPUT]
    output = "".join(data["text"] for data in shown if data["step"] == "splits")
    assert "[secret canary]" in output
    pieces = [event for event in late if event.kind is EventKind.STEP_OUTPUT and event.data["step"] == "splits"]
    finish = next(e for e in late if e.kind is EventKind.STEP_FINISHED and e.data["step"] == "splits")
    assert all(piece.sequence < finish.sequence for piece in pieces)

    assert result.status is ExecutionStatus.FAILURE
    steps = {step.id: step for step in result.steps}
    assert steps["prints"].attempts[0].stdout.startswith("[secret canary]\n")
    assert steps["encodes"].attempts[0].stdout.count("[secret canary]") >= 5
    artefact = steps["floods"].attempts[0].stdout_artefact
    assert artefact is not None
    assert artefact.whole
    assert artefact.stored_bytes == artefact.bytes == 600_000 + 2_500_000 + 2 * len("[secret canary]") + 1
    whole = b"".join(admin.artefact(run, artefact.digest or ""))
    assert len(whole) == artefact.bytes
    assert whole.count(b"[secret canary]") == 2
    texts = exported(server, admin, result)
    assert texts["output"].count("[secret canary]") == 2
    for name in ("show", "watch"):
        assert "<U+202E>" in texts[name] or "hostile" not in texts[name]
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f‮]", texts[name])
    assert leaks({name: text.encode() for name, text in texts.items()}) == []
    files = every_file(server.folder)
    assert any(name.endswith("unpacked") for name in files)
    assert leaks(files) == []
    assert leaks(every_row(server.folder / "data" / "runwright.db")) == []
    assert leaks(every_row(server.folder / "data" / "durable.db")) == []
    kept = [path for path in Path("/run/runwright/attempts").glob(f"{run}*") if path.is_file()]
    assert leaks({str(path): path.read_bytes() for path in kept}) == []


@pytest.mark.lab
async def test_a_services_journal_tells_it_to_nobody(planted: tuple[Server, RunwrightClient]) -> None:
    server, admin = planted
    machines = NspawnMachines()
    problem = await machines.unavailable()
    if problem is not None:
        pytest.skip(problem)
    async with machines.boot(MachineRequest()) as machine:
        connection = NspawnConnection(machine=machine.name)
        await asyncio.to_thread(admin.add_host, NewHost(client_id=CLIENT, hostname="booted", connection=connection))
        run = await asyncio.to_thread(start, admin, "booted")
        result = await asyncio.to_thread(finished, admin, run)
        assert result.state_after is not None
        assert any("[secret canary]" in line for line in result.state_after.journal), result.state_after.journal
        texts = await asyncio.to_thread(exported, server, admin, result)
        assert leaks({name: text.encode() for name, text in texts.items()}) == []
        assert leaks(every_file(server.folder)) == []
        assert leaks(every_row(server.folder / "data" / "runwright.db")) == []


@pytest.mark.postgres
def test_no_table_of_a_postgresql_database_has_it(tmp_path: Path, postgres_url: str) -> None:
    server = Server(tmp_path, RUNWRIGHT_DATABASE_URL=postgres_url)
    server.start()
    try:
        result = finished(admin := plant(server), start(admin))
        assert result.status is ExecutionStatus.FAILURE
    finally:
        server.close()
    tables = every_table(postgres_url)
    assert any(name.endswith(".execution_results") for name in tables)
    assert leaks(tables) == []
    assert leaks(every_file(server.folder)) == []


def every_table(url: str) -> dict[str, bytes]:
    """All rows of all schemas, as a dump would have them."""
    with psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://")) as opened:
        named = opened.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        return {
            f"{schema}.{table}": repr(
                opened.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(schema, table))).fetchall()
            ).encode()
            for schema, table in named
        }
