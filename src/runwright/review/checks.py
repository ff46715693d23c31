"""What the gate compares. Pure: records in, GateRefused out; every field of a row against what was signed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache

from runwright.access.dsse import open_statement
from runwright.model.clients import scopes_for
from runwright.model.errors import GateReason, GateRefused, Tampered
from runwright.model.executions import Execution, StepIntent
from runwright.model.hosts import Host, PolicyMode
from runwright.model.ids import ALL, split_version_id
from runwright.model.incidents import Incident
from runwright.model.ports.signing import Keyring
from runwright.model.principals import AuthMethod
from runwright.model.reviews import Activation, ActivationState, Approval, ApprovalStatement, RoutingRule
from runwright.model.versions import RunbookVersion
from runwright.review.subjects import routing_digest
from runwright.runbooks.load import LoadedRunbook
from runwright.runbooks.stored import check_stored

_NOT_LIVE = {
    ActivationState.SUSPENDED: GateReason.SUSPENDED,
    ActivationState.SUPERSEDED: GateReason.SUPERSEDED,
    ActivationState.EXPIRED: GateReason.ACTIVATION_EXPIRED,
}

_PERSONS = frozenset({AuthMethod.PASSWORD.value, AuthMethod.OIDC.value, AuthMethod.DEMO.value})


def refuse(reason: GateReason, found: str) -> GateRefused:
    """The refusal for a cause, with what to do about it."""
    if reason.tampering:
        step = "Someone edited the store: compare `runwright audit verify`, restore the record or review it anew."
    else:
        step = "Nothing ran. See the review queue for what is live."
    return GateRefused(f"Found {found}.", reason=reason, next_step=step)


def same(what: str, found: object, wanted: object) -> None:
    """Raise GateRefused (mismatch) unless the two are equal."""
    if found != wanted:
        raise refuse(GateReason.MISMATCH, f"{what} {found}, where {wanted} belongs")


class _Keys:
    """A keyring as it is at one moment."""

    def __init__(self, keys: tuple[tuple[str, bytes], ...]) -> None:
        self._keys = dict(keys)

    def public_keys(self) -> Mapping[str, bytes]:
        return self._keys


# Reading a text and checking a signature depend on nothing but what they are given, every byte of which is part of
# the key here: a changed text, digest, envelope or keyring is read anew. No decision is kept, and no refusal.


@lru_cache(maxsize=64)
def _stored_runbook(text: str, digest: str, raw_digest: str) -> LoadedRunbook:
    return check_stored(text, digest, raw_digest)


@lru_cache(maxsize=256)
def _statement(keys: tuple[tuple[str, bytes], ...], envelope: str) -> ApprovalStatement:
    return open_statement(_Keys(keys), envelope)


def check_execution(execution: Execution, asked_for: str, intent: StepIntent | None) -> None:
    """The row is the one asked for, is not over, and the intent is its."""
    same("execution", execution.id, asked_for)
    if execution.status.final:
        raise refuse(GateReason.FINISHED, f"execution {execution.id} {execution.status.value}")
    if execution.completed_at is not None:
        raise refuse(GateReason.MISMATCH, f"execution {execution.id} {execution.status.value}, yet completed")
    if intent is not None:
        same("an intent of execution", intent.execution_id, execution.id)
        if intent.epoch > execution.epoch:
            raise refuse(GateReason.MISMATCH, f"epoch {execution.epoch} stored, older than the worker's {intent.epoch}")


def check_policy(execution: Execution, host: Host, *, person: bool) -> None:
    """The host is the client's, and its policy lets this run. `person`: whether a person asked for it."""
    same("host", host.id, execution.host_id)
    same("a host of client", host.client_id, execution.client_id)
    if host.policy.mode is PolicyMode.NEVER:
        raise refuse(GateReason.POLICY, f"host {host.hostname}, whose policy is never")
    if host.policy.mode is PolicyMode.ASK and not person:
        raise refuse(GateReason.POLICY, f"host {host.hostname}, whose policy is ask, and no person asked")


def check_incident(execution: Execution, incident: Incident) -> None:
    """The incident is the execution's, of the same client and host."""
    same("incident", incident.id, execution.incident_id)
    same("an incident of client", incident.client_id, execution.client_id)
    same("an incident on host", incident.host_id, execution.host_id)


def check_activation(execution: Execution, activation: Activation, now: datetime) -> None:
    """The activation is the execution's, live now, and for its client."""
    same("activation", activation.id, execution.activation_id)
    same("an activation of runbook", activation.runbook_id, execution.runbook_id)
    same("an activation of version", activation.version_id, execution.version_id)
    same("an activation of digest", activation.digest, execution.digest)
    same("an activation by approval", activation.approval_id, execution.approval_id)
    if activation.scope not in scopes_for(execution.client_id):
        raise refuse(GateReason.OUT_OF_SCOPE, f"an activation for {activation.scope}, not for {execution.client_id}")
    if activation.state is not ActivationState.LIVE:
        raise refuse(_NOT_LIVE[activation.state], f"version {activation.version_id} {activation.state.value}")
    if activation.ended_at is not None:
        raise refuse(GateReason.MISMATCH, f"activation {activation.id} live, yet ended")
    if now < activation.since:
        raise refuse(GateReason.NOT_YET, f"version {activation.version_id} live only from {activation.since}")
    if now >= activation.until:
        raise refuse(GateReason.ACTIVATION_EXPIRED, f"version {activation.version_id} live until {activation.until}")


def check_version(activation: Activation, version: RunbookVersion) -> LoadedRunbook:
    """The stored text is what both its digests say and what is activated; the runbook read from it."""
    same("version", version.id, activation.version_id)
    same("a version of runbook", version.runbook_id, activation.runbook_id)
    same("a version of digest", version.digest, activation.digest)
    if version.scope not in (ALL, activation.scope):
        raise refuse(GateReason.OUT_OF_SCOPE, f"version {version.id} of {version.scope} active for {activation.scope}")
    return check_text(version)


def check_text(version: RunbookVersion) -> LoadedRunbook:
    """The row is of the version that its id names, and its text what both its digests say."""
    same("a version named", (version.runbook_id, version.number), split_version_id(version.id))
    try:
        loaded = _stored_runbook(version.text, version.digest, version.raw_digest)
    except Tampered as error:
        raise refuse(GateReason.CONTENT, f"version {version.id} with another text than was stored") from error
    same("a text of runbook", loaded.document.id, version.runbook_id)
    return loaded


def check_approval(keyring: Keyring, approval: Approval, now: datetime) -> ApprovalStatement:
    """The envelope is signed by a known key, says the same as its row, and holds now."""
    try:
        statement = _statement(tuple(sorted(keyring.public_keys().items())), approval.envelope)
    except Tampered as error:
        raise refuse(GateReason.SIGNATURE, f"approval {approval.id} with a signature that does not hold") from error
    same("an approval signed as", statement.approval_id, approval.id)
    same("an approval signed for", statement.subject_id, approval.subject_id)
    same("an approval signed for scope", statement.scope, approval.scope)
    same("an approval signed until", statement.expires_at, approval.expires_at)
    same("an approval signed at", statement.decided_at, approval.decided_at)
    if statement.method not in _PERSONS:
        raise refuse(GateReason.MISMATCH, f"an approval by {statement.method}, which is no way a person logs in")
    if approval.revoked_at is not None or approval.revoked_by is not None:
        raise refuse(GateReason.REVOKED, f"approval {approval.id} revoked at {approval.revoked_at}")
    if now < statement.decided_at:
        raise refuse(GateReason.NOT_YET, f"approval {approval.id} given only at {statement.decided_at}")
    if now >= statement.expires_at:
        raise refuse(GateReason.APPROVAL_EXPIRED, f"approval {approval.id} expired at {statement.expires_at}")
    return statement


def check_version_approval(statement: ApprovalStatement, activation: Activation, loaded: LoadedRunbook) -> None:
    """What was signed is this version, byte for byte, for this scope and no longer than it is active."""
    same("an approval of a", statement.subject_kind, "version")
    same("an approval for", statement.subject_id, activation.version_id)
    same("an approval of digest", statement.digest, loaded.digest)
    same("an approval of text", statement.raw_digest, loaded.raw_digest)
    same("an approval for scope", statement.scope, activation.scope)
    same("an activation until", activation.until, statement.expires_at)
    if activation.since < statement.decided_at:
        raise refuse(GateReason.MISMATCH, f"activation {activation.id} older than its approval")


def check_called_approval(
    statement: ApprovalStatement, version: RunbookVersion, loaded: LoadedRunbook, scopes: tuple[str, ...]
) -> None:
    """What was signed is this version, byte for byte, for a scope that covers the client."""
    same("an approval of a", statement.subject_kind, "version")
    same("an approval for", statement.subject_id, version.id)
    same("an approval of digest", statement.digest, loaded.digest)
    same("an approval of text", statement.raw_digest, loaded.raw_digest)
    if statement.scope not in scopes:
        raise refuse(GateReason.OUT_OF_SCOPE, f"an approval of {version.id} for {statement.scope}")


def check_rule(execution: Execution, incident: Incident, rule: RoutingRule) -> None:
    """The rule is active, for this client, and sends this kind of incident to this runbook."""
    same("routing rule", rule.id, execution.routing_id)
    if rule.scope not in scopes_for(execution.client_id):
        raise refuse(GateReason.OUT_OF_SCOPE, f"a routing rule for {rule.scope}, not for {execution.client_id}")
    if not rule.active:
        raise refuse(GateReason.NO_ROUTE, f"routing rule {rule.id} not active")
    same("a routing rule for incidents of", rule.incident_type, str(incident.incident_type))
    same("a routing rule to", rule.runbook_id, execution.runbook_id)


def check_rule_approval(statement: ApprovalStatement, rule: RoutingRule) -> None:
    """What was signed is this rule as it stands."""
    same("an approval of a", statement.subject_kind, "routing")
    same("an approval for", statement.subject_id, rule.id)
    same("a routing rule of digest", rule.digest, routing_digest(rule.scope, rule.incident_type, rule.runbook_id))
    same("an approval of digest", statement.digest, rule.digest)
    same("an approval for scope", statement.scope, rule.scope)
