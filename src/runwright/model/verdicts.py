"""Verification: did it work? And the one table that turns a run and a verdict into an outcome."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from pydantic import Field

from runwright.model.base import OpenRecord


class VerificationOutcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    UNVERIFIABLE = "unverifiable"


class Check(OpenRecord):
    """One check made on the host."""

    id: str
    kind: str
    """`run`, `service`, `http`, ... for the runbook's own, `verifier:<incident type>` for ours."""
    outcome: VerificationOutcome
    reason: str
    """One sentence for people: what was seen and what was wanted."""
    evidence: str = ""
    """What the host answered, cut to a few kilobytes."""
    seconds: float = 0.0


class Verification(OpenRecord):
    """The combined verdict, with its method, evidence and an explained confidence."""

    outcome: VerificationOutcome
    method: str
    confidence: float = Field(ge=0, le=1)
    explanation: str = ""
    checks: tuple[Check, ...] = ()


def combine(outcomes: Iterable[VerificationOutcome]) -> VerificationOutcome:
    """Failed if any failed, else unverifiable if any gave no evidence or there is none, else passed."""
    seen = set(outcomes)
    if VerificationOutcome.FAILED in seen:
        return VerificationOutcome.FAILED
    if VerificationOutcome.UNVERIFIABLE in seen or not seen:
        return VerificationOutcome.UNVERIFIABLE
    return VerificationOutcome.PASSED
