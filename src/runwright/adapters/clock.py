"""The system's clock."""

from __future__ import annotations

import asyncio
import secrets
import time
from datetime import UTC, datetime

from runwright.model.ids import make_id


class SystemClock:
    """Real time, real randomness."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def new_id(self, prefix: str) -> str:
        return make_id(prefix, self.now(), secrets.token_bytes(8))
