"""Secret values, behind their references."""

from __future__ import annotations

from typing import Protocol

from runwright.model.hosts import SecretRef


class SecretSource(Protocol):
    """Resolves references at the moment of use. Values are never stored, logged or returned in records."""

    def resolve(self, reference: SecretRef) -> str:
        """The value. Raises NotFound naming the reference and where it was looked for."""
        ...
