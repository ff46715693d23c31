"""Scenarios (real faults as data), trials on disposable machines, and their effects."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from runwright.model.base import Duration, Moment, OpenRecord, Record
from runwright.model.diagnoses import FailureType
from runwright.model.executions import ExecutionResult
from runwright.model.ids import RunbookId
from runwright.model.incidents import IncidentBrief

SCENARIO_SCHEMA = "runwright/scenario/v1"

PackageName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9+.-]+$")]


class Expectation(StrEnum):
    HEALED = "healed"
    UNCHANGED = "unchanged"
    """Doing nothing is right."""
    ESCALATED = "escalated"
    """Handing it to a person is right."""


class Scenario(Record):
    """A real fault as data: how to build the healthy thing, break it, and tell both apart."""

    schema_: Literal["runwright/scenario/v1"] = Field(alias="schema")
    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._/-]{0,200}$")
    family: str
    incident: IncidentBrief
    expect: Expectation = Expectation.HEALED
    failure_type: FailureType | None = None
    runbook: RunbookId
    requires: tuple[PackageName, ...] = ()
    setup: str
    healthy: str
    inject: str
    symptom: str
    keeps: str | None = None
    settle: Duration = 5.0
    hold: Duration = 3.0
    recovers_after: Duration | None = None
    right_runbook: RunbookId | None = None
    timeout: Duration = 60.0
    note: str | None = None


class TrialOutcome(StrEnum):
    HEALED = "healed"
    UNCHANGED = "unchanged"
    ESCALATED = "escalated"
    FAILED = "failed"
    INVALID = "invalid"


class Change(StrEnum):
    CREATED = "created"
    CHANGED = "changed"
    DELETED = "deleted"


class FileChange(Record):
    """A path on the machine that differs after the run."""

    path: str
    change: Change
    kind: str = "file"
    """file, directory, link or other."""


class ScriptResult(Record):
    """One scenario script's answer. `exit_code` None: it ran out of time."""

    exit_code: int | None
    output: str = ""
    seconds: float = 0.0

    @property
    def no_evidence(self) -> bool:
        """Exit 126, 127, 128 and above, or a timeout says nothing about health."""
        return self.exit_code is None or self.exit_code >= 126


class TrialStage(OpenRecord):
    """One stage of a trial, for people who ask why."""

    name: str
    ok: bool
    note: str = ""
    output: str = ""
    seconds: float = 0.0


class TrialReport(OpenRecord):
    """What `runwright lab trial` prints: how a runbook did on one fault."""

    scenario: str
    outcome: TrialOutcome
    right: bool
    wrong_healed: bool = False
    execution: ExecutionResult | None = None
    effects: tuple[FileChange, ...] = ()
    seconds: float = 0.0
    reason: str = ""
    stages: tuple[TrialStage, ...] = ()


class Trial(Record):
    """A stored trial of a version."""

    id: str
    version_id: str
    digest: str
    report: TrialReport
    created_at: Moment
