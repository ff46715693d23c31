"""Cursors: opaque to callers, bound to the list that gave them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import Any

from runwright.model.errors import InvalidInput

Position = tuple[int | str, ...]
"""The sort key of the last item of a page."""


def list_mark(*parts: Any) -> str:
    """A short mark of a list: its name, client and filter."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def encode(mark: str, position: Position) -> str:
    """The cursor after `position` in the list with this mark."""
    text = json.dumps([mark, *position], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(mark: str, cursor: str, shape: tuple[type, ...]) -> Position:
    """The position in a cursor. Raises InvalidInput if this list did not give it."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        parts = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, UnicodeError, ValueError, RecursionError):
        parts = None
    if not isinstance(parts, list) or parts[:1] != [mark] or [type(part) for part in parts[1:]] != list(shape):
        raise InvalidInput(
            "Found a cursor that this list did not give.",
            allowed="Allowed: the next_cursor of the same list with the same filter.",
            next_step="Leave the cursor out to start at the newest.",
        )
    return tuple(parts[1:])
