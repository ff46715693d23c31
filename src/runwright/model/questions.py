"""A question that a run asks a person, and what came of it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import model_validator

from runwright.model.base import Moment, Record
from runwright.model.documents import Parameter, ParameterValue
from runwright.model.ids import ClientId


class QuestionStatus(StrEnum):
    OPEN = "open"
    ANSWERED = "answered"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    """The run was cancelled while it waited."""


_TYPES: dict[str, type] = {"string": str, "integer": int, "boolean": bool}


class Question(Record):
    """Asked by an `ask` step. The run holds neither worker nor host while it waits for the answer."""

    id: str
    """That of the attempt which asks, so that a run which goes on after a crash asks the same question once."""
    client_id: ClientId
    execution_id: str
    step: str
    """`confirm`, or `restore/confirm` for a step of a called runbook."""
    text: str
    parameter: str
    """Whose value the answer becomes."""
    answer: Parameter
    """The parameter as declared: its type and constraints."""
    asked_at: Moment
    expires_at: Moment
    status: QuestionStatus = QuestionStatus.OPEN
    closed_at: Moment | None = None
    answered_by: str | None = None
    """The person's id."""
    answered_by_name: str | None = None
    value: ParameterValue | None = None

    @model_validator(mode="after")
    def _of_its_type(self) -> Question:
        wanted = _TYPES.get(self.answer.type)
        if wanted is None:
            raise ValueError("found a secret as an answer; allowed: string, integer or boolean")
        if self.value is not None and type(self.value) is not wanted:
            raise ValueError(f"found {type(self.value).__name__} as the value; allowed: {self.answer.type}")
        return self

    def overdue(self, now: datetime) -> bool:
        """Whether it is open still and may no longer be answered."""
        return self.status is QuestionStatus.OPEN and now >= self.expires_at
