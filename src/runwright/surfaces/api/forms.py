"""Bodies and answers of the API that are no records of `model`."""

from __future__ import annotations

from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from runwright.model.principals import Grant

T = TypeVar("T")


class Body(BaseModel):
    """A request body: closed and strict."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)


class Listing(BaseModel, Generic[T]):
    """A page, newest first, and the cursor of the next one (null at the end)."""

    items: list[T]
    next_cursor: str | None = None


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    type: str = Field(examples=["urn:runwright:problem:not-found"])
    title: str
    status: int
    detail: str
    found: str | None = None
    allowed: str | None = None
    next_step: str | None = None
    faults: list[dict[str, Any]] | None = None


Cursor = Annotated[str | None, Query(max_length=500, description="`next_cursor` of the page before.")]
Sequence = Annotated[int, Field(ge=0, le=2**63 - 1)]
"""A number that a store gives out: within 64 bits, as databases count."""
Limit = Annotated[int, Query(ge=1, le=200, description="Items of a page.")]

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": text,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, text in (
        (400, "The call is wrong."),
        (401, "Nobody is logged in."),
        (403, "The right is missing."),
        (404, "Unknown, or another client's."),
        (405, "Not this method."),
        (409, "The record is in another state."),
        (413, "The body is too large."),
        (415, "The body is not JSON."),
        (421, "The host name is not this server's."),
        (422, "The input was refused; `faults` lists all of it."),
        (429, "Too many attempts."),
        (503, "A part did not answer."),
    )
}
"""What any route may answer instead."""


class LoginForm(Body):
    name: str = Field(max_length=200, examples=["ada"])
    password: str = Field(max_length=1000)


class ClientForm(Body):
    id: str = Field(examples=["acme"])
    name: str = Field(min_length=1, max_length=200)


class RunbookForm(Body):
    text: str = Field(max_length=262_144)
    """The document exactly as written."""
    scope: str = Field(default="all", examples=["all", "client:acme"])


class Decision(Body):
    digest: str = Field(examples=["sha256:" + "0" * 64])
    """The digest that was shown."""
    note: str = Field(default="", max_length=4000)
    override_reason: str = Field(default="", max_length=4000)
    """Why to approve in spite of a failed test."""
    password: str | None = None
    """Asked for again where the last login is old."""


class Rejection(Body):
    digest: str
    reason: str = Field(min_length=1, max_length=4000)
    password: str | None = None


class ChangeRequest(Body):
    digest: str
    note: str = Field(min_length=1, max_length=4000)


class NoteForm(Body):
    note: str = Field(default="", max_length=4000)


class ReasonForm(Body):
    reason: str = Field(min_length=1, max_length=1000)


class AnswerForm(Body):
    value: str | int | bool = Field(examples=["yes", 3, True])
    """Must fit the parameter that the question names; a text is read as its type."""
    question: str | None = Field(default=None, max_length=300)
    """The id of the question that was shown, so that no later one is answered by mistake."""


class StopForm(Body):
    scope: str = Field(examples=["global", "client:acme", "runbook:RB-LINUX-SERVICE-001"])
    reason: str = Field(min_length=1, max_length=1000)


class UserForm(Body):
    name: str = Field(max_length=63, examples=["ada"])
    password: str = Field(max_length=1000)
    grants: list[Grant] = Field(min_length=1)


class TokenForm(Body):
    name: str = Field(min_length=1, max_length=100)
    grants: list[Grant]
    days: int = Field(default=90, ge=1, le=3650)


class Empty(Body):
    """No fields."""
