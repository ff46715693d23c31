"""What an incident is about, as facts of a captured state can be compared with it."""

from __future__ import annotations

from dataclasses import dataclass

from runwright.model.executions import ExecutionResult
from runwright.model.incidents import IncidentType
from runwright.model.states import DiskFact, HostState, ProcessFact, ServiceFact

SUBJECT_UNIT_FIELDS = ("service", "job", "renew_unit")
"""Subject fields that name a unit, the first that is given wins."""

UNREAL_FILESYSTEMS = frozenset({"squashfs", "iso9660", "devtmpfs", "efivarfs", "udf", "erofs"})
"""Always full by their nature."""


def unit_of(name: str) -> str:
    """`shopd` -> `shopd.service`; other unit kinds stay."""
    tail = name.rpartition(".")[2]
    kinds = ("service", "socket", "mount", "timer", "target", "path", "slice", "scope")
    return name if "." in name and tail in kinds else f"{name}.service"


def stem_of(name: str) -> str:
    """`shopd.service` -> `shopd`."""
    return name.removesuffix(".service")


@dataclass(frozen=True)
class SubjectView:
    """The incident's subject in the words of captured states."""

    incident_type: str
    unit: str | None
    unit_field: str | None
    process: str | None
    mount: str | None
    port: int | None
    url: str | None
    threshold: float | None
    limit_mb: float | None
    inodes: bool

    def service(self, state: HostState | None) -> ServiceFact | None:
        """The subject's unit in a state, if it was captured."""
        if state is None or self.unit is None:
            return None
        wanted = unit_of(self.unit)
        return next((fact for fact in state.services if unit_of(fact.name) == wanted), None)

    def disk(self, state: HostState | None) -> DiskFact | None:
        """The subject's mount in a state."""
        if state is None or self.mount is None:
            return None
        return next((fact for fact in state.disks if fact.mount == self.mount), None)

    def owns(self, process: ProcessFact, state: HostState) -> bool:
        """Whether a process belongs to the subject, by name or main pid."""
        if self.process is not None and process.name in (self.process, self.process[:15]):
            return True
        service = self.service(state)
        if service is not None and service.main_pid not in (None, 0) and service.main_pid == process.pid:
            return True
        return self.unit is not None and process.name == stem_of(self.unit)[:15]

    def disk_is_full(self, fact: DiskFact) -> bool:
        limit = self.threshold if self.threshold is not None else 90.0
        percent = fact.inodes_used_percent if self.inodes else fact.used_percent
        return percent is not None and percent >= limit


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def view(result: ExecutionResult) -> SubjectView:
    """The subject of a result's incident; fields that do not fit are left out, never an error."""
    subject = result.incident.subject
    unit_field = next((name for name in SUBJECT_UNIT_FIELDS if _text(subject.get(name))), None)
    port = subject.get("port")
    return SubjectView(
        incident_type=result.incident.incident_type,
        unit=_text(subject.get(unit_field)) if unit_field else None,
        unit_field=unit_field,
        process=_text(subject.get("process")),
        mount=_text(subject.get("mount")),
        port=port if isinstance(port, int) and not isinstance(port, bool) else None,
        url=_text(subject.get("url")),
        threshold=_number(subject.get("threshold_percent")),
        limit_mb=_number(subject.get("limit_mb")),
        inodes=subject.get("inodes") is True,
    )


def is_type(view_: SubjectView, kind: IncidentType) -> bool:
    """Whether the incident is of a built-in type."""
    return view_.incident_type == kind.value
