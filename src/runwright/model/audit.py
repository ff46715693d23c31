"""Audit entries: digests only, one hash chain per client and one for the system."""

from __future__ import annotations

from pydantic import Field

from runwright.model.base import Moment, Record
from runwright.model.ids import digest

SYSTEM_CHAIN = "system"


class AuditEvent(Record):
    """What is to be recorded; the store gives it its place in the chain."""

    chain: str
    """A client id, or `system`."""
    actor: str
    action: str
    """As `review.approve`, `gate.admit`, `user.login`."""
    subject: str
    """The id of what it is about."""
    digest: str | None = None
    """Digest of the content it is about."""
    at: Moment
    facts: dict[str, str] = Field(default_factory=dict)
    """Short facts without telemetry: statuses, reasons' codes, scopes."""


class AuditEntry(Record):
    """An event in its chain. `hash` covers sequence, previous hash and the event's canonical form."""

    chain: str
    sequence: int
    previous: str
    event: AuditEvent
    hash: str


GENESIS = "sha256:" + "0" * 64
"""The previous hash of a chain's first entry."""


def chain_hash(chain: str, sequence: int, previous: str, event: AuditEvent) -> str:
    """The hash of one entry: over chain, sequence, previous hash and the event's canonical form (RFC 8785)."""
    return digest([chain, sequence, previous, event.model_dump(mode="json")])
