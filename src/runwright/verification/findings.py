"""What one check found: an outcome, the sentence for people, and the kinds of evidence behind it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from runwright.model.verdicts import VerificationOutcome

PASSED, FAILED, UNVERIFIABLE = VerificationOutcome.PASSED, VerificationOutcome.FAILED, VerificationOutcome.UNVERIFIABLE


class Evidence(StrEnum):
    """Independent ways of knowing; confidence grows with how many agree."""

    UNIT = "unit state"
    PORT = "listening port"
    HTTP = "HTTP answer"
    FILESYSTEM = "file system figures"
    FILES = "files that must survive"
    PROCESS = "process figures"
    TLS = "TLS handshake"
    CERTIFICATE = "certificate file"
    ARCHIVE = "archive read"
    RESTORED = "sample restored"
    KEY = "key that fits the certificate"
    SERVING = "ports as before"
    COMMAND = "the runbook's own command"
    PATH = "path"
    BEFORE = "comparison with the state before"


class NoEvidence(Exception):
    """Raised while reading an answer: the host did not say what would be needed. Becomes `unverifiable`."""


@dataclass(frozen=True)
class Finding:
    """The judgement of one check."""

    outcome: VerificationOutcome
    reason: str
    """One sentence: what was seen and what was wanted."""
    evidence: str = ""
    kinds: frozenset[Evidence] = frozenset()
    settling: bool = False
    """Not passed yet, and of a sort that may come true by itself within moments (a service that starts)."""

    def but(self, **changes: object) -> Finding:
        """A copy with changes."""
        return replace(self, **changes)  # type: ignore[arg-type]  # names are those of this class's own fields


def passed(reason: str, evidence: str = "", *kinds: Evidence) -> Finding:
    return Finding(PASSED, reason, evidence, frozenset(kinds))


def failed(reason: str, evidence: str = "", *kinds: Evidence, settling: bool = False) -> Finding:
    return Finding(FAILED, reason, evidence, frozenset(kinds), settling)


def unverifiable(reason: str, evidence: str = "", *, settling: bool = False) -> Finding:
    return Finding(UNVERIFIABLE, reason, evidence, frozenset(), settling)


def weightiest(faults: Iterable[Finding], evidence: str) -> Finding | None:
    """The fault that decides: what failed for good, then what failed so far, then what is not known."""
    ordered = sorted(faults, key=lambda fault: (fault.outcome is not FAILED, fault.settling))
    return ordered[0].but(evidence=evidence) if ordered else None
