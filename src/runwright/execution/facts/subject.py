"""The subject's certificates, backups and processes, out of what its verifier has read: no question of its own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from runwright.model.base import Record
from runwright.model.incidents import IncidentBrief
from runwright.model.states import BackupFact, CertificateFact, MissingFact, WorkloadFact
from runwright.verification.text import visible
from runwright.verification.verifiers.backup_failure import BackupFacts
from runwright.verification.verifiers.cert_expiry import CertFacts
from runwright.verification.workload import WorkloadFacts


def subject_facts(brief: IncidentBrief, facts: Record) -> tuple[Mapping[str, Any], tuple[MissingFact, ...]]:
    """Fields of HostState, and what is missing of them with the reason. Pure."""
    if isinstance(facts, CertFacts):
        return _certificates(facts)
    if isinstance(facts, BackupFacts):
        return _backups(brief, facts)
    if isinstance(facts, WorkloadFacts):
        return _workload(facts)
    return {}, ()


def _certificates(facts: CertFacts) -> tuple[Mapping[str, Any], tuple[MissingFact, ...]]:
    found, missing = [], []
    for one in (facts.served, facts.stored):
        if one is None:
            continue
        if not one.found:
            missing.append(
                MissingFact(fact="certificates", reason=f"{one.place}: {one.said or 'no certificate there'}")
            )
            continue
        found.append(
            CertificateFact(
                place=one.place,
                subject=one.subject,
                issuer=one.issuer,
                not_after=one.not_after,
                fingerprint=one.fingerprint,
            )
        )
    return {"certificates": tuple(found)}, tuple(missing)


def _backups(brief: IncidentBrief, facts: BackupFacts) -> tuple[Mapping[str, Any], tuple[MissingFact, ...]]:
    path = brief.typed_subject.value("path")
    if not isinstance(path, str):
        return {}, (MissingFact(fact="backups", reason="the incident names no directory of archives"),)
    if facts.archives is None:
        return {}, (MissingFact(fact="backups", reason=f"the directory {visible(path)} does not exist"),)
    newest = facts.archives[0] if facts.archives else None
    backups = BackupFact(
        path=visible(path),
        count=max(facts.count, len(facts.archives)),
        newest=visible(newest.path) if newest else None,
        newest_bytes=newest.size if newest else None,
        newest_at=_moment(newest.modified) if newest else None,
    )
    return {"backups": backups}, ()


def _workload(facts: WorkloadFacts) -> tuple[Mapping[str, Any], tuple[MissingFact, ...]]:
    workload = WorkloadFact(name=visible(facts.subject), processes=len(facts.processes), resident_kb=facts.resident_kb)
    missing: tuple[MissingFact, ...] = ()
    if facts.processes and facts.resident_kb is None:
        missing = (MissingFact(fact="workload", reason=f"the memory of {workload.name} cannot be read by this user"),)
    return {"workload": workload}, missing


def _moment(seconds: int) -> str | None:
    """ISO 8601; None for a time that no clock gives."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return None
