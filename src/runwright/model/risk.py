"""What a command would do: risk classes and the verdict over a text or a version."""

from __future__ import annotations

from enum import StrEnum

from runwright.model.base import OpenRecord, Record


class RiskVerdict(StrEnum):
    OK = "ok"
    WARN = "warn"
    REFUSE = "refuse"


class RiskClass(StrEnum):
    DESTRUCTIVE = "destructive"
    PRIVILEGE = "privilege"
    NETWORK_EGRESS = "network_egress"
    CREDENTIAL_ACCESS = "credential_access"
    PERSISTENCE = "persistence"
    SECURITY_WEAKENING = "security_weakening"
    EVASION = "evasion"
    UNCOVERED_CONTENT = "uncovered_content"
    """Runs content that the approval does not cover: a host script, a URL."""
    UNPARSED = "unparsed"
    """The text could not be read as shell, so nothing can be said for it."""


class RiskFinding(Record):
    """One rule that matched, where, why it matters, and a safer way if there is one."""

    rule: str
    verdict: RiskVerdict
    classes: tuple[RiskClass, ...]
    command: str
    """The effective command the rule matched."""
    explanation: str
    safer: str | None = None
    place: str | None = None
    """Where in the runbook, as `steps.restart.run`."""


class RiskReport(OpenRecord):
    """What `runwright risk` prints: the verdict over a text, and the rules it rests on."""

    verdict: RiskVerdict = RiskVerdict.OK
    classes: tuple[RiskClass, ...] = ()
    commands: tuple[str, ...] = ()
    explanation: str = ""
    findings: tuple[RiskFinding, ...] = ()
