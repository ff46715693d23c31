"""The forms in which programs print a secret without meaning to: as it is, and as they encode it.

What is not among them cannot be masked by looking for it: reversed, encrypted, compressed, split by other text, one
character a line, encoded twice. docs/explanation/secrets.md says so.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

FEWEST = 5
"""Bytes; the encoded form of a shorter secret would be found in what has nothing to do with it."""
LONG_LINE = 12
"""Characters from which on a line of a secret with several is masked alone."""


def forms(value: str) -> tuple[bytes, ...]:
    """Every form of one secret that is masked, without doubles and none empty."""
    found = dict.fromkeys(form.encode("utf-8", "surrogateescape") for form in _plain(value))
    for form in tuple(found):
        if len(form) >= FEWEST:
            found |= dict.fromkeys(_encoded(form))
    return tuple(form for form in found if form)


def _plain(value: str) -> Iterator[str]:
    yield value
    yield value.strip()
    lines = value.splitlines()
    if len(lines) > 1:  # a key is printed line by line, or with its line ends as something else
        yield from (line.strip() for line in lines if len(line.strip()) >= LONG_LINE and not line.startswith("-----"))


def _encoded(value: bytes) -> Iterator[bytes]:
    yield value.hex().encode()
    yield value.hex().upper().encode()
    yield from _base64(value)
    text = value.decode("utf-8", "surrogateescape")
    for escaped in (quote(value, safe=""), quote(value), quote_plus(value)):
        yield escaped.encode()
        yield _lower_percent(escaped).encode()
    for ascii_only in (True, False):
        escaped = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield escaped.encode("utf-8", "surrogateescape")
        yield escaped.replace("/", "\\/").encode("utf-8", "surrogateescape")
    yield value.replace(b"'", b"'\\''")
    yield value.replace(b"'", b"'\"'\"'")
    yield b"".join(b"\\" + bytes([byte]) if byte in b'\\"$`' else bytes([byte]) for byte in value)
    yield b"".join(bytes([byte]) if chr(byte).isalnum() or byte >= 0x80 else b"\\" + bytes([byte]) for byte in value)


def _base64(value: bytes) -> Iterator[bytes]:
    """Alone, and what is the same wherever it stands in something longer, as `user:password` of HTTP."""
    for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
        whole = encode(value)
        yield whole
        yield whole.rstrip(b"=")
        for before in range(3):
            after = -(before + len(value)) % 3
            text = encode(b"\0" * before + value + b"\0" * after)
            core = text[(0, 2, 3)[before] : len(text) - (0, 2, 3)[after]]
            if len(core) >= 8:
                yield core


def _lower_percent(text: str) -> str:
    parts = text.split("%")
    return parts[0] + "".join("%" + part[:2].lower() + part[2:] for part in parts[1:])
