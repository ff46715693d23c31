"""What another executor did and reported: kept apart from the runs that went through the gate."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from runwright.model.base import Moment, Record, Sha256
from runwright.model.executions import ExecutionStatus
from runwright.model.ids import ClientId, VersionId

EXTERNAL_ORIGIN = "external:"
"""What the origin of such a result begins with; the rest names its source."""

REPORTED = "reported"
"""The method of a verification that another executor claims. It never counts as passed."""


class ExternalLearning(StrEnum):
    """How far learning from it has come."""

    NOTHING = "nothing"
    """It did not fail, or its end is not known: there is nothing to learn."""
    WAITING = "waiting"
    EXPLAINED = "explained"
    """Diagnosed, and nothing was proposed."""
    PROPOSED = "proposed"
    """What was learned from it is in the review queue."""


class ExternalExecution(Record):
    """The row of a reported run. Its telemetry is the `ExecutionResult` of the same id."""

    id: str
    """Given here, from client, source and the executor's own id; never that of a run of ours."""
    client_id: ClientId
    source: str
    """What reported it, as `ansible`."""
    external_id: str
    """The executor's own id of the run."""
    status: ExecutionStatus
    """As claimed. What was verified is `reported` at most."""
    hostname: str
    incident_type: str
    incident_id: str | None = None
    """The incident of ours that it names, if there is one. Its status is not touched."""
    runbook_id: str
    version_id: VersionId | None = None
    """The stored version that ran; None where its text did not come along or is no runbook of this language."""
    content_digest: Sha256
    """Of what was sent, before anything was masked or cut: the same again changes nothing, other content is refused."""
    masked: int = Field(default=0, ge=0)
    """Secrets of a known shape that were masked before anything was stored."""
    learning: ExternalLearning
    reported_by: str
    received_at: Moment
