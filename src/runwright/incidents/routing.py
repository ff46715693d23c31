"""Which live version answers an incident. The narrower scope wins; what is missing is named."""

from __future__ import annotations

from dataclasses import dataclass

from runwright.model.clients import scopes_for
from runwright.model.errors import Refused
from runwright.model.incidents import EscalationReason, Incident
from runwright.model.ports.store import Transaction
from runwright.model.reviews import Activation, RoutingRule
from runwright.model.versions import RunbookVersion


@dataclass(frozen=True)
class Route:
    """The answer to an incident: the rule that chose the runbook, what is live, and its version."""

    rule: RoutingRule
    activation: Activation
    version: RunbookVersion


class NoRoute(Refused):
    """No live version answers the incident; `reason` is that of the escalation to open."""

    code = "no-route"

    def __init__(self, found: str, *, reason: EscalationReason, allowed: str = "", next_step: str = "") -> None:
        super().__init__(found, allowed=allowed, next_step=next_step)
        self.reason = reason


async def choose(tx: Transaction, incident: Incident) -> Route:
    """The live version that answers an incident.

    An active rule of the client's own scope wins over one of `all`, and so does a live version.
    Whether approvals still hold is the gate's to say, at the run. Raises NoRoute.
    """
    rule = await _rule(tx, incident)
    activation = await _live(tx, incident, rule.runbook_id)
    version = await tx.versions.get(activation.version_id, client=incident.client_id)
    return Route(rule=rule, activation=activation, version=version)


async def _rule(tx: Transaction, incident: Incident) -> RoutingRule:
    scopes = scopes_for(incident.client_id)
    inactive: RoutingRule | None = None
    for scope in scopes:
        where = {"scope": scope, "incident_type": incident.incident_type}
        page = await tx.routes.page(client=incident.client_id, where=where)
        for rule in page.items:
            if rule.active:
                return rule
            inactive = inactive or rule
    named = " or ".join(scopes)
    if inactive is not None:
        raise NoRoute(
            f"Found no approved routing rule for incidents of type {incident.incident_type} in scope {named}; "
            f"rule {inactive.id} (to {inactive.runbook_id}) is not approved.",
            reason=EscalationReason.NO_RUNBOOK,
            next_step=f"Review it: `runwright review show {inactive.id}`.",
        )
    raise NoRoute(
        f"Found no routing rule for incidents of type {incident.incident_type} in scope {named}.",
        reason=EscalationReason.NO_RUNBOOK,
        next_step="Propose which runbook answers them and have the rule approved.",
    )


async def _live(tx: Transaction, incident: Incident, runbook_id: str) -> Activation:
    scopes = scopes_for(incident.client_id)
    for scope in scopes:
        activation = await tx.activations.live(runbook_id, scope)
        if activation is not None:
            return activation
    named = " or ".join(scopes)
    latest = await _latest(tx, incident.client_id, runbook_id)
    if latest is not None:
        because = f" ({latest.reason})" if latest.reason else ""
        raise NoRoute(
            f"Found no live version of {runbook_id} in scope {named}; "
            f"{latest.version_id} is {latest.state.value} there{because}.",
            reason=EscalationReason.NO_LIVE_VERSION,
            next_step=f"Approve a version of {runbook_id}.",
        )
    raise NoRoute(
        f"Found no live version of {runbook_id} in scope {named}: none was ever approved there.",
        reason=EscalationReason.NO_LIVE_VERSION,
        next_step=f"Approve a version of {runbook_id}.",
    )


async def _latest(tx: Transaction, client_id: str, runbook_id: str) -> Activation | None:
    """What was live last in the client's scopes, the narrower first."""
    for scope in scopes_for(client_id):
        where = {"runbook_id": runbook_id, "scope": scope}
        page = await tx.activations.page(client=client_id, where=where, limit=1)
        if page.items:
            return page.items[0]
    return None
