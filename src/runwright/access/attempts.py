"""Counting login attempts per name. In this process's memory: one process answers logins, a restart forgives."""

from __future__ import annotations

from collections import OrderedDict, deque

from runwright.model.errors import TooMany
from runwright.model.ports.clock import Clock

KEPT_NAMES = 50_000


class LoginAttempts:
    """Refuses a name after `limit` attempts within `window` seconds; a success forgives them."""

    def __init__(self, clock: Clock, *, limit: int, window: float) -> None:
        self._clock = clock
        self._limit = limit
        self._window = window
        self._attempts: OrderedDict[str, deque[float]] = OrderedDict()

    def begin(self, name: str) -> None:
        """Count an attempt, before the password is looked at, so that parallel guesses count as well.

        Raises TooMany, also for the right password and for names that do not exist.
        """
        key = name[:64].lower()
        now = self._clock.monotonic()
        seen = self._attempts.setdefault(key, deque())
        self._attempts.move_to_end(key)
        while seen and seen[0] <= now - self._window:
            seen.popleft()
        if len(seen) >= self._limit:
            wait = int(seen[0] + self._window - now) + 1
            raise TooMany(
                f"Found {len(seen)} login attempts for this name within {int(self._window // 60)} minutes.",
                next_step=f"Try again in {wait} seconds.",
            )
        seen.append(now)
        if len(self._attempts) > KEPT_NAMES:
            self._attempts.popitem(last=False)

    def succeed(self, name: str) -> None:
        """Forget the attempts of a name whose person has just logged in."""
        self._attempts.pop(name[:64].lower(), None)
