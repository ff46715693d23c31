"""From telemetry to a cause: signals, failure types, diagnoses, analyses."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from runwright.model.base import Moment, OpenRecord, Record
from runwright.model.ids import ClientId, digest


class FailureType(StrEnum):
    """Why a run did not end its incident; `docs/reference/glossary.md` says what each means."""

    WRONG_DIAGNOSIS = "wrong_diagnosis"
    WRONG_RUNBOOK = "wrong_runbook"
    RUNBOOK_INSUFFICIENT = "runbook_insufficient"
    ENVIRONMENT_DIFFERENCE = "environment_difference"
    EXTERNAL_DEPENDENCY = "external_dependency"
    PERMISSION_DENIED = "permission_denied"
    UNDETERMINED = "undetermined"

    @property
    def improvable(self) -> bool:
        """Whether editing this runbook is the right consequence."""
        return self in (FailureType.RUNBOOK_INSUFFICIENT, FailureType.ENVIRONMENT_DIFFERENCE)


class Consequence(StrEnum):
    """Where a failure leads."""

    EDIT = "edit"
    REROUTE = "reroute"
    RETRY = "retry"
    GRANT = "grant"
    PERSON = "person"


CONSEQUENCES: dict[FailureType, Consequence] = {
    FailureType.RUNBOOK_INSUFFICIENT: Consequence.EDIT,
    FailureType.ENVIRONMENT_DIFFERENCE: Consequence.EDIT,
    FailureType.WRONG_RUNBOOK: Consequence.REROUTE,
    FailureType.WRONG_DIAGNOSIS: Consequence.REROUTE,
    FailureType.EXTERNAL_DEPENDENCY: Consequence.RETRY,
    FailureType.PERMISSION_DENIED: Consequence.GRANT,
    FailureType.UNDETERMINED: Consequence.PERSON,
}
"""One row per failure type. Never falls back to an improvable type because parsing failed."""


class SignalKind(StrEnum):
    """What an observation in telemetry is; learning/signals makes them, rules read them."""

    EXIT_CODE = "exit_code"
    COMMAND_MISSING = "command_missing"
    COMMAND_NOT_EXECUTABLE = "command_not_executable"
    PERMISSION_REFUSED = "permission_refused"
    NAME_RESOLUTION = "name_resolution"
    CONNECTION_REFUSED = "connection_refused"
    CONNECTION_TIMED_OUT = "connection_timed_out"
    NETWORK_UNREACHABLE = "network_unreachable"
    REMOTE_ERROR = "remote_error"
    NO_SPACE = "no_space"
    NO_INODES = "no_inodes"
    READ_ONLY_FILESYSTEM = "read_only_filesystem"
    PATH_MISSING = "path_missing"
    UNIT_MISSING = "unit_missing"
    UNIT_MASKED = "unit_masked"
    UNIT_FAILED = "unit_failed"
    START_LIMIT_HIT = "start_limit_hit"
    UNIT_LIMIT = "unit_limit"
    PORT_IN_USE = "port_in_use"
    STALE_LOCK = "stale_lock"
    STALE_PID = "stale_pid"
    SYNTAX_ERROR = "syntax_error"
    CONFIG_ERROR = "config_error"
    CERTIFICATE_EXPIRED = "certificate_expired"
    CERTIFICATE_UNTRUSTED = "certificate_untrusted"
    OUT_OF_MEMORY = "out_of_memory"
    KILLED = "killed"
    DEPENDENCY_FAILED = "dependency_failed"
    TIMED_OUT = "timed_out"
    TOOL_MISSING_FLAG = "tool_missing_flag"
    STATE_UNCHANGED = "state_unchanged"
    STATE_REVERTED = "state_reverted"
    OTHER_SYMPTOM = "other_symptom"
    """The symptoms belong to another incident type; `facts` has it."""
    SUBJECT_HEALTHY = "subject_healthy"
    SUBJECT_ABSENT = "subject_absent"
    CHECK_FAILED = "check_failed"
    CHECK_UNVERIFIABLE = "check_unverifiable"


class Stream(StrEnum):
    STDOUT = "stdout"
    STDERR = "stderr"
    JOURNAL = "journal"


class Place(Record):
    """Where in the telemetry: a line of a step's stream, a state path, or a check."""

    step: str | None = None
    attempt: int | None = None
    stream: Stream | None = None
    line: int | None = None
    """From 1 within the stream."""
    path: str | None = None
    """As `state_after.services.nginx.active` or `verification.checks.answers`."""

    def __str__(self) -> str:
        parts = [self.step, f"attempt {self.attempt}" if self.attempt else None]
        parts += [self.stream.value if self.stream else None, f"line {self.line}" if self.line else None, self.path]
        return ", ".join(part for part in parts if part)


class Signal(Record):
    """A typed observation in telemetry with its place."""

    kind: SignalKind
    place: Place
    excerpt: str
    """The redacted line or value, at most 400 characters."""
    facts: dict[str, str] = Field(default_factory=dict)
    """What was read out of it: `path`, `command`, `port`, `unit`, `file`, `line`."""


class DiagnosisMethod(StrEnum):
    RULES = "rules"
    LLM = "llm"
    NONE = "none"
    """Rules abstained and no model answered."""


class Diagnosis(OpenRecord):
    """What `runwright learn diagnose` prints: why a run failed, and what shows it."""

    failure_type: FailureType
    confidence: float = Field(ge=0, le=1)
    reasoning: str
    signals: tuple[Signal, ...] = ()
    """The signals cited, nothing that does not exist in the telemetry."""
    method: DiagnosisMethod
    model: str | None = None
    usd: float = 0.0
    suggested_runbook: str | None = None
    """For wrong_runbook and wrong_diagnosis: where the cure may live."""
    missing_privilege: str | None = None
    """For permission_denied: what a person would have to grant."""

    @property
    def consequence(self) -> Consequence:
        return CONSEQUENCES[self.failure_type]


class Analysis(Record):
    """A stored diagnosis of one failed execution (`learning_analyses`)."""

    id: str
    client_id: ClientId
    execution_id: str
    failure_fingerprint: str
    diagnosis: Diagnosis
    prompt_digest: str | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0
    retries: int = 0
    occurrences: int = 1
    """How often the same failure came again; it buys no second model call."""
    proposal_id: str | None = None
    refused: str | None = None
    """Why no proposal came of it, if none did."""
    created_at: Moment


def failure_fingerprint(version_digest: str, step: str | None, signals: tuple[Signal, ...]) -> str:
    """Version digest, step, and signals by kind and facts: the same failure gives the same text."""
    kinds = sorted({(signal.kind.value, signal.place.step or "", *sorted(signal.facts.values())) for signal in signals})
    return digest([version_digest, step, [list(kind) for kind in kinds]])
