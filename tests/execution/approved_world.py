"""A store with one client, host, incident and an approved runbook, signed with a real key: what a managed run needs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from runwright.access.dsse import sign_statement
from runwright.adapters.hosts.local import LocalConnector
from runwright.adapters.keys import FileKeyring, FileSigner
from runwright.adapters.storage import open_store
from runwright.execution.service import ExecutionService
from runwright.model.clients import Client
from runwright.model.executions import Execution
from runwright.model.hosts import Connection, Host, LocalConnection
from runwright.model.ids import split_version_id
from runwright.model.incidents import Incident, Severity
from runwright.model.ports.clock import Clock
from runwright.model.ports.hosts import HostConnector
from runwright.model.ports.store import Store
from runwright.model.principals import AuthMethod, Grant, Principal, PrincipalKind, Role, User
from runwright.model.reviews import Activation, Approval, ApprovalStatement
from runwright.model.versions import Author, RunbookVersion
from runwright.review.gate import ApprovalGate
from runwright.runbooks.load import load_runbook

CLIENT, HOST, PERSON = "acme", "host_1", "user_1"


@dataclass
class World:
    """An opened store and what stands around it; made anew by every process that works on `directory`."""

    store: Store
    clock: Clock
    directory: Path

    @property
    def signer(self) -> FileSigner:
        return FileSigner.load_or_create(self.directory / "approval.key")

    @property
    def keyring(self) -> FileKeyring:
        return FileKeyring(self.directory / "keyring")

    def service(self, connector: HostConnector | None = None) -> ExecutionService:
        """The service over the real gate, store and this machine."""
        return ExecutionService(
            self.store,
            ApprovalGate(self.store, self.keyring, self.clock),
            connector or LocalConnector(base=str(self.directory / "supervisor")),
            self.clock,
        )

    async def seed(self, text: str, *, connection: Connection | None = None, **parameters: Any) -> Execution:
        """Client, host, incident, person, approved version, and a pending execution asked for by that person."""
        now = self.clock.now()
        loaded = load_runbook(text)
        version = f"{loaded.document.id}-v1"
        self.keyring.publish(self.signer.public_key)
        until = now + timedelta(days=30)
        statement = ApprovalStatement(
            approval_id="apr_1",
            subject_kind="version",
            subject_id=version,
            digest=loaded.digest,
            raw_digest=loaded.raw_digest,
            scope="all",
            reviewer_id=PERSON,
            reviewer_name="A person",
            method="password",
            decided_at=now,
            expires_at=until,
            nonce="n",
        )
        execution = Execution(
            id="exe_1",
            client_id=CLIENT,
            host_id=HOST,
            incident_id="inc_1",
            runbook_id=loaded.document.id,
            version_id=version,
            digest=loaded.digest,
            activation_id="act_1",
            approval_id="apr_1",
            parameters=parameters,
            requested_by=PERSON,
            created_at=now,
        )
        person = Principal(id=PERSON, kind=PrincipalKind.PERSON, name="person", method=AuthMethod.PASSWORD)
        async with self.store.transaction() as tx:
            await tx.clients.add(Client(id=CLIENT, name="Acme", created_at=now))
            may_run = (Grant(role=Role.OPERATOR),)
            await tx.users.add(User(id=PERSON, name="person", password_hash="-", grants=may_run, created_at=now))
            await tx.hosts.add(
                Host(
                    id=HOST,
                    client_id=CLIENT,
                    hostname="here",
                    connection=connection or LocalConnection(),
                    created_at=now,
                )
            )
            await tx.incidents.add(
                Incident(
                    id="inc_1",
                    client_id=CLIENT,
                    host_id=HOST,
                    incident_type="disk_full",
                    severity=Severity.HIGH,
                    subject={"mount": "/", "threshold_percent": 100},
                    occurred_at=now,
                    received_at=now,
                )
            )
            await tx.versions.add(
                RunbookVersion(
                    id=version,
                    runbook_id=loaded.document.id,
                    number=split_version_id(version)[1],
                    scope="all",
                    text=text,
                    digest=loaded.digest,
                    raw_digest=loaded.raw_digest,
                    author=Author.of(person),
                    created_at=now,
                )
            )
            await tx.approvals.add(
                Approval(
                    id="apr_1",
                    subject_id=version,
                    scope="all",
                    envelope=sign_statement(self.signer, statement),
                    decided_at=now,
                    expires_at=until,
                )
            )
            await tx.activations.add(
                Activation(
                    id="act_1",
                    runbook_id=loaded.document.id,
                    scope="all",
                    version_id=version,
                    digest=loaded.digest,
                    approval_id="apr_1",
                    since=now,
                    until=until,
                )
            )
            await tx.executions.add(execution)
        return execution

    async def also_approved(self, text: str) -> str:
        """Another approved runbook of the library, for calls; its digest."""
        now, loaded = self.clock.now(), load_runbook(text)
        version, key = f"{loaded.document.id}-v1", loaded.document.id.lower()
        until = now + timedelta(days=30)
        self.keyring.publish(self.signer.public_key)
        statement = ApprovalStatement(
            approval_id=f"apr_{key}",
            subject_kind="version",
            subject_id=version,
            digest=loaded.digest,
            raw_digest=loaded.raw_digest,
            scope="all",
            reviewer_id=PERSON,
            reviewer_name="A person",
            method="password",
            decided_at=now,
            expires_at=until,
            nonce="n",
        )
        person = Principal(id=PERSON, kind=PrincipalKind.PERSON, name="person", method=AuthMethod.PASSWORD)
        async with self.store.transaction() as tx:
            await tx.versions.add(
                RunbookVersion(
                    id=version,
                    runbook_id=loaded.document.id,
                    number=1,
                    scope="all",
                    text=text,
                    digest=loaded.digest,
                    raw_digest=loaded.raw_digest,
                    author=Author.of(person),
                    created_at=now,
                )
            )
            await tx.approvals.add(
                Approval(
                    id=f"apr_{key}",
                    subject_id=version,
                    scope="all",
                    envelope=sign_statement(self.signer, statement),
                    decided_at=now,
                    expires_at=until,
                )
            )
        return loaded.digest


async def open_world(directory: Path, clock: Clock, url: str | None = None) -> World:
    """The world of a data directory; its database is SQLite unless a URL is given."""
    return World(await open_store(url or f"sqlite:///{directory}/runwright.db"), clock, directory)
