"""Facts of a host before and after a run, and their difference in meaning."""

from __future__ import annotations

from runwright.model.base import OpenRecord


class ServiceFact(OpenRecord):
    name: str
    active: str
    """As systemd says: active, inactive, failed, activating."""
    sub: str = ""
    enabled: str = ""
    main_pid: int | None = None
    restarts: int | None = None


class DiskFact(OpenRecord):
    mount: str
    filesystem: str
    size_kb: int
    used_kb: int
    available_kb: int
    used_percent: float
    inodes_used_percent: float | None = None


class ProcessFact(OpenRecord):
    pid: int
    name: str
    cpu_percent: float
    rss_kb: int


class PortFact(OpenRecord):
    protocol: str
    address: str
    port: int
    process: str | None = None


class MemoryFact(OpenRecord):
    total_kb: int
    available_kb: int
    swap_total_kb: int = 0
    swap_free_kb: int = 0


class CertificateFact(OpenRecord):
    """A certificate of the incident's subject, as a file or as an endpoint shows it."""

    place: str
    subject: str = ""
    issuer: str = ""
    not_after: str = ""
    """As openssl prints it: `Jan  5 09:00:00 2027 GMT`."""
    fingerprint: str = ""


class BackupFact(OpenRecord):
    """The archives of the incident's subject."""

    path: str
    count: int
    newest: str | None = None
    newest_bytes: int | None = None
    newest_at: str | None = None
    """ISO 8601, by modification time."""


class WorkloadFact(OpenRecord):
    """The processes of the incident's subject together."""

    name: str
    processes: int
    resident_kb: int | None = None
    """With shared memory and memory files; None where it cannot be read."""


class MissingFact(OpenRecord):
    """A fact that could not be read, and why."""

    fact: str
    reason: str


class HostState(OpenRecord):
    """What one round trip could see. Lists are empty and fields None where `missing` says why."""

    captured_at: str
    """ISO 8601, by this process's clock."""
    os: str | None = None
    kernel: str | None = None
    uptime_seconds: float | None = None
    init: str | None = None
    """`systemd`, `openrc`, `sysv` or what pid 1 calls itself."""
    load1: float | None = None
    cpu_percent: float | None = None
    memory: MemoryFact | None = None
    disks: tuple[DiskFact, ...] = ()
    services: tuple[ServiceFact, ...] = ()
    failed_units: tuple[str, ...] = ()
    processes: tuple[ProcessFact, ...] = ()
    ports: tuple[PortFact, ...] = ()
    journal: tuple[str, ...] = ()
    """Recent journal lines of the incident's subject."""
    certificates: tuple[CertificateFact, ...] = ()
    """Of the incident's subject."""
    backups: BackupFact | None = None
    """Of the incident's subject."""
    workload: WorkloadFact | None = None
    """Of the incident's subject."""
    missing: tuple[MissingFact, ...] = ()


class StateChange(OpenRecord):
    """One difference that means something: `service nginx: inactive -> active`."""

    path: str
    """As `services.nginx.active`."""
    before: str | None
    after: str | None
    text: str
