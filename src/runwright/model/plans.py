"""What would run for an incident, told without running it: `--check`."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field

from runwright.model.base import Moment, OpenRecord, Record
from runwright.model.executions import Execution, ExecutionError, HostBrief, IncidentRef, RunbookRef, Section
from runwright.model.ids import ClientId
from runwright.model.incidents import Incident
from runwright.model.risk import RiskClass
from runwright.model.states import HostState
from runwright.model.verdicts import Verification

PLAN_SCHEMA = "runwright/plan/v1"


class PlanStatus(StrEnum):
    PENDING = "pending"
    """A worker has not looked at the host yet."""
    READY = "ready"
    """It says what would run."""
    REFUSED = "refused"
    """Nothing would run; `error` says why."""
    FAILED = "failed"
    """The host could not be asked, so nothing can be said."""


class GuardAnswer(StrEnum):
    YES = "yes"
    NO = "no"
    ERROR = "error"
    """Neither: at the run it would stop there."""


class PlannedGuard(OpenRecord):
    """A guard of a step: `only_if`, `unless` or `until`."""

    field: str
    text: str
    """As approved."""
    answer: GuardAnswer | None = None
    """As the host is now; None where it was not evaluated."""
    reason: str = ""
    """What it said, or why it was not evaluated."""
    classes: tuple[RiskClass, ...] = ()
    """Of the risk analysis, where they are why it was not evaluated."""


class Prediction(StrEnum):
    RUN = "run"
    SKIP = "skip"
    STOP = "stop"
    """A guard gives no answer: the run would end there."""
    UNKNOWN = "unknown"
    """A guard that decides it was not evaluated."""


class PlannedStep(OpenRecord):
    """One step of the version as it would run."""

    id: str
    name: str = ""
    section: Section
    kind: str
    command: str
    """The command text as approved, or what a typed step does with the values of this run."""
    become: bool = False
    idempotent: bool = False
    timeout: float
    """Seconds."""
    guards: tuple[PlannedGuard, ...] = ()
    would: Prediction
    after_changes: bool = False
    """An earlier step would or might run, and may change what the guards say."""
    on_failure: str = "abort"
    risk: tuple[RiskClass, ...] = ()
    problem: str = ""
    """Why the step cannot run with these values; empty where it can."""


class PlannedParameter(OpenRecord):
    """A parameter of the run: its value, or of a secret the name that it is resolved by."""

    value: str | int | bool | None = None
    secret: str | None = None


class PlannedApproval(OpenRecord):
    """What lets it run."""

    approval_id: str
    activation_id: str
    routing_id: str | None
    scope: str
    decided_at: Moment | None = None
    expires_at: Moment | None = None


class PlanReport(OpenRecord):
    """What `--check` prints."""

    schema_: str = Field(default=PLAN_SCHEMA, alias="schema")
    plan_id: str
    client_id: str
    status: PlanStatus
    host: HostBrief
    incident: IncidentRef
    runbook: RunbookRef | None = None
    version_id: str | None = None
    approval: PlannedApproval | None = None
    parameters: dict[str, PlannedParameter] = Field(default_factory=dict)
    steps: tuple[PlannedStep, ...] = ()
    """Those of the version and of its rollback, in their order."""
    verify: tuple[str, ...] = ()
    """The runbook's own checks, by id; not asked."""
    state: HostState | None = None
    verification: Verification | None = None
    """The verifier's verdict now: `failed` means that the incident is there."""
    error: ExecutionError | None = None
    created_at: Moment
    completed_at: Moment | None = None


class RunPlan(Record):
    """The row of a check: what was asked, and the report once it is made."""

    id: str
    client_id: ClientId
    incident: Incident
    """As it is, or as it would be if it were reported."""
    reported: bool
    """Whether the incident is in the store."""
    execution: Execution | None
    """The run that would be queued, under this plan's id and never stored as one; None where nothing would be."""
    report: PlanReport
    requested_by: str
    created_at: Moment

    @property
    def host_id(self) -> str:
        return self.incident.host_id

    def with_report(self, **changes: Any) -> RunPlan:
        """A copy whose report has changed."""
        return self.model_copy(update={"report": self.report.model_copy(update=changes)})
