"""Clients, hosts and runbook texts, as persons and machines keep them."""

from __future__ import annotations

from dataclasses import dataclass

from runwright.access.permissions import Permission, require
from runwright.model.audit import SYSTEM_CHAIN, AuditEvent
from runwright.model.clients import Client, scope_client
from runwright.model.errors import Conflict, Forbidden, InvalidInput
from runwright.model.hosts import Host, NewHost, SshConnection
from runwright.model.ids import ALL
from runwright.model.ports.clock import Clock
from runwright.model.ports.store import EVERY_CLIENT, Store, Transaction
from runwright.model.principals import Principal
from runwright.model.reviews import ReviewItem
from runwright.model.versions import RunbookVersion
from runwright.review.authoring import submit_text


@dataclass(frozen=True)
class Inventory:
    """Changes to what is managed; each audited in its own transaction."""

    store: Store
    clock: Clock

    async def add_client(self, principal: Principal, client_id: str, name: str) -> Client:
        """Register a client. Raises Forbidden, Conflict if the id is taken."""
        require(principal, Permission.MANAGE_CLIENTS, None)
        client = Client(id=client_id, name=name, created_at=self.clock.now())
        async with self.store.transaction() as tx:
            await tx.clients.add(client)
            await self._audit(tx, SYSTEM_CHAIN, principal, "client.add", client.id)
        return client

    async def add_host(self, principal: Principal, new: NewHost) -> Host:
        """Register a host. Raises Forbidden, NotFound for the client, Conflict if the hostname is taken.

        This machine and the machines on it belong to the server, not to a client: whoever runs steps here could
        read the approval key. They take an admin of everything.
        """
        require(principal, Permission.MANAGE_HOSTS, new.client_id)
        if not isinstance(new.connection, SshConnection):
            require(principal, Permission.MANAGE_HOSTS, None)
        elif new.connection.credential is not None and new.connection.credential.client_id != new.client_id:
            raise Forbidden(
                f"Found a credential of client {new.connection.credential.client_id} for a host of {new.client_id}.",
                allowed="Allowed: a secret of the host's own client.",
            )
        host = Host(
            id=self.clock.new_id("hst"),
            created_at=self.clock.now(),
            **{name: getattr(new, name) for name in NewHost.model_fields},
        )
        async with self.store.transaction() as tx:
            await tx.clients.get(new.client_id, client=EVERY_CLIENT)
            taken = await tx.hosts.count(client=new.client_id, where={"hostname": new.hostname})
            if taken:
                raise Conflict(
                    f"Found host {new.hostname!r} registered for client {new.client_id} already.",
                    next_step="Choose another hostname.",
                )
            await tx.hosts.add(host)
            await self._audit(tx, host.client_id, principal, "host.add", host.id)
        return host

    async def add_runbook(
        self, principal: Principal, text: str, scope: str
    ) -> tuple[RunbookVersion, tuple[ReviewItem, ...]]:
        """Store a text as a new version and submit it, with the routing rules it lacks, for review.

        Raises Forbidden, InvalidInput with every fault of the text.
        """
        if scope != ALL and not scope.startswith("client:"):
            raise InvalidInput(f"Found scope {scope!r}.", allowed="Allowed: `all`, or `client:<id>`.")
        client = scope_client(scope)
        require(principal, Permission.AUTHOR_RUNBOOKS, client)
        async with self.store.transaction() as tx:
            if client is not None:
                await tx.clients.get(client, client=EVERY_CLIENT)
            return await submit_text(tx, text=text, scope=scope, author=principal, clock=self.clock)

    async def _audit(self, tx: Transaction, chain: str, principal: Principal, action: str, subject: str) -> None:
        await tx.audit.append(
            AuditEvent(chain=chain, actor=principal.id, action=action, subject=subject, at=self.clock.now())
        )
