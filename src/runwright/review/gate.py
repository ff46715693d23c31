"""The approval gate: the only place where an `ApprovedRunbook` is made (promise 1).

Everything is read, checked and, for a step, journaled in one transaction, so that what was checked is what holds
when the intent is written. There is no way around it and no flag.
"""

from __future__ import annotations

import logging

from pydantic import ValidationError

from runwright.access.desk import record
from runwright.access.permissions import Permission, allows
from runwright.access.sessions import principal_of
from runwright.access.tokens import bearer_of
from runwright.model.admission import ApprovedRunbook
from runwright.model.audit import SYSTEM_CHAIN
from runwright.model.clients import client_scope
from runwright.model.errors import Conflict, GateReason, GateRefused, Held
from runwright.model.executions import Execution, StepIntent
from runwright.model.incidents import Incident
from runwright.model.ports.clock import Clock
from runwright.model.ports.signing import Keyring
from runwright.model.ports.store import EVERY_CLIENT, Store, Transaction
from runwright.model.principals import ENGINE
from runwright.model.reviews import Approval, ApprovalStatement
from runwright.review import checks
from runwright.review.calls import admit_called
from runwright.review.checks import refuse
from runwright.runbooks.load import LoadedRunbook

log = logging.getLogger(__name__)


class ApprovalGate:
    """Implements the `Gate` port. Needs public keys only."""

    def __init__(self, store: Store, keyring: Keyring, clock: Clock) -> None:
        self._store = store
        self._keyring = keyring
        self._clock = clock

    async def admit(self, execution_id: str, intent: StepIntent | None = None) -> ApprovedRunbook:
        """The runbook that this execution may run now; with an intent, the intent is journaled with the check.

        Raises GateRefused with the reason, Held (a GateRefused) while a stop switch covers it, and Conflict if
        a newer worker has taken the execution over. Signs of tampering are audited as `gate.tampered`.
        """
        try:
            async with self._store.transaction() as tx:
                execution, loaded, called = await self._check(tx, execution_id, intent)
                if intent is not None:
                    await _fence(tx, intent, execution.epoch)
                    await tx.journal.intend(intent)
                else:
                    calls = ",".join(sorted(called))
                    await self._audit(tx, "gate.admit", execution, digest=execution.digest, calls=calls)
        except Held:
            raise
        except GateRefused as refused:
            await self._report(execution_id, refused)
            raise
        except ValidationError as error:
            unread = refuse(GateReason.UNREADABLE, f"execution {execution_id} with a record that cannot be read")
            await self._report(execution_id, unread)
            raise unread from error
        return ApprovedRunbook(
            loaded.document,
            execution.version_id,
            loaded.digest,
            execution_id=execution.id,
            host_id=execution.host_id,
            approval_id=execution.approval_id,
            called={digest: each.document for digest, each in called.items()},
        )

    async def _check(
        self, tx: Transaction, execution_id: str, intent: StepIntent | None
    ) -> tuple[Execution, LoadedRunbook, dict[str, LoadedRunbook]]:
        """All checks. The stop switch comes last: held means that nothing else is wrong."""
        execution = await tx.executions.find(execution_id, client=EVERY_CLIENT)
        plan = await tx.plans.find(execution_id, client=EVERY_CLIENT) if execution is None else None
        if plan is not None and intent is not None:
            raise refuse(GateReason.UNKNOWN_EXECUTION, f"an intent of plan {execution_id!r}, of which nothing is run")
        execution = plan.execution if plan is not None else execution
        if execution is None:
            raise refuse(GateReason.UNKNOWN_EXECUTION, f"no execution {execution_id!r}")
        checks.check_execution(execution, execution_id, intent)
        person, machine = await self._requester(tx, execution)
        await self._check_host(tx, execution, person=person)
        loaded = await self._check_version(tx, execution)
        unreported = plan.incident if plan is not None and not plan.reported else None
        await self._check_route(tx, execution, unreported, named=person or machine)
        called = await self._check_calls(tx, execution, loaded)
        await _check_switches(tx, execution, called)
        return execution, loaded, called

    async def _check_calls(
        self, tx: Transaction, execution: Execution, loaded: LoadedRunbook
    ) -> dict[str, LoadedRunbook]:
        """What it calls, by digest: each approved on its own, now."""

        def holds(approval: Approval) -> ApprovalStatement:
            return checks.check_approval(self._keyring, approval, self._clock.now())

        return await admit_called(tx, execution, loaded.document, holds)

    async def _check_host(self, tx: Transaction, execution: Execution, *, person: bool) -> None:
        host = await tx.hosts.find(execution.host_id, client=EVERY_CLIENT)
        if host is None:
            raise refuse(GateReason.UNKNOWN_HOST, f"no host {execution.host_id!r} of client {execution.client_id}")
        checks.check_policy(execution, host, person=person)

    async def _check_version(self, tx: Transaction, execution: Execution) -> LoadedRunbook:
        activation = await tx.activations.find(execution.activation_id, client=EVERY_CLIENT)
        if activation is None:
            raise refuse(GateReason.NO_ACTIVATION, f"no activation {execution.activation_id!r}")
        checks.check_activation(execution, activation, self._clock.now())
        version = await tx.versions.find(activation.version_id, client=EVERY_CLIENT)
        if version is None:
            raise refuse(GateReason.UNKNOWN_VERSION, f"no version {activation.version_id!r}")
        loaded = checks.check_version(activation, version)
        statement = await self._statement(tx, activation.approval_id)
        checks.check_version_approval(statement, activation, loaded)
        return loaded

    async def _check_route(
        self, tx: Transaction, execution: Execution, unreported: Incident | None, *, named: bool
    ) -> None:
        """`named`: whether a person or a machine asked for the run and so may have named the runbook.

        `unreported`: the incident of a plan for one that is not in the store.
        """
        incident = unreported or await tx.incidents.find(execution.incident_id, client=EVERY_CLIENT)
        if incident is None:
            raise refuse(GateReason.UNKNOWN_INCIDENT, f"no incident {execution.incident_id!r}")
        checks.check_incident(execution, incident)
        if execution.routing_id is None:
            if not named:
                raise refuse(GateReason.NO_ROUTE, f"execution {execution.id} without a rule or a caller who named it")
            return
        rule = await tx.routes.find(execution.routing_id, client=EVERY_CLIENT)
        if rule is None:
            raise refuse(GateReason.NO_ROUTE, f"no routing rule {execution.routing_id!r}")
        checks.check_rule(execution, incident, rule)
        checks.check_rule_approval(await self._statement(tx, rule.approval_id), rule)

    async def _statement(self, tx: Transaction, approval_id: str | None) -> ApprovalStatement:
        approval: Approval | None = None
        if approval_id is not None:
            approval = await tx.approvals.find(approval_id, client=EVERY_CLIENT)
        if approval is None:
            raise refuse(GateReason.NO_APPROVAL, f"no approval {approval_id!r}")
        checks.same("approval", approval.id, approval_id)
        return checks.check_approval(self._keyring, approval, self._clock.now())

    async def _report(self, execution_id: str, refused: GateRefused) -> None:
        """Audit a refusal in a transaction of its own: that of the check is rolled back."""
        log.warning("gate refused %s: %s (%s)", execution_id, refused, refused.reason.value)
        action = "gate.tampered" if refused.reason.tampering else "gate.refuse"
        async with self._store.transaction() as tx:
            try:
                asked = await tx.executions.find(execution_id, client=EVERY_CLIENT)
                asking = asked or await tx.plans.find(execution_id, client=EVERY_CLIENT)
                chained = asking and await tx.clients.find(asking.client_id, client=EVERY_CLIENT)
            except ValidationError:
                chained = None
            chain = chained.id if chained else SYSTEM_CHAIN
            await record(tx, self._clock, ENGINE, action, execution_id, chain=chain, reason=refused.reason.value)

    async def _audit(self, tx: Transaction, action: str, execution: Execution, *, digest: str, calls: str = "") -> None:
        await record(
            tx,
            self._clock,
            ENGINE,
            action,
            execution.id,
            chain=execution.client_id,
            digest=digest,
            version=execution.version_id,
            approval=execution.approval_id,
            host=execution.host_id,
            **({"calls": calls} if calls else {}),
        )

    async def _requester(self, tx: Transaction, execution: Execution) -> tuple[bool, bool]:
        """Whether an active person, or a machine whose token still holds, asked for it and may run here."""
        who, client = execution.requested_by, execution.client_id
        user = await tx.users.find(who, client=EVERY_CLIENT)
        if user is not None:
            may = user.id == who and user.disabled_at is None
            return may and allows(principal_of(user), Permission.RUN, client), False
        token = await tx.tokens.find(who, client=EVERY_CLIENT)
        holds = token is not None and token.id == who and token.revoked_at is None
        if token is None or not holds or token.expires_at <= self._clock.now():
            return False, False
        return False, allows(bearer_of(token), Permission.RUN, client)


async def _check_switches(tx: Transaction, execution: Execution, called: dict[str, LoadedRunbook]) -> None:
    """A switch of a runbook holds those that call it too."""
    runbooks = dict.fromkeys((execution.runbook_id, *(loaded.document.id for loaded in called.values())))
    for switch_id in ("global", client_scope(execution.client_id), *(f"runbook:{name}" for name in runbooks)):
        switch = await tx.switches.find(switch_id, client=EVERY_CLIENT)
        if switch is not None:
            raise Held(
                f"Found the stop switch {switch_id} set by {switch.set_by}: {switch.reason}",
                reason=GateReason.STOPPED,
                next_step="It goes on when the switch is released.",
            )


async def _fence(tx: Transaction, intent: StepIntent, epoch: int) -> None:
    """Refuse a worker that is known to be old, by the execution or, if that was turned back, by the journal."""
    newest = max(await tx.journal.newest_epoch(intent.execution_id) or epoch, epoch)
    if newest > intent.epoch:
        raise Conflict(
            f"Found epoch {newest} at work on {intent.execution_id}, newer than {intent.epoch}.",
            allowed="Allowed: the newest worker alone.",
            next_step="Stop here: the other worker goes on.",
        )
