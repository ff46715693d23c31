"""The two output streams of one program on a host, as they arrive."""

from __future__ import annotations

import re
from collections.abc import Mapping

from runwright.adapters.hosts.output import HeadTail, Marked, Masker
from runwright.model.ports.hosts import OutputSink

STARTED = "S"
KNOWN = "K"
REFUSED = "E"
LONGEST_WORD = 64 * 1024
"""Bytes of a line of the supervisor's own; a host that says more is no longer listened to."""


class Streams:
    """Both streams, cut at their marks, masked and bounded, and passed on live.

    The supervisor's own words are lines on standard error that begin with the nonce: first S (started),
    K (known already) or E with a reason, at the end the exit code. The nonce alone ends standard output.
    """

    def __init__(self, nonce: str, limit: int, secrets: Mapping[str, str], sink: OutputSink | None = None) -> None:
        self.kept = {name: HeadTail(limit) for name in ("stdout", "stderr")}
        self.greeting = ""
        """S, K or E; empty until it came."""
        self.reason = ""
        self.code: int | None = None
        """The exit code, once it was said."""
        self.endless = False
        """The host spoke as the supervisor and came to no end."""
        self.looked = ""
        """What the look saw, before and after."""
        self._nonce = nonce.encode()
        self._sink = sink
        self._marked = {name: Marked(self._nonce) for name in self.kept}
        self._masker = {name: Masker(secrets) for name in self.kept}

    async def feed(self, name: str, data: bytes) -> None:
        if self._marked[name].found and (name == "stdout" or self.code is not None):
            return  # nothing is said after the last word, however much more is sent
        await self._pass(name, self._masker[name].feed(self._marked[name].feed(data)))
        if name == "stderr" and self._marked["stderr"].found:
            await self._word()

    async def _word(self) -> None:
        """Take the line behind the mark, once it is whole; what follows a greeting is output again."""
        line, newline, rest = self._marked["stderr"].after.partition(b"\n")
        if not newline or self.code is not None:
            self.endless = self.endless or (self.code is None and len(line) > LONGEST_WORD)
            return
        word, _, reason = line.decode("utf-8", "replace").strip().partition(" ")
        if re.fullmatch("[0-9]{1,3}", word):
            self.code, self.looked = int(word), reason
            return
        self.greeting, self.reason = word, reason
        self._marked["stderr"] = Marked(self._nonce)
        await self.feed("stderr", rest)

    async def flush(self) -> None:
        """Pass on what was held back, after the last chunk."""
        for name in self.kept:
            rest = self._masker[name].feed(self._marked[name].flush()) + self._masker[name].flush()
            await self._pass(name, rest)

    async def _pass(self, name: str, data: bytes) -> None:
        if data:
            self.kept[name].feed(data)
            if self._sink is not None:
                await self._sink(name, data)

    @property
    def complete(self) -> bool:
        """Everything came, the exit code too."""
        return self.code is not None and self._marked["stdout"].found

    @property
    def over(self) -> bool:
        """Nothing more is to be expected."""
        return self.complete or self.endless or self.greeting in (KNOWN, REFUSED)
