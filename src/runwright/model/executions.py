"""One run of one admitted version on one host for one incident, and its telemetry."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field

from runwright.model.base import Moment, OpenRecord, Record
from runwright.model.ids import ClientId, VersionId
from runwright.model.incidents import Severity
from runwright.model.questions import Question
from runwright.model.states import HostState, StateChange
from runwright.model.verdicts import Verification

RESULT_SCHEMA = "runwright/execution-result/v1"
OWN_ORIGIN = "runwright"
"""The origin of a run that went through the gate of this server."""
RUNBOOK_LANGUAGE = "runwright/v1"


class ExecutionStatus(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    SUCCESS = "success"
    PARTIAL = "partial"
    FAILURE = "failure"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def final(self) -> bool:
        return self not in (ExecutionStatus.PENDING, ExecutionStatus.RUNNING)


class StepStatus(StrEnum):
    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"
    INTERRUPTED = "interrupted"


class Section(StrEnum):
    """Which list of the document a step belongs to."""

    STEPS = "steps"
    VERIFY = "verify"
    ROLLBACK = "rollback"


class OutputArtefact(OpenRecord):
    """Where the whole of an output is that is longer than what its attempt shows of it."""

    digest: str | None
    """`sha256:<hex>` of what is kept, masked and not compressed; None where nothing could be kept."""
    bytes: int = Field(ge=0)
    """Of the whole output, secrets masked, as far as it was seen."""
    stored_bytes: int = Field(ge=0)
    """Of these, kept: from the beginning on."""
    reason: str = ""
    """Why not all of it is kept; empty where it is."""

    @property
    def whole(self) -> bool:
        return self.digest is not None and not self.reason


class AttemptRecord(OpenRecord):
    """One attempt of one step. Output is decoded as UTF-8 with replacement, cut head and tail."""

    attempt: int = Field(ge=1)
    exit_code: int | None
    """None where the attempt was ended or never answered."""
    stdout: str = ""
    stderr: str = ""
    started_at: Moment
    ended_at: Moment | None = None
    timed_out: bool = False
    adopted: bool = False
    """Told by the host's supervisor after the connection was lost: of long output only the first part came."""
    stdout_artefact: OutputArtefact | None = None
    """The whole standard output, where `stdout` is not all of it."""
    stderr_artefact: OutputArtefact | None = None
    state_changes: tuple[StateChange, ...] = ()
    """What a cheap look at the incident's subject saw change over this attempt."""


class StepRecord(OpenRecord):
    id: str
    kind: str
    status: StepStatus
    attempts: tuple[AttemptRecord, ...] = ()
    state_changes: tuple[StateChange, ...] = ()
    section: Section = Section.STEPS
    reason: str = ""
    """Why it was skipped, interrupted or failed, in one sentence."""


class HostBrief(OpenRecord):
    hostname: str
    platform: str


class IncidentRef(OpenRecord):
    id: str
    incident_type: str
    subject: dict[str, Any]
    severity: Severity = Severity.MEDIUM


class RunbookRef(OpenRecord):
    id: str
    version: int | None = None
    digest: str
    """Of the canonical data of the text; from another executor, the sha-256 of the text's bytes will do."""
    text: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """The text that ran, from another executor: there is no approval to find it by."""
    language: str = Field(default=RUNBOOK_LANGUAGE, exclude_if=lambda value: value == RUNBOOK_LANGUAGE)
    """What the text is written in. Only runbooks of this language are improved; others, as `ansible`, are explained."""


class ExecutionError(OpenRecord):
    """Why the run ended early."""

    code: str
    message: str
    step: str | None = None


class ExecutionResult(OpenRecord):
    """The whole telemetry of one run: what any executor may hand to `runwright learn`."""

    schema_: str = Field(default=RESULT_SCHEMA, alias="schema")
    execution_id: str
    origin: str = OWN_ORIGIN
    """`runwright` or `external:<source>`."""
    client_id: str
    host: HostBrief
    incident: IncidentRef
    runbook: RunbookRef
    started_at: Moment
    completed_at: Moment | None = None
    duration_seconds: float | None = None
    status: ExecutionStatus
    steps: tuple[StepRecord, ...] = ()
    state_before: HostState | None = None
    state_after: HostState | None = None
    state_diff: tuple[StateChange, ...] = ()
    verification: Verification | None = None
    verification_after_rollback: Verification | None = None
    error: ExecutionError | None = None
    question: Question | None = None
    """What the run waits for while it is `pending`: a person's answer."""
    evidence_bundle_id: str | None = None
    tags: dict[str, str] = Field(default_factory=dict)


class Execution(Record):
    """The row of a run: what was asked for, and where it stands. Its telemetry is `ExecutionResult`."""

    id: str
    client_id: ClientId
    host_id: str
    incident_id: str
    runbook_id: str
    version_id: VersionId
    digest: str
    activation_id: str
    approval_id: str
    routing_id: str | None = None
    """The approved routing rule that chose the runbook; None for the caller naming it (`run`)."""
    parameters: dict[str, str | int | bool] = Field(default_factory=dict)
    """Values given by the caller; those from the incident are resolved at the run."""
    status: ExecutionStatus = ExecutionStatus.PENDING
    requested_by: str
    created_at: Moment
    started_at: Moment | None = None
    completed_at: Moment | None = None
    epoch: int = 0
    """Counts the workers that took it; an older worker's writes are refused (fencing)."""
    cancel_requested_at: Moment | None = None
    waiting_for: str | None = None
    """The open question of a `pending` run that waits for a person; it is queued again when that is answered."""

    @property
    def standing(self) -> str:
        """Its status in words; a run that waits for a person says so."""
        return "waits for a person" if self.waiting_for is not None else self.status.value.replace("_", " ")


class StepIntent(Record):
    """What is about to be done on the host, journaled before it is."""

    execution_id: str
    epoch: int
    section: Section
    step_id: str
    attempt: int = Field(ge=1)
    attempt_id: str
    """Known to the supervisor on the host; recovery asks for it."""
    idempotent: bool
    at: Moment
    on_host: bool = True
    """False for a call and for a question: under their id nothing is started on the host."""


class JournalEntry(Record):
    """An intent with its outcome, once known."""

    intent: StepIntent
    outcome: AttemptRecord | None = None
    step_status: StepStatus | None = None
    """Set on the attempt that decided its step."""
    reason: str = ""

    @property
    def unknown(self) -> bool:
        """Whether something may have been begun on the host of which nothing is known yet."""
        return self.intent.on_host and self.outcome is None and self.step_status is None and not self.reason


class EventKind(StrEnum):
    INCIDENT_STATUS = "incident_status"
    EXECUTION_STATUS = "execution_status"
    STEP_STARTED = "step_started"
    STEP_OUTPUT = "step_output"
    STEP_FINISHED = "step_finished"
    STATE_CAPTURED = "state_captured"
    CHECK_FINISHED = "check_finished"
    QUESTION = "question"
    LEARNING = "learning"
    REVIEW = "review"


class Event(Record):
    """Something a page or terminal may show at once; never the source of truth."""

    sequence: int = 0
    """Given by the store; grows per store."""
    client_id: str
    subject_id: str
    """The execution, incident or review subject it is about."""
    kind: EventKind
    at: Moment
    data: dict[str, Any] = Field(default_factory=dict)

    @property
    def ends_run(self) -> bool:
        """Whether it gives a run's final status. `held` is told as a status too, and is none."""
        final = {status.value for status in ExecutionStatus if status.final}
        return self.kind is EventKind.EXECUTION_STATUS and self.data.get("status") in final
