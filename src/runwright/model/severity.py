"""How bad an incident is. Its own module, without pydantic: the command line offers it before anything heavy loads."""

from __future__ import annotations

from enum import StrEnum


class Severity(StrEnum):
    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def rank(self) -> int:
        """1 for critical to 4 for low, as queue priorities count."""
        return list(Severity).index(self) + 1
