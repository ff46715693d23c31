"""Passwords (argon2id, RFC 9106) and random secrets. Hashing runs in a thread: it takes tens of milliseconds."""

from __future__ import annotations

import asyncio
import hmac
import secrets

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from runwright.model.errors import InvalidInput
from runwright.model.ids import sha256

MINIMUM_LENGTH = 12
MAXIMUM_LENGTH = 1024


def new_secret() -> str:
    """32 random bytes, urlsafe. Not from the clock: a secret that a test could drive would be none."""
    return secrets.token_urlsafe(32)


def secret_digest(secret: str) -> str:
    """What is stored of a session's or token's secret. It is 256 bits of randomness, so a plain sha-256 is enough."""
    return sha256(secret.encode())


def same_secret(given: str, expected: str) -> bool:
    """Compare in constant time, as for a CSRF token."""
    return hmac.compare_digest(given.encode(), expected.encode())


def check_password(name: str, password: str) -> None:
    """Raise InvalidInput unless the password is 12 to 1024 characters long and not the name (NIST SP 800-63B)."""
    if MINIMUM_LENGTH <= len(password) <= MAXIMUM_LENGTH and password.strip().lower() != name.lower():
        return
    raise InvalidInput(
        "Found a password that is too short, too long or the name itself.",
        allowed=f"Allowed: {MINIMUM_LENGTH} to {MAXIMUM_LENGTH} characters, any of them, not the name.",
        next_step="Use a password manager's suggestion or four random words.",
    )


class Passwords:
    """Makes and checks argon2id hashes. Memory in KiB; the defaults are argon2-cffi's (RFC 9106, low memory)."""

    def __init__(self, *, time_cost: int = 3, memory_kib: int = 65536, parallelism: int = 4) -> None:
        self._hasher = PasswordHasher(
            time_cost=time_cost, memory_cost=memory_kib, parallelism=parallelism, type=Type.ID
        )
        self._nobody: str | None = None

    async def hash(self, password: str) -> str:
        """The encoded hash, its parameters and salt included."""
        return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, encoded: str | None, password: str) -> bool:
        """Whether the password fits. None (no such user) takes as long as a wrong password, and is False."""
        if len(password) > MAXIMUM_LENGTH:
            password = ""
        known = encoded is not None
        if encoded is None:
            if self._nobody is None:
                self._nobody = await self.hash(new_secret())
            encoded = self._nobody
        try:
            fits = await asyncio.to_thread(self._hasher.verify, encoded, password)
        except (VerificationError, InvalidHashError):
            return False
        return known and fits

    def outdated(self, encoded: str) -> bool:
        """Whether the hash was made with other parameters than today's and is to be renewed at login."""
        return self._hasher.check_needs_rehash(encoded)
