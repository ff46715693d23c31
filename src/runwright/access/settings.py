"""Settings of this room, with the values that are in force unless an operator says otherwise."""

from __future__ import annotations

from pydantic import Field

from runwright.model.base import Record


class AccessSettings(Record):
    """Lifetimes and limits of sessions, tokens and login attempts."""

    session_hours: float = Field(default=12, gt=0)
    reauthenticate_minutes: float = Field(default=15, gt=0)
    """How old the last password entry of a session may be when it approves."""
    token_days: int = Field(default=90, ge=1)
    """How long a token lives unless its creator says otherwise."""
    token_days_maximum: int = Field(default=365, ge=1)
    login_attempts: int = Field(default=10, ge=1)
    login_window_seconds: float = Field(default=900, gt=0)
    argon2_time_cost: int = Field(default=3, ge=1)
    argon2_memory_kib: int = Field(default=65536, ge=8)
    argon2_parallelism: int = Field(default=4, ge=1)
