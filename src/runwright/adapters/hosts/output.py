"""What comes out of a host: bounded, with known secrets masked before anything else sees it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from runwright.adapters.hosts.secret_forms import forms


class HeadTail:
    """Keeps the first and the last half of a stream, however long it is; memory stays flat."""

    def __init__(self, limit: int) -> None:
        self._half = max(limit, 2) // 2
        self._head = bytearray()
        self._tail = bytearray()
        self.total = 0

    def feed(self, data: bytes) -> None:
        self.total += len(data)
        room = self._half - len(self._head)
        self._head += data[:room]
        rest = data[room:] if room < len(data) else b""
        if rest:
            self._tail += rest[-self._half :]
            if len(self._tail) > 2 * self._half:
                del self._tail[: -self._half]

    def text(self) -> str:
        """All of it, or head and tail with a line between them naming what was left out."""
        tail = self._tail[-self._half :]
        left_out = self.total - len(self._head) - len(tail)
        cut = f"\n[runwright: {left_out} bytes left out here]\n".encode() if left_out > 0 else b""
        return (bytes(self._head) + cut + bytes(tail)).decode("utf-8", "replace")


class Masker:
    """Replaces known secrets in a stream in the forms that programs print, also where one is split over chunks."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        found: dict[bytes, bytes] = {}
        for name, value in secrets.items():
            for form in forms(value):
                found[form] = f"[secret {name}]".encode()
        # longest first, so that a value containing another one is masked whole
        self._values = sorted(found.items(), key=lambda item: -len(item[0]))
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        if not self._values:
            return data
        data = self._replace(self._held + data)
        keep = self._unfinished(data)
        self._held = data[len(data) - keep :]
        return data[: len(data) - keep]

    def flush(self) -> bytes:
        data, self._held = self._held, b""
        return data

    def _replace(self, data: bytes) -> bytes:
        for value, mask in self._values:
            data = data.replace(value, mask)
        return data

    def _unfinished(self, data: bytes) -> int:
        """How many bytes at the end may be the beginning of a secret."""
        longest = 0
        for value, _ in self._values:
            for size in range(min(len(value) - 1, len(data)), longest, -1):
                if data.endswith(value[:size]):
                    longest = size
                    break
        return longest


def mask(data: bytes, secrets: Mapping[str, str]) -> bytes:
    """A whole text with known secret values replaced."""
    masker = Masker(secrets)
    return masker.feed(data) + masker.flush()


class Marked:
    """Takes a stream up to the first occurrence of a marker that may be split over chunks."""

    def __init__(self, marker: bytes) -> None:
        self._marker = marker
        self._held = bytearray()
        self.found = False

    def feed(self, data: bytes) -> bytes:
        """What of the stream is certainly before the marker. After it, nothing."""
        self._held += data
        if self.found:
            return b""
        place = self._held.find(self._marker)
        if place >= 0:
            self.found = True
            before = bytes(self._held[:place])
            del self._held[: place + len(self._marker)]
            return before
        keep = len(self._marker) - 1
        # most chunks end in nothing like the marker: hold back only what could be its beginning
        while keep and not self._held.endswith(self._marker[:keep]):
            keep -= 1
        before = bytes(self._held[: len(self._held) - keep])
        del self._held[: len(before)]
        return before

    @property
    def after(self) -> bytes:
        """What came after the marker."""
        return bytes(self._held)

    def flush(self) -> bytes:
        """What was held back, where the stream ended without its marker."""
        if self.found:
            return b""
        data = bytes(self._held)
        self._held.clear()
        return data


def secret_lines(references: Iterable[tuple[str, str, str]]) -> str:
    """The names (never the values) of an attempt's secrets, for masking when it is adopted later."""
    return "".join(f"{variable} {client} {name}\n" for variable, client, name in references)
