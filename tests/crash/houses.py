"""What the crash tests run: clients with a host each, and runbooks that a person really approved.

Every step writes the id of its attempt into a log that the host itself keeps: once when it begins, once when its
effect is done. The judge compares that log with what the journal and the result say.
"""

from __future__ import annotations

import asyncio
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from runwright.access.service import AccessService
from runwright.access.settings import AccessSettings
from runwright.model.executions import ExecutionStatus
from runwright.model.hosts import Connection, NewHost, SecretRef, SshConnection
from runwright.model.incidents import NewIncident, Severity
from runwright.model.principals import AuthMethod, Grant, Principal, PrincipalKind, Role
from runwright.surfaces.settings import Settings
from runwright.surfaces.wiring import open_services

PASSWORD = "correct horse battery staple"
CHEAP = AccessSettings(argon2_time_cost=1, argon2_memory_kib=8, argon2_parallelism=1)
LIBRARIAN = Principal(
    id="usr_library",
    kind=PrincipalKind.PERSON,
    name="librarian",
    method=AuthMethod.PASSWORD,
    grants=(Grant(role=Role.ADMIN),),
)
EXECUTOR = "crash-1"

HEAD = """\
schema: runwright/v1
id: {id}
name: A run to be killed
incident_types: [cert_expiry]
parameters:
  log: {{type: string, pattern: '/[A-Za-z0-9._/-]+', from: incident.subject.log}}
  run: {{type: string, pattern: '[A-Za-z0-9-]+', from: incident.subject.run}}
steps:
"""

EFFECT = (
    'echo shown; echo "$RUNWRIGHT_ATTEMPT begin" >> "$log"; sleep {seconds}; '
    'echo "$RUNWRIGHT_ATTEMPT {end}" >> "$log"; {then}'
)


def effect(*, seconds: float = 0.03, end: str = "end", then: str = ":") -> str:
    """The text of a step that takes a while and says on the host what it did."""
    return "'" + EFFECT.format(seconds=seconds, end=end, then=then) + "'"


HEALS = (
    HEAD.format(id="RB-CRASH-HEALS-001")
    + f"""\
  - {{id: once, only_if: 'test -d /', run: {effect(seconds=0.12)}}}
  - {{id: safe, idempotent: true, run: {effect()}}}
  - id: flaky
    unless: 'test -e "$log.$run.done"'
    retry: {{attempts: 3, delay: 50ms}}
    run: {effect(end="fails", then='test -e "$log.$run.flaky" || { : > "$log.$run.flaky"; exit 1; }')}
  - id: polled
    idempotent: true
    retry: {{attempts: 3, delay: 50ms}}
    until: 'test "$(wc -l < "$log.$run.polled")" -ge 2'
    run: {effect(then='echo x >> "$log.$run.polled"')}
  - {{id: daemon, run: {effect(then="setsid sleep 1.5 > /dev/null 2>&1 < /dev/null &")}}}
  - {{id: skipped, only_if: 'test -e /nowhere/at/all', run: {effect()}}}
  - {{id: last, run: {effect(seconds=0.2)}}}
verify:
  - id: all-done
    run: 'grep -q "[.]last[.]1 end" "$log"'
    hold: 200ms
"""
)

FAILS = (
    HEAD.format(id="RB-CRASH-FAILS-001")
    + f"""\
  - {{id: once, run: {effect(seconds=0.12)}}}
  - {{id: jumps, on_failure: late, idempotent: true, run: {effect(end="fails", then="exit 8")}}}
  - {{id: passed-over, run: {effect()}}}
  - {{id: late, run: {effect()}}}
  - id: breaks
    retry: {{attempts: 2, delay: 50ms}}
    run: {effect(end="fails", then="exit 1")}
  - {{id: never, run: {effect()}}}
verify:
  - {{id: any, run: 'true', hold: 200ms}}
rollback:
  - {{id: undo, run: {effect(seconds=0.12)}}}
  - {{id: undo-last, idempotent: true, run: {effect()}}}
"""
)


@dataclass(frozen=True)
class Book:
    """A runbook and what must be seen of it on the host when nothing goes wrong."""

    name: str
    text: str
    steps: tuple[str, ...]
    """As listed, rollback included: `section:step`."""
    begins: tuple[tuple[str, str], ...]
    """In order: the step of each attempt, and the word with which it ends."""
    status: ExecutionStatus


BOOKS = {
    "heals": Book(
        "heals",
        HEALS,
        tuple(f"steps:{name}" for name in ("once", "safe", "flaky", "polled", "daemon", "skipped", "last")),
        (
            ("once", "end"),
            ("safe", "end"),
            ("flaky", "fails"),
            ("flaky", "fails"),
            ("polled", "end"),
            ("polled", "end"),
            ("daemon", "end"),
            ("last", "end"),
        ),
        ExecutionStatus.SUCCESS,
    ),
    "fails": Book(
        "fails",
        FAILS,
        (
            *(f"steps:{name}" for name in ("once", "jumps", "passed-over", "late", "breaks", "never")),
            *(f"rollback:{name}" for name in ("undo", "undo-last")),
        ),
        (
            ("once", "end"),
            ("jumps", "fails"),
            ("late", "end"),
            ("breaks", "fails"),
            ("breaks", "fails"),
            ("undo", "end"),
            ("undo-last", "end"),
        ),
        ExecutionStatus.FAILURE,
    ),
}


def settings_of(directory: Path, url: str | None, executor_id: str = EXECUTOR, **more: Any) -> Settings:
    """The settings of every process that works on one world."""
    return Settings(data_dir=directory / "data", database_url=url, executor_id=executor_id, lab=False, **more)


def set_up(directory: Path, url: str | None, connection: Connection, key: str | None = None) -> None:
    """A client with a host for each runbook, approved by a person and routed to."""
    settings = settings_of(directory, url, starter_library=False)
    if key is not None:
        for client in BOOKS:
            file = settings.data_dir / "secrets" / client / "key"
            file.parent.mkdir(parents=True, mode=0o700)
            file.touch(mode=0o600)
            file.write_text(key)
    asyncio.run(_set_up(settings, connection))


async def _set_up(settings: Settings, connection: Connection) -> None:
    async with open_services(settings) as found:
        services = replace(found, access=AccessService(found.store, found.clock, CHEAP))
        await services.access.add_user(LIBRARIAN, "ada", PASSWORD, grants=(Grant(role=Role.ADMIN),))
        _, secret = await services.access.login("ada", PASSWORD)
        person, _ = await services.access.session_principal(secret)
        for book in BOOKS.values():
            if isinstance(connection, SshConnection):
                credential = SecretRef(client_id=book.name, name="key")
                connection = connection.model_copy(update={"credential": credential})
            await services.inventory.add_client(LIBRARIAN, book.name, book.name)
            await services.inventory.add_host(
                LIBRARIAN, NewHost(client_id=book.name, hostname=book.name, connection=connection)
            )
            _, items = await services.inventory.add_runbook(LIBRARIAN, book.text, f"client:{book.name}")
            for item in items:
                await services.reviews.approve(person, item.id, digest=item.subject.digest)


def incident_of(book: str, run: str, log: str) -> NewIncident:
    """An incident that this runbook answers, and that is over: its certificate stands beside the log. See `certify`."""
    subject = {"path": f"{log}.crt", "ca_file": f"{log}.crt", "log": log, "run": run}
    return NewIncident(
        client_id=book, host=book, incident_type="cert_expiry", severity=Severity.HIGH, subject=subject, source="crash"
    )


def certify(log: Path) -> None:
    """Put a good certificate and its key beside the log of a host: an incident of it is over, whatever else happens."""
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 90 -subj /CN=crash.test"
    names = ["-addext", "subjectAltName=DNS:crash.test", "-keyout", f"{log}.key", "-out", f"{log}.crt"]
    subprocess.run(["openssl", *words.split(), *names], check=True, capture_output=True)
