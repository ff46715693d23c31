"""What is known of a run so far; becomes the `ExecutionResult`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from runwright.execution.request import RunRequest
from runwright.execution.state_diff import diff_states
from runwright.model.executions import (
    ExecutionError,
    ExecutionResult,
    ExecutionStatus,
    IncidentRef,
    Section,
    StepRecord,
)
from runwright.model.questions import Question
from runwright.model.states import HostState
from runwright.model.verdicts import Verification


@dataclass
class Telemetry:
    """Grows while the run goes on. `result` may be taken at any time."""

    request: RunRequest
    started_at: datetime
    steps: list[StepRecord] = field(default_factory=list)
    before: HostState | None = None
    after: HostState | None = None
    verification: Verification | None = None
    after_rollback: Verification | None = None
    error: ExecutionError | None = None
    question: Question | None = None

    @classmethod
    def begin(cls, request: RunRequest, now: datetime) -> Telemetry:
        """Fresh, or with what the last checkpoint knew that cannot be observed again."""
        earlier = request.earlier
        if earlier is None:
            return cls(request, request.started_at or now)
        return cls(
            request,
            request.started_at or earlier.started_at,
            before=earlier.state_before,
            after=earlier.state_after,
            verification=earlier.verification,
        )

    @property
    def anything_attempted(self) -> bool:
        """Whether the host may have been changed: some step was started."""
        return any(step.attempts and step.section is Section.STEPS for step in self.steps)

    def result(self, status: ExecutionStatus, completed_at: datetime | None = None) -> ExecutionResult:
        """The public form, as of now."""
        request, brief = self.request, self.request.brief
        duration = (completed_at - self.started_at).total_seconds() if completed_at else None
        diff = diff_states(self.before, self.after) if self.before and self.after else ()
        return ExecutionResult(
            execution_id=request.execution_id,
            client_id=request.client_id,
            host=request.host,
            incident=IncidentRef(
                id=request.incident_id,
                incident_type=brief.incident_type,
                subject=dict(brief.subject),
                severity=brief.severity,
            ),
            runbook=request.runbook_ref,
            started_at=self.started_at,
            completed_at=completed_at,
            duration_seconds=duration,
            status=status,
            steps=tuple(self.steps),
            state_before=self.before,
            state_after=self.after,
            state_diff=diff,
            verification=self.verification,
            verification_after_rollback=self.after_rollback,
            error=self.error,
            question=self.question,
            tags=dict(request.tags),
        )
