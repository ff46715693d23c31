"""One shell on a host, in a channel of an SSH connection.

The login shell runs before ours and may greet, warn or print what its start-up files print. So the
first thing our own shell is given is to say a random word on both streams: what came before it is
noise, and nothing that a host prints of itself is taken for an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import Callable, Sequence

import asyncssh

from runwright.adapters.hosts.quoting import PATH, quote
from runwright.adapters.hosts.session import SHELL
from runwright.model.errors import HostUnreachable

COMMAND = f"exec {SHELL[0]}"
"""All that the host's process list ever shows; understood by sh, csh and fish alike."""
QUEUED = 512 * 1024
"""Bytes held for a slow reader before the host has to wait. The channel's window holds some more."""
WINDOW = 2 * 1024 * 1024
NOISE = 65536
"""Bytes of greeting kept for an error message; the rest is dropped."""


def preface(word: str) -> bytes:
    """What every shell is given first. A user's PATH may lack the system's directories: they go before it."""
    say = f"printf %s '{word}'; printf %s '{word}' >&2; "
    path = f'case $PATH in "{PATH}"*) ;; *) PATH={PATH}${{PATH:+:$PATH}}; esac; export PATH; unset ENV CDPATH'
    return f"{{ {say}{path}; }}\n".encode()


class ShellChannel(asyncssh.SSHClientSession[bytes]):
    """The `Channel` of the transport. `over` is called once when the server has let go of it."""

    def __init__(self, over: Callable[[ShellChannel], None]) -> None:
        self._chan: asyncssh.SSHClientChannel[bytes] | None = None
        self._over = over
        self._word = secrets.token_hex(16)
        self._noise = {"stdout": bytearray(), "stderr": bytearray()}
        self._chunks: deque[tuple[str, bytes]] = deque()
        self._held = 0
        self._paused = False
        self._news = asyncio.Event()
        self.ended = False
        """Nothing more comes."""

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self._chan = chan

    def session_started(self) -> None:
        self._expect()
        self.write(preface(self._word))

    def _expect(self) -> None:
        self._noise = {"stdout": bytearray(), "stderr": bytearray()}

    def write(self, data: bytes) -> None:
        """Send what the shell is to read. What it no longer takes is dropped: its answer will be missing."""
        if self._chan is not None:
            with contextlib.suppress(OSError):  # BrokenPipeError: closed meanwhile
                self._chan.write(data)

    def finish(self) -> None:
        """There is no more to read for the shell."""
        if self._chan is not None:
            with contextlib.suppress(OSError):
                self._chan.write_eof()

    def data_received(self, data: bytes, datatype: int | None) -> None:
        name = "stderr" if datatype == asyncssh.EXTENDED_DATA_STDERR else "stdout"
        noise = self._noise.get(name)
        if noise is not None:
            noise += data
            _, word, data = bytes(noise).partition(self._word.encode())
            if not word:
                # a greeting without end must not fill the memory; the word may be split over chunks
                del noise[NOISE:-64]
                return
            del self._noise[name]
        if data:
            self._chunks.append((name, data))
            self._held += len(data)
            if self._held >= QUEUED and not self._paused and self._chan is not None:
                self._paused = True
                self._chan.pause_reading()
        self._news.set()

    def eof_received(self) -> bool:
        self._end()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        self._chan = None
        self._over(self)

    def _end(self) -> None:
        if not self.ended:
            self.ended = True
            if self._noise:
                # our shell never spoke: what the host said instead is why
                self._chunks.extend(("stderr", bytes(said)) for said in self._noise.values() if said)
        self._news.set()

    async def read(self) -> tuple[str, bytes] | None:
        while not self._chunks:
            if self.ended:
                return None
            self._news.clear()
            await self._news.wait()
        name, data = self._chunks.popleft()
        self._held -= len(data)
        if self._paused and self._held < QUEUED // 2 and self._chan is not None:
            self._paused = False
            self._chan.resume_reading()
        return name, data

    async def replace(self, argv: Sequence[str]) -> None:
        """Become another program, which reads what is sent from now on. The process list shows `argv`: constants.

        Raises HostUnreachable where this shell is gone.
        """
        await self._spoken()
        self._word = secrets.token_hex(16)
        self._expect()
        # the shell has read this line whole before it says the word: nothing sent later is in its buffer
        say = f"printf %s '{self._word}'; printf %s '{self._word}' >&2; exec ".encode()
        self.write(b"{ " + say + b" ".join(quote(word) for word in argv) + b"; }\n")
        await self._spoken()

    async def _spoken(self) -> None:
        while self._noise:
            if self.ended:
                said = b" ".join(data for _, data in self._chunks).decode("utf-8", "replace").split()
                raise HostUnreachable(f"The shell on the host ended at once: {' '.join(said)[-300:] or 'no word'}.")
            self._news.clear()
            await self._news.wait()

    def kill(self) -> None:
        if self._chan is not None:
            with contextlib.suppress(OSError):
                self._chan.send_signal("KILL")

    def let_go(self) -> None:
        """Close at once; see `close`."""
        if self._chan is not None:
            self._chan.close()

    async def close(self) -> None:
        self.let_go()
