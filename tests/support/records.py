"""Small valid records for tests that need some."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from runwright.model.audit import AuditEvent
from runwright.model.clients import Client
from runwright.model.diagnoses import Analysis, Diagnosis, DiagnosisMethod, FailureType
from runwright.model.documents import BooleanParameter
from runwright.model.executions import (
    AttemptRecord,
    Event,
    EventKind,
    Execution,
    ExecutionResult,
    ExecutionStatus,
    HostBrief,
    IncidentRef,
    RunbookRef,
    Section,
    StepIntent,
)
from runwright.model.hosts import Host, LocalConnection
from runwright.model.ids import sha256, version_id
from runwright.model.incidents import Escalation, EscalationReason, Incident
from runwright.model.lab import Trial, TrialOutcome, TrialReport
from runwright.model.principals import Session, Token, User
from runwright.model.proposals import Proposal
from runwright.model.questions import Question
from runwright.model.reviews import (
    Activation,
    Approval,
    ReviewItem,
    ReviewStatus,
    RoutingRule,
    StopScope,
    StopSwitch,
    VersionSubject,
)
from runwright.model.risk import RiskReport
from runwright.model.versions import Author, RunbookVersion

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
DIGEST = sha256(b"")
RUNBOOK = "RB-LINUX-SERVICE-001"


def at(seconds: float) -> datetime:
    """A moment, in seconds after START."""
    return START + timedelta(seconds=seconds)


def client(key: str = "acme", **fields: Any) -> Client:
    return Client(**{"id": key, "name": key.title(), "created_at": START, **fields})


def host(key: str = "host-1", **fields: Any) -> Host:
    given = {"client_id": "acme", "hostname": key, "connection": LocalConnection(), "created_at": START}
    return Host(**{"id": key, **given, **fields})


def incident(key: str = "inc-1", **fields: Any) -> Incident:
    given = {
        "client_id": "acme",
        "host_id": "host-1",
        "incident_type": "service_crash",
        "subject": {"service": "shopd"},
        "occurred_at": START,
        "received_at": START,
    }
    return Incident(**{"id": key, **given, **fields})


def escalation(key: str = "esc-1", **fields: Any) -> Escalation:
    given = {"client_id": "acme", "incident_id": "inc-1", "reason": EscalationReason.POLICY, "note": "night"}
    return Escalation(**{"id": key, **given, "created_at": START, **fields})


def version(number: int = 1, **fields: Any) -> RunbookVersion:
    runbook = fields.get("runbook_id", RUNBOOK)
    given = {
        "runbook_id": runbook,
        "number": number,
        "scope": "all",
        "text": "schema: runwright/v1\n",
        "digest": DIGEST,
        "raw_digest": DIGEST,
        "author": Author(id="eva", kind="person", name="Eva"),
        "created_at": at(number),
    }
    return RunbookVersion(**{"id": version_id(runbook, number), **given, **fields})


def review(key: str = f"{RUNBOOK}-v1", scope: str = "all", **fields: Any) -> ReviewItem:
    given = {
        "subject": VersionSubject(id=f"{RUNBOOK}-v1", digest=DIGEST, raw_digest=DIGEST, scope=scope),
        "title": "A new version",
        "reason": "The last run failed.",
        "status": ReviewStatus.PENDING_REVIEW,
        "priority": 2,
        "added_risk": RiskReport(),
        "author_id": "engine",
        "created_at": START,
    }
    return ReviewItem(**{"id": key, **given, **fields})


def approval(key: str = "apr-1", **fields: Any) -> Approval:
    given = {"subject_id": f"{RUNBOOK}-v1", "scope": "all", "envelope": "{}", "decided_at": START}
    return Approval(**{"id": key, **given, "expires_at": at(86400), **fields})


def activation(key: str = "act-1", **fields: Any) -> Activation:
    given = {"runbook_id": RUNBOOK, "scope": "all", "version_id": f"{RUNBOOK}-v1", "digest": DIGEST}
    return Activation(**{"id": key, **given, "approval_id": "apr-1", "since": START, "until": at(86400), **fields})


def route(key: str = "route-1", **fields: Any) -> RoutingRule:
    given = {"scope": "all", "incident_type": "service_crash", "runbook_id": RUNBOOK, "digest": DIGEST}
    return RoutingRule(**{"id": key, **given, "active": True, "created_at": START, **fields})


def execution(key: str = "exe-1", **fields: Any) -> Execution:
    given = {
        "client_id": "acme",
        "host_id": "host-1",
        "incident_id": "inc-1",
        "runbook_id": RUNBOOK,
        "version_id": f"{RUNBOOK}-v1",
        "digest": DIGEST,
        "activation_id": "act-1",
        "approval_id": "apr-1",
        "requested_by": "engine",
        "created_at": START,
    }
    return Execution(**{"id": key, **given, **fields})


def question(key: str = "exe-1.steps.ask.1", **fields: Any) -> Question:
    given = {
        "client_id": "acme",
        "execution_id": "exe-1",
        "step": "ask",
        "text": "May it be deleted?",
        "parameter": "sure",
        "answer": BooleanParameter(type="boolean"),
        "asked_at": START,
        "expires_at": at(86400),
    }
    return Question(**{"id": key, **given, **fields})


def result(key: str = "exe-1", **fields: Any) -> ExecutionResult:
    given = {
        "client_id": "acme",
        "host": HostBrief(hostname="host-1", platform="linux"),
        "incident": IncidentRef(id="inc-1", incident_type="service_crash", subject={"service": "shopd"}),
        "runbook": RunbookRef(id=RUNBOOK, version=1, digest=DIGEST),
        "started_at": START,
        "status": ExecutionStatus.SUCCESS,
    }
    return ExecutionResult(**{"execution_id": key, **given, **fields})


def intent(key: str = "att-1", **fields: Any) -> StepIntent:
    given = {"execution_id": "exe-1", "epoch": 1, "section": Section.STEPS, "step_id": "restart", "attempt": 1}
    return StepIntent(**{"attempt_id": key, **given, "idempotent": False, "at": START, **fields})


def attempt(**fields: Any) -> AttemptRecord:
    return AttemptRecord(**{"attempt": 1, "exit_code": 0, "started_at": START, **fields})


def event(subject: str = "exe-1", **fields: Any) -> Event:
    given = {"client_id": "acme", "subject_id": subject, "kind": EventKind.STEP_STARTED, "at": START}
    return Event(**{**given, **fields})


def analysis(key: str = "ana-1", **fields: Any) -> Analysis:
    diagnosis = Diagnosis(
        failure_type=FailureType.UNDETERMINED, confidence=0, reasoning="No signal.", method=DiagnosisMethod.NONE
    )
    given = {"client_id": "acme", "execution_id": "exe-1", "failure_fingerprint": DIGEST, "diagnosis": diagnosis}
    return Analysis(**{"id": key, **given, "created_at": START, **fields})


def proposal(key: str = "pro-1", **fields: Any) -> Proposal:
    given = {
        "client_id": "acme",
        "execution_id": "exe-1",
        "analysis_id": "ana-1",
        "parent": f"{RUNBOOK}-v1",
        "candidate": f"{RUNBOOK}-v2",
        "edits": (),
        "signals": (),
        "added_risk": RiskReport(),
        "method": "rules",
    }
    return Proposal(**{"id": key, **given, "created_at": START, **fields})


def trial(key: str = "tri-1", **fields: Any) -> Trial:
    report = TrialReport(scenario="service-crash/stale-lock", outcome=TrialOutcome.HEALED, right=True)
    given = {"version_id": f"{RUNBOOK}-v1", "digest": DIGEST, "report": report, "created_at": START}
    return Trial(**{"id": key, **given, **fields})


def user(key: str = "usr-1", **fields: Any) -> User:
    return User(**{"id": key, "name": key, "password_hash": "$argon2id$", "created_at": START, **fields})


def session(key: str = "ses-1", **fields: Any) -> Session:
    given = {"user_id": "usr-1", "secret_digest": f"digest of {key}", "csrf_token": "c", "created_at": START}
    return Session(**{"id": key, **given, "expires_at": at(3600), "authenticated_at": START, **fields})


def token(key: str = "tok-1", **fields: Any) -> Token:
    given = {"name": key, "secret_digest": f"digest of {key}", "created_at": START, "expires_at": at(3600)}
    return Token(**{"id": key, **given, **fields})


def switch(key: str = "global", **fields: Any) -> StopSwitch:
    scope = StopScope(key.split(":")[0])
    return StopSwitch(**{"id": key, "scope": scope, "set_by": "eva", "reason": "drill", "set_at": START, **fields})


def audit_event(chain: str = "acme", **fields: Any) -> AuditEvent:
    given = {"actor": "eva", "action": "review.approve", "subject": f"{RUNBOOK}-v1", "at": START}
    return AuditEvent(**{"chain": chain, **given, **fields})
