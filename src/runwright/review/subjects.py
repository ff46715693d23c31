"""What a review is about: versions and routing rules, with the digests that are approved."""

from __future__ import annotations

from runwright.model.audit import SYSTEM_CHAIN
from runwright.model.clients import scope_client
from runwright.model.errors import InvalidInput
from runwright.model.ids import ALL, digest
from runwright.model.ports.clock import Clock
from runwright.model.reviews import ReviewItem, ReviewSubject, RoutingRule, RoutingSubject, VersionSubject
from runwright.model.versions import RunbookVersion


def routing_digest(scope: str, incident_type: str, runbook_id: str) -> str:
    """Digest of what a routing rule says: incidents of this type in this scope are answered by this runbook."""
    return digest({"incident_type": incident_type, "runbook_id": runbook_id, "scope": scope})


def new_rule(clock: Clock, *, scope: str, incident_type: str, runbook_id: str) -> RoutingRule:
    """A rule that is not active yet; submit it to have it approved."""
    return RoutingRule(
        id=clock.new_id("rte"),
        scope=scope,
        incident_type=incident_type,
        runbook_id=runbook_id,
        digest=routing_digest(scope, incident_type, runbook_id),
        created_at=clock.now(),
    )


def version_subject(version: RunbookVersion, scope: str | None = None) -> VersionSubject:
    """The subject of a version for a scope: its own, or a narrower one. Raises InvalidInput for a wider one."""
    wanted = version.scope if scope is None else scope
    if version.scope not in (wanted, ALL):
        raise InvalidInput(
            f"Found version {version.id} of scope {version.scope} submitted for {wanted}.",
            allowed=f"Allowed: {version.scope}. A version learned for one client is not offered to others.",
        )
    return VersionSubject(id=version.id, digest=version.digest, raw_digest=version.raw_digest, scope=wanted)


def routing_subject(rule: RoutingRule) -> RoutingSubject:
    """The subject of a routing rule."""
    return RoutingSubject(
        id=rule.id,
        digest=rule.digest,
        scope=rule.scope,
        incident_type=rule.incident_type,
        runbook_id=rule.runbook_id,
    )


def client_of(subject: ReviewSubject | ReviewItem) -> str | None:
    """The client a subject is for; None for the library."""
    scope = subject.subject.scope if isinstance(subject, ReviewItem) else subject.scope
    return scope_client(scope)


def chain_of(scope: str) -> str:
    """The audit chain on which decisions for a scope are recorded."""
    return scope_client(scope) or SYSTEM_CHAIN
