"""Signatures: the approval key is held by the API process alone; workers hold public keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Signer(Protocol):
    """Holds a private key."""

    @property
    def key_id(self) -> str: ...

    def sign(self, message: bytes) -> bytes:
        """An ed25519 signature (RFC 8032)."""
        ...


class Keyring(Protocol):
    """Public keys by id, old ones included."""

    def public_keys(self) -> Mapping[str, bytes]:
        """Raw 32-byte ed25519 public keys by key id."""
        ...
