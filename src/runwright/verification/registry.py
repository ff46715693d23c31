"""Which verifier judges which incident type. Every registered type has an answer here."""

from __future__ import annotations

from typing import Any

from runwright.model.incidents import IncidentType
from runwright.verification.verifier import NotYet, Verifier
from runwright.verification.verifiers.backup_failure import BackupFailureVerifier
from runwright.verification.verifiers.cert_expiry import CertExpiryVerifier
from runwright.verification.verifiers.disk_full import DiskFullVerifier
from runwright.verification.verifiers.high_cpu import HighCpuVerifier
from runwright.verification.verifiers.memory_leak import MemoryLeakVerifier
from runwright.verification.verifiers.service_crash import ServiceCrashVerifier

_VERIFIERS: dict[str, Verifier[Any, Any]] = {}


def register(verifier: Verifier[Any, Any]) -> None:
    """Make a verifier known. Raises ValueError if its incident type has one."""
    if verifier.incident_type in _VERIFIERS:
        raise ValueError(f"found a verifier of {verifier.incident_type} registered already")
    _VERIFIERS[verifier.incident_type] = verifier


def verifier_for(incident_type: str) -> Verifier[Any, Any]:
    """The verifier of a type; for one without, a stand-in that always answers `unverifiable`."""
    return _VERIFIERS.get(incident_type) or NotYet(incident_type)


for _verifier in (
    ServiceCrashVerifier(),
    DiskFullVerifier(),
    HighCpuVerifier(),
    MemoryLeakVerifier(),
    CertExpiryVerifier(),
    BackupFailureVerifier(),
):
    register(_verifier)

for _type in IncidentType:
    if _type not in _VERIFIERS:
        register(NotYet(_type.value))
