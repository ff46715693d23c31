"""Time and identifiers."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The only source of time and ids; tests hand in one they drive."""

    def now(self) -> datetime:
        """The moment, in UTC with its zone."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, for durations."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait. A driven clock moves itself on instead."""
        ...

    def new_id(self, prefix: str) -> str:
        """A fresh sortable id such as `exe_0193...`."""
        ...
