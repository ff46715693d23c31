"""Runbook versions: immutable, numbered when stored, never reused."""

from __future__ import annotations

from runwright.model.base import Moment, Record
from runwright.model.ids import RunbookId, VersionId
from runwright.model.principals import Principal


class Author(Record):
    """Who wrote a version: a person, a machine, or the engine."""

    id: str
    kind: str
    name: str

    @classmethod
    def of(cls, principal: Principal) -> Author:
        return cls(id=principal.id, kind=principal.kind.value, name=principal.name)


class RunbookVersion(Record):
    """One stored version. Its review status lives in the review queue, its activation beside it."""

    id: VersionId
    runbook_id: RunbookId
    number: int
    scope: str
    """`all` or `client:<id>`; a learned version belongs to the client it was learned from."""
    text: str
    """The document exactly as written."""
    digest: str
    """sha-256 of the canonical form (RFC 8785) of the written data."""
    raw_digest: str
    """sha-256 of the bytes of `text`."""
    parent: VersionId | None = None
    author: Author
    origin_execution: str | None = None
    proposal_id: str | None = None
    created_at: Moment
