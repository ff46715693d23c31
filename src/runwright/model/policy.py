"""What an incident may start by itself. Without pydantic, as `severity`: the command line offers it at once."""

from __future__ import annotations

from enum import StrEnum


class PolicyMode(StrEnum):
    """Whether an incident on the host may start a run by itself."""

    AUTO = "auto"
    ASK = "ask"
    NEVER = "never"
