"""The review queue, decisions, approvals and activations."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from runwright.model.base import Moment, Record, Sha256
from runwright.model.ids import RunbookId, VersionId
from runwright.model.risk import RiskReport


class ReviewStatus(StrEnum):
    DRAFT = "draft"
    PENDING_REVIEW = "pending_review"
    IN_REVIEW = "in_review"
    NEEDS_CHANGES = "needs_changes"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


class ReviewAction(StrEnum):
    SUBMIT = "submit"
    CLAIM = "claim"
    RELEASE = "release"
    APPROVE = "approve"
    REJECT = "reject"
    REQUEST_CHANGES = "request_changes"
    WITHDRAW = "withdraw"


class VersionSubject(Record):
    """A runbook version to be approved for a scope."""

    kind: Literal["version"] = "version"
    id: VersionId
    digest: Sha256
    raw_digest: Sha256
    scope: str


class RoutingSubject(Record):
    """A rule saying which runbook answers which incidents."""

    kind: Literal["routing"] = "routing"
    id: str
    digest: Sha256
    scope: str
    incident_type: str
    runbook_id: RunbookId


ReviewSubject = Annotated[VersionSubject | RoutingSubject, Field(discriminator="kind")]


class TestEvidence(Record):
    """A trial or a person's test of the subject."""

    __test__ = False
    """Not a pytest class."""

    id: str
    source: str
    """`trial`, `person`, or `none` with the reason in `note`."""
    passed: bool | None
    """None where nothing could be tried."""
    note: str
    trial_id: str | None = None
    closes: str | None = None
    """The id of the failed test that this one, passed, closes. Only a person may name one."""
    at: Moment


class ReviewEntry(Record):
    """One line of an item's history, kept for ever."""

    action: str
    by: str
    by_name: str
    at: Moment
    note: str = ""
    from_status: ReviewStatus
    to_status: ReviewStatus


class ReviewItem(Record):
    """A subject in the queue."""

    id: str
    """The subject's id."""
    subject: ReviewSubject
    title: str
    reason: str
    """Why it is here, in one sentence."""
    status: ReviewStatus
    priority: int = Field(ge=1, le=4)
    """1 critical to 4 low."""
    added_risk: RiskReport
    parent: VersionId | None = None
    proposal_id: str | None = None
    author_id: str
    assignee: str | None = None
    lease_until: Moment | None = None
    evidence: tuple[TestEvidence, ...] = ()
    history: tuple[ReviewEntry, ...] = ()
    created_at: Moment
    decided_at: Moment | None = None


class ApprovalStatement(Record):
    """What a person signed. The payload of the DSSE envelope, in canonical JSON."""

    type: Literal["runwright/approval/v1"] = "runwright/approval/v1"
    approval_id: str
    subject_kind: Literal["version", "routing"]
    subject_id: str
    """The version id or routing rule id."""
    digest: Sha256
    raw_digest: Sha256 | None = None
    scope: str
    reviewer_id: str
    reviewer_name: str
    method: str
    """How the reviewer was authenticated."""
    decided_at: Moment
    expires_at: Moment
    nonce: str
    fallback: VersionId | None = None
    """The version that may take over if this one is suspended."""


class Approval(Record):
    """A stored approval: the signed envelope, and its revocation if any."""

    id: str
    subject_id: str
    scope: str
    envelope: str
    """DSSE envelope as JSON; the statement inside it is what counts."""
    decided_at: Moment
    expires_at: Moment
    revoked_at: Moment | None = None
    revoked_by: str | None = None


class ActivationState(StrEnum):
    LIVE = "live"
    SUSPENDED = "suspended"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"


class Activation(Record):
    """What runs: at most one live per runbook and scope."""

    id: str
    runbook_id: RunbookId
    scope: str
    version_id: VersionId
    digest: Sha256
    approval_id: str
    since: Moment
    until: Moment
    state: ActivationState = ActivationState.LIVE
    ended_at: Moment | None = None
    reason: str = ""


class RoutingRule(Record):
    """Which runbook answers incidents of a type in a scope; live only while its approval is."""

    id: str
    scope: str
    incident_type: str
    runbook_id: RunbookId
    digest: Sha256
    approval_id: str | None = None
    active: bool = False
    created_at: Moment


class StopScope(StrEnum):
    GLOBAL = "global"
    CLIENT = "client"
    RUNBOOK = "runbook"


class StopSwitch(Record):
    """Holds every run it covers before its next step, while it is set."""

    id: str
    """`global`, `client:<id>` or `runbook:<id>`."""
    scope: StopScope
    set_by: str
    reason: str
    set_at: Moment
