"""Settings of this room, with the values that are in force unless an operator says otherwise."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from runwright.model.base import Record


class ReviewSettings(Record):
    """How long leases and approvals last, and who may approve."""

    lease_minutes: float = Field(default=30, gt=0)
    approval_days: float = Field(default=365, gt=0)
    expiry_warning_days: float = Field(default=14, ge=0)
    author_may_approve: bool = False
    """Whether the person who wrote a version may be the one who approves it."""

    @property
    def lease(self) -> timedelta:
        return timedelta(minutes=self.lease_minutes)

    @property
    def approval_lifetime(self) -> timedelta:
        return timedelta(days=self.approval_days)
