"""Proposals: typed step edits with reasons, and what came of trying them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from runwright.model.base import Moment, OpenRecord, Record
from runwright.model.diagnoses import Diagnosis, Signal
from runwright.model.executions import Section
from runwright.model.ids import ClientId, VersionId
from runwright.model.risk import RiskReport


class _Edit(OpenRecord):
    reason: str
    signals: tuple[int, ...] = ()
    """Indexes into the diagnosis' signals that this edit answers."""


class AddStep(_Edit):
    op: Literal["add_step"] = "add_step"
    section: Literal[Section.STEPS] = Section.STEPS
    before: str | None = None
    """Step id it goes before; else `after`; neither means at the end."""
    after: str | None = None
    content: dict[str, Any]
    """The step as the runbook language writes it."""


class ReplaceStep(_Edit):
    op: Literal["replace_step"] = "replace_step"
    step: str
    content: dict[str, Any]


class RemoveStep(_Edit):
    op: Literal["remove_step"] = "remove_step"
    step: str


class MoveStep(_Edit):
    op: Literal["move_step"] = "move_step"
    step: str
    before: str | None = None
    after: str | None = None


class SetField(_Edit):
    op: Literal["set_field"] = "set_field"
    step: str
    field: str
    """As `timeout` or `retry`."""
    value: Any


class AddParameter(_Edit):
    op: Literal["add_parameter"] = "add_parameter"
    name: str
    content: dict[str, Any]


class AddVerify(_Edit):
    op: Literal["add_verify"] = "add_verify"
    content: dict[str, Any]


class AddRollback(_Edit):
    op: Literal["add_rollback"] = "add_rollback"
    content: dict[str, Any]


Edit = Annotated[
    AddStep | ReplaceStep | RemoveStep | MoveStep | SetField | AddParameter | AddVerify | AddRollback,
    Field(discriminator="op"),
]


class Improvement(OpenRecord):
    """What `runwright learn improve` prints: either a candidate, or `refused` with the reason."""

    diagnosis: Diagnosis
    edits: tuple[Edit, ...] = ()
    runbook_yaml: str | None = None
    risk: RiskReport | None = None
    usd: float = 0.0
    refused: str | None = None


class Proposal(Record):
    """A candidate with its edits and where it came from. Trials and review are stored beside it."""

    id: str
    client_id: ClientId
    execution_id: str
    analysis_id: str
    parent: VersionId
    candidate: VersionId
    edits: tuple[Edit, ...]
    signals: tuple[Signal, ...]
    added_risk: RiskReport
    method: str
    """`rules` or `llm:<model>`."""
    usd: float = 0.0
    created_at: Moment
