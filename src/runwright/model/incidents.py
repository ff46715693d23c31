"""Something wrong on one host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

from pydantic import ConfigDict, Field, model_validator

from runwright.model.base import Duration, Moment, Record
from runwright.model.ids import ClientId, incident_fingerprint
from runwright.model.severity import Severity as Severity


class IncidentType(StrEnum):
    """The types that come with Runwright. More can be registered with `register`."""

    SERVICE_CRASH = "service_crash"
    DISK_FULL = "disk_full"
    HIGH_CPU = "high_cpu"
    MEMORY_LEAK = "memory_leak"
    CERT_EXPIRY = "cert_expiry"
    BACKUP_FAILURE = "backup_failure"


class IncidentStatus(StrEnum):
    OPEN = "open"
    QUEUED = "queued"
    RUNNING = "running"
    RESOLVED = "resolved"
    RECURRED = "recurred"
    ESCALATED = "escalated"
    DUPLICATE = "duplicate"
    CLOSED = "closed"


class Subject(Record):
    """What the incident is about: data, never code. Further fields of a team's own are kept as they are."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    one_of: ClassVar[tuple[str, ...]] = ()
    """At least one of these must be given."""

    @model_validator(mode="after")
    def _check(self) -> Subject:
        if self.one_of and all(getattr(self, name) is None for name in self.one_of):
            raise ValueError(f"found none of {' and '.join(self.one_of)}; give at least one of them")
        for name, value in (self.model_extra or {}).items():
            scalars = value if isinstance(value, list) else [value]
            if not all(isinstance(item, str | int | float | bool) or item is None for item in scalars):
                raise ValueError(f"found a nested value in {name}; allowed: a scalar or a list of scalars")
        return self

    def plain(self) -> dict[str, Any]:
        """The subject as given: only fields that were set, JSON values."""
        return self.model_dump(mode="json", exclude_unset=True, exclude_none=True)

    def value(self, name: str) -> Any:
        """A field by name, defaults included; None if absent."""
        return self.model_dump(mode="json").get(name)


class ServiceCrash(Subject):
    service: str = Field(min_length=1)
    url: str | None = None
    port: int | None = Field(default=None, ge=1, le=65535)


class DiskFull(Subject):
    mount: str = Field(min_length=1)
    threshold_percent: float = Field(default=90, gt=0, le=100)
    inodes: bool = False
    protect: list[str] = Field(default_factory=list)


class HighCpu(Subject):
    one_of: ClassVar[tuple[str, ...]] = ("service", "process")
    service: str | None = None
    process: str | None = None
    threshold_percent: float = Field(default=80, gt=0)
    """Of one core, over 3 s."""


class MemoryLeak(Subject):
    one_of: ClassVar[tuple[str, ...]] = ("service", "process")
    service: str | None = None
    process: str | None = None
    limit_mb: float | None = Field(default=None, gt=0)
    """Resident, with its shared memory and tmpfs files."""


class CertExpiry(Subject):
    one_of: ClassVar[tuple[str, ...]] = ("endpoint", "path")
    endpoint: str | None = None
    path: str | None = None
    server_name: str | None = None
    ca_file: str | None = None
    min_days: float = Field(default=14, ge=0)
    renew_unit: str | None = None
    service: str | None = None


class BackupFailure(Subject):
    job: str = Field(min_length=1)
    path: str | None = None
    max_age: Duration = 26 * 3600.0


@dataclass(frozen=True)
class IncidentKind:
    """A registered incident type: its subject's shape and the runbook that answers it by default."""

    name: str
    subject: type[Subject]
    standard_runbook: str | None


_KINDS: dict[str, IncidentKind] = {}


def register(kind: IncidentKind) -> None:
    """Make a further incident type known. Raises ValueError if the name is taken."""
    if kind.name in _KINDS:
        raise ValueError(f"found incident type {kind.name!r} registered already; choose another name")
    _KINDS[kind.name] = kind


def incident_kinds() -> Mapping[str, IncidentKind]:
    """All registered types by name."""
    return dict(_KINDS)


for _kind in (
    IncidentKind(IncidentType.SERVICE_CRASH, ServiceCrash, "RB-LINUX-SERVICE-001"),
    IncidentKind(IncidentType.DISK_FULL, DiskFull, "RB-LINUX-DISK-001"),
    IncidentKind(IncidentType.HIGH_CPU, HighCpu, "RB-LINUX-CPU-001"),
    IncidentKind(IncidentType.MEMORY_LEAK, MemoryLeak, "RB-LINUX-MEMORY-001"),
    IncidentKind(IncidentType.CERT_EXPIRY, CertExpiry, "RB-LINUX-CERT-001"),
    IncidentKind(IncidentType.BACKUP_FAILURE, BackupFailure, "RB-LINUX-BACKUP-001"),
):
    register(_kind)


def parse_subject(incident_type: str, data: Mapping[str, Any]) -> Subject:
    """The typed subject of a registered incident type.

    Raises ValueError for an unknown type and pydantic.ValidationError for a bad subject.
    """
    kind = _KINDS.get(incident_type)
    if kind is None:
        raise ValueError(f"found incident type {incident_type!r}; allowed: {', '.join(sorted(_KINDS))}")
    return kind.subject.model_validate(dict(data))


class IncidentBrief(Record):
    """What of an incident a run needs and a scenario gives: type, severity, subject."""

    incident_type: str
    severity: Severity = Severity.HIGH
    subject: dict[str, Any]

    @model_validator(mode="after")
    def _known(self) -> IncidentBrief:
        parse_subject(self.incident_type, self.subject)
        return self

    @property
    def typed_subject(self) -> Subject:
        """The subject in its typed form, defaults filled in."""
        return parse_subject(self.incident_type, self.subject)


class Incident(IncidentBrief):
    """One incident of one client on one host."""

    id: str
    client_id: ClientId
    host_id: str
    labels: dict[str, str] = Field(default_factory=dict)
    status: IncidentStatus = IncidentStatus.OPEN
    occurred_at: Moment
    received_at: Moment
    acknowledged_at: Moment | None = None
    resolved_at: Moment | None = None
    resolved_by: str | None = None
    """The execution or the person that ended it."""
    duplicate_of: str | None = None
    source: str = "api"

    @property
    def fingerprint(self) -> str:
        """Client, host, type and canonical subject."""
        return incident_fingerprint(self.client_id, self.host_id, self.incident_type, self.subject)


class NewIncident(IncidentBrief):
    """What an alert or a person reports: the incident as it arrives."""

    client_id: ClientId
    host: str
    """The host's id or hostname."""
    labels: dict[str, str] = Field(default_factory=dict)
    occurred_at: Moment | None = None
    """When it began; the time of receipt if unknown."""
    source: str = Field(default="api", max_length=100)


class EscalationReason(StrEnum):
    NO_RUNBOOK = "no_runbook"
    NO_LIVE_VERSION = "no_live_version"
    POLICY = "policy"
    RUN_FAILED = "run_failed"
    UNVERIFIABLE = "unverifiable"
    INTERRUPTED = "interrupted"
    GATE_REFUSED = "gate_refused"
    HOST_UNREACHABLE = "host_unreachable"
    INEFFECTIVE = "ineffective"
    ASKED = "asked"


class Escalation(Record):
    """An incident handed to a person: why, to whom, when taken, when done."""

    id: str
    client_id: ClientId
    incident_id: str
    execution_id: str | None = None
    reason: EscalationReason
    note: str
    assignee: str | None = None
    created_at: Moment
    taken_at: Moment | None = None
    done_at: Moment | None = None
