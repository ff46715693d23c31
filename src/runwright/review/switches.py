"""The stop switch: global, per client, per runbook. Setting it is easy; releasing it takes an approver."""

from __future__ import annotations

from runwright.access.desk import record
from runwright.access.permissions import Permission, require
from runwright.model.audit import SYSTEM_CHAIN
from runwright.model.errors import InvalidInput
from runwright.model.ports.clock import Clock
from runwright.model.ports.store import EVERY_CLIENT, Store
from runwright.model.principals import Principal
from runwright.model.reviews import StopScope, StopSwitch


class StopSwitches:
    """Sets, releases and lists switches; the gate reads them before every step."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def stop(self, principal: Principal, switch_id: str, reason: str) -> StopSwitch:
        """Hold every run that `global`, `client:<id>` or `runbook:<id>` covers, before its next step.

        Raises Forbidden, InvalidInput for another id or no reason, Conflict if it is set already.
        """
        scope, client = _parse(switch_id)
        require(principal, Permission.STOP, client)
        if not reason.strip():
            raise InvalidInput("Found no reason.", allowed="Allowed: a sentence on why everything is to hold.")
        now = self._clock.now()
        switch = StopSwitch(id=switch_id, scope=scope, set_by=principal.name, reason=reason.strip(), set_at=now)
        async with self._store.transaction() as tx:
            await tx.switches.add(switch)
            await record(tx, self._clock, principal, "switch.set", switch_id, chain=client or SYSTEM_CHAIN)
        return switch

    async def release(self, principal: Principal, switch_id: str) -> None:
        """Let runs go on. Raises Forbidden, NotFound."""
        _, client = _parse(switch_id)
        require(principal, Permission.RESUME, client)
        async with self._store.transaction() as tx:
            await tx.remove_switch(switch_id)
            await record(tx, self._clock, principal, "switch.release", switch_id, chain=client or SYSTEM_CHAIN)

    async def all(self, principal: Principal, *, client: str | None = None) -> tuple[StopSwitch, ...]:
        """The switches that are set, as far as the principal may see executions of the client (None: of all)."""
        require(principal, Permission.READ_EXECUTIONS, client)
        async with self._store.reading() as tx:
            return (await tx.switches.page(client=client or EVERY_CLIENT, limit=500)).items


def _parse(switch_id: str) -> tuple[StopScope, str | None]:
    """The scope and client of a switch; a runbook's switch may concern every client, so it asks for all."""
    kind, _, name = switch_id.partition(":")
    if switch_id == StopScope.GLOBAL.value:
        return StopScope.GLOBAL, None
    if kind == StopScope.CLIENT.value and name:
        return StopScope.CLIENT, name
    if kind == StopScope.RUNBOOK.value and name:
        return StopScope.RUNBOOK, None
    raise InvalidInput(f"Found stop switch {switch_id!r}.", allowed="Allowed: global, client:<id>, runbook:<id>.")
