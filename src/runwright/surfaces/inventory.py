"""Clients, hosts and runbook texts, as persons and machines keep them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from runwright.access.permissions import Permission, require
from runwright.model.audit import SYSTEM_CHAIN, AuditEvent
from runwright.model.clients import Client, scope_client
from runwright.model.errors import Conflict, Fault, Forbidden, InvalidInput, RunwrightError
from runwright.model.executions import ExecutionStatus
from runwright.model.hosts import (
    AcceptedKeys,
    CheckStatus,
    Host,
    HostChange,
    HostCheck,
    HostDifference,
    HostImport,
    ImportedHosts,
    NewHost,
    SecretPlaces,
    SecretRef,
    SshConnection,
    connection_digest,
    endpoints,
    secrets_of,
)
from runwright.model.ids import ALL
from runwright.model.ports.clock import Clock
from runwright.model.ports.durable import WorkQueue
from runwright.model.ports.store import EVERY_CLIENT, Store, Transaction
from runwright.model.principals import Principal
from runwright.model.reviews import ReviewItem
from runwright.model.versions import RunbookVersion
from runwright.review.authoring import submit_text
from runwright.surfaces.host_merge import differences, merged
from runwright.surfaces.host_reach import check_connection, check_key, require_reach

CHECKS_KEPT = 5
"""Of each host, the newest."""
CHECK_PATIENCE = timedelta(minutes=1)
"""So long a check that waits for a worker is the one that is asked for again."""


@dataclass(frozen=True)
class Inventory:
    """Changes to what is managed; each audited in its own transaction."""

    store: Store
    clock: Clock
    queue: WorkQueue
    secret_places: Callable[[SecretRef], SecretPlaces]
    """Where the value of a secret may be put."""

    async def add_client(self, principal: Principal, client_id: str, name: str) -> Client:
        """Register a client. Raises Forbidden, Conflict if the id is taken."""
        require(principal, Permission.MANAGE_CLIENTS, None)
        client = Client(id=client_id, name=name, created_at=self.clock.now())
        async with self.store.transaction() as tx:
            await tx.clients.add(client)
            await self._audit(tx, SYSTEM_CHAIN, principal, "client.add", client.id)
        return client

    async def add_host(self, principal: Principal, new: NewHost) -> Host:
        """Register a host. Raises Forbidden, NotFound for the client, Conflict if the hostname is taken."""
        require_reach(principal, new.client_id, new.connection)
        check_connection(new.client_id, new.connection)
        async with self.store.transaction() as tx:
            await tx.clients.get(new.client_id, client=EVERY_CLIENT)
            await _free(tx, new.client_id, new.hostname)
            return await self._add(tx, principal, new)

    async def edit_host(self, principal: Principal, known: Host, change: HostChange) -> Host:
        """Change what is named; `known` is the host as the caller may see it.

        Raises Forbidden, Conflict where the hostname is taken or the host changed meanwhile.
        """
        given = {name: value for name in HostChange.model_fields if (value := getattr(change, name)) is not None}
        changed = known.model_copy(update=given)
        self._require_change(principal, known, changed)
        async with self.store.transaction() as tx:
            if changed.hostname != known.hostname:
                await _free(tx, known.client_id, changed.hostname)
            return await self._replace(tx, principal, known, changed)

    async def accept_keys(self, principal: Principal, known: Host, keys: AcceptedKeys) -> Host:
        """Accept host keys of an SSH host, or of the server on the way to it.

        Raises Forbidden, Conflict for a host that has none or changed meanwhile, InvalidInput for what is no key.
        """
        connection = known.connection
        if not isinstance(connection, SshConnection) or (keys.jump_host_keys is not None and connection.jump is None):
            raise Conflict(
                f"Found host {known.hostname} reached by {connection.kind} without such a server.",
                allowed="Allowed: host keys of an SSH host, and of its jump host where it has one.",
            )
        update: dict[str, object] = {}
        if keys.host_keys is not None:
            update["host_keys"] = keys.host_keys
        if keys.jump_host_keys is not None and connection.jump is not None:
            update["jump"] = connection.jump.model_copy(update={"host_keys": keys.jump_host_keys})
        changed = known.model_copy(update={"connection": connection.model_copy(update=update)})
        self._require_change(principal, known, changed)
        async with self.store.transaction() as tx:
            return await self._replace(tx, principal, known, changed, action="host.trust")

    async def remove_host(self, principal: Principal, known: Host) -> None:
        """Take a host off the inventory. What ran on it stays. Raises Forbidden, Conflict while something runs."""
        require_reach(principal, known.client_id, known.connection)
        unfinished = (ExecutionStatus.PENDING.value, ExecutionStatus.RUNNING.value)
        async with self.store.transaction() as tx:
            waiting = await tx.executions.count(
                client=known.client_id, where={"host_id": known.id, "status": unfinished}
            )
            if waiting:
                raise Conflict(
                    f"Found {waiting} {'execution' if waiting == 1 else 'executions'} waiting or running on "
                    f"{known.hostname}.",
                    next_step="Wait for the end or cancel: `runwright execution list` shows them.",
                )
            await tx.remove_host(known.id)
            await self._audit(tx, known.client_id, principal, "host.remove", known.id, {"hostname": known.hostname})

    async def request_check(self, principal: Principal, known: Host) -> HostCheck:
        """Queue a look at a host; the one that waits already, if it was asked for within the last minute.

        Raises Forbidden, StorageUnavailable.
        """
        require(principal, Permission.MANAGE_HOSTS, known.client_id)
        check = HostCheck(
            id=self.clock.new_id("chk"),
            client_id=known.client_id,
            host_id=known.id,
            requested_by=principal.id,
            created_at=self.clock.now(),
        )
        async with self.store.transaction() as tx:
            newest = await tx.host_checks.page(client=known.client_id, where={"host_id": known.id}, limit=1)
            waiting = [item for item in newest.items if item.status is CheckStatus.PENDING]
            if waiting and check.created_at - waiting[0].created_at < CHECK_PATIENCE:
                check = waiting[0]
            else:
                await tx.host_checks.add(check)
                await tx.trim_host_checks(known.id, keep=CHECKS_KEPT)
                await self._audit(tx, known.client_id, principal, "host.check", known.id)
        await self.queue.enqueue_check(check.id)
        return check

    async def import_hosts(self, principal: Principal, form: ImportedHosts) -> HostImport:
        """Register the hosts of an inventory file that are new, all or none; change those that differ if asked to.

        Raises Forbidden or InvalidInput with every fault, NotFound for the client.
        """
        require(principal, Permission.MANAGE_HOSTS, form.client_id)
        _check_import(principal, form)
        async with self.store.transaction() as tx:
            await tx.clients.get(form.client_id, client=EVERY_CLIENT)
            known = await _hosts_of(tx, form.client_id)
            fresh = [host for host in form.hosts if host.hostname not in known]
            pairs = [
                (known[host.hostname], merged(known[host.hostname], host, form.own_labels))
                for host in form.hosts
                if host.hostname in known
            ]
            differing = [(was, now) for was, now in pairs if was != now]
            if not form.dry_run:
                for host in fresh:
                    await self._add(tx, principal, host)
                for was, now in differing if form.update else ():
                    self._require_change(principal, was, now)
                    await self._replace(tx, principal, was, now)
        changed = [HostDifference(hostname=was.hostname, fields=differences(was, now)) for was, now in differing]
        needed = {reference for host in form.hosts for reference in secrets_of(host.connection)}
        return HostImport(
            new=tuple(host.hostname for host in fresh),
            changed=tuple(changed),
            unchanged=tuple(was.hostname for was, now in pairs if was == now),
            applied=not form.dry_run,
            updated=form.update and not form.dry_run,
            secrets=tuple(self.secret_places(found) for found in sorted(needed, key=lambda item: item.name)),
        )

    def _require_change(self, principal: Principal, was: Host, now: Host) -> None:
        """Who could not have registered it as it was may not change it either. Raises Forbidden, InvalidInput."""
        for host in (was, now):
            require_reach(principal, host.client_id, host.connection)
        check_connection(now.client_id, now.connection)

    async def _add(self, tx: Transaction, principal: Principal, new: NewHost) -> Host:
        host = Host(
            id=self.clock.new_id("hst"),
            created_at=self.clock.now(),
            **{name: getattr(new, name) for name in NewHost.model_fields},
        )
        await tx.hosts.add(host)
        await self._audit(tx, host.client_id, principal, "host.add", host.id, _way_facts(host))
        return host

    async def _replace(
        self, tx: Transaction, principal: Principal, was: Host, now: Host, action: str = "host.edit"
    ) -> Host:
        fields = [name for name in HostChange.model_fields if getattr(was, name) != getattr(now, name)]
        if fields:
            await tx.hosts.replace(was, now)
            facts = {"fields": " ".join(fields)}
            if was.connection != now.connection:
                facts |= _way_facts(now)
            await self._audit(tx, now.client_id, principal, action, now.id, facts)
        return now

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

    async def _audit(
        self,
        tx: Transaction,
        chain: str,
        principal: Principal,
        action: str,
        subject: str,
        facts: dict[str, str] | None = None,
    ) -> None:
        await tx.audit.append(
            AuditEvent(
                chain=chain, actor=principal.id, action=action, subject=subject, at=self.clock.now(), facts=facts or {}
            )
        )


def _way_facts(host: Host) -> dict[str, str]:
    """The way to the host, and the fingerprints of its accepted keys, for the audit chain; a run names its way too."""
    found: dict[str, str] = {"connection": connection_digest(host.connection)}
    for name, server in zip(("host_keys", "jump_host_keys"), endpoints(host.connection), strict=False):
        if server.host_keys:
            found[name] = " ".join(check_key(key) for key in server.host_keys)
    return found


async def _free(tx: Transaction, client_id: str, hostname: str) -> None:
    """Raises Conflict where a host of the client has this name."""
    if await tx.hosts.count(client=client_id, where={"hostname": hostname}):
        raise Conflict(
            f"Found host {hostname!r} registered for client {client_id} already.",
            next_step="Choose another hostname.",
        )


async def _hosts_of(tx: Transaction, client_id: str) -> dict[str, Host]:
    """Every host of a client, by hostname."""
    found: dict[str, Host] = {}
    cursor: str | None = None
    while True:
        page = await tx.hosts.page(client=client_id, cursor=cursor, limit=1000)
        found |= {host.hostname: host for host in page.items}
        cursor = page.next_cursor
        if cursor is None:
            return found


def _check_import(principal: Principal, form: ImportedHosts) -> None:
    """Raises InvalidInput or Forbidden with every fault of the hosts."""
    faults: list[Fault] = []
    kind: type[RunwrightError] = InvalidInput
    seen: set[str] = set()
    for number, host in enumerate(form.hosts):
        path = f"hosts[{number}]"
        if host.client_id != form.client_id:
            faults.append(Fault(message=f"found client {host.client_id}; allowed: {form.client_id}", path=path))
        if host.hostname in seen:
            faults.append(Fault(message=f"found {host.hostname} twice; allowed: once", path=path))
        seen.add(host.hostname)
        try:
            require_reach(principal, form.client_id, host.connection)
            check_connection(form.client_id, host.connection)
        except (Forbidden, InvalidInput) as error:
            kind = Forbidden if isinstance(error, Forbidden) else kind
            faults.append(Fault(message=f"{host.hostname}: {error}", path=path))
    if faults:
        raise kind(
            f"Found {len(faults)} {'fault' if len(faults) == 1 else 'faults'} in the hosts; none was registered.",
            faults=faults,
        )
