"""One process that serves, and its child that works.

The API process holds the approval key and never runs a step. The worker is a child process started without
the key in its environment; it ends itself when its standard input closes, so a killed server leaves no
worker behind. What runs on a host at that moment goes on under the host's supervisor and is adopted later.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

from runwright.model.errors import Conflict, Refused, Unavailable
from runwright.surfaces.settings import Settings

log = logging.getLogger(__name__)

KEY_VARIABLES = ("RUNWRIGHT_APPROVAL_KEY",)
"""Never handed to a worker."""

SECRET_PREFIX = "RUNWRIGHT_SECRET_"  # noqa: S105 - how a name begins, not a secret
"""How variables begin that hold secrets of clients. They are the worker's; the API process has no use for them."""

FIRST_DELAY = 0.5
LAST_DELAY = 30.0
"""Seconds before a worker that died is started again: at first, and at most."""

READY = b"ready\n"
"""The line a worker writes when it takes work."""


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the caller stops it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int) -> socket.socket:
    """A listening socket on a loopback address.

    Raises Refused for any other address and Conflict where the port is taken.
    """
    address = "127.0.0.1" if host == "localhost" else host
    try:
        loopback = ipaddress.ip_address(address).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise Refused(
            f"Found bind address {host!r}.",
            allowed="Allowed: a loopback address (127.0.0.1 or ::1).",
            next_step="Put a TLS proxy on the same machine in front of it.",
        )
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((address, port))
    except OSError as error:
        found.close()
        raise Conflict(
            f"Found port {port} of {host} in use ({error.strerror}).",
            next_step="Stop what listens there, or choose another with --port (0 takes any free one).",
        ) from error
    return found


@contextlib.asynccontextmanager
async def stop_signals() -> AsyncIterator[asyncio.Event]:
    """An event that SIGINT or SIGTERM sets."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def serve_app(app: ASGIApp, bound: socket.socket, stop: asyncio.Event, on_ready: Callable[[], None]) -> None:
    """Serve until `stop` is set, then finish what is being answered (5 s at most)."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=5,
        server_header=False,
        proxy_headers=False,
    )
    server = _Server(config)
    serving = asyncio.ensure_future(server.serve(sockets=[bound]))
    stopping = asyncio.ensure_future(stop.wait())
    try:
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        if server.started:
            on_ready()
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        await serving
    finally:
        stopping.cancel()


class WorkerProcess:
    """The child that runs executions. Started again, with growing delays, when it dies unasked."""

    def __init__(self, settings: Settings) -> None:
        self._process: asyncio.subprocess.Process | None = None
        # As it was when the server started: the secrets of clients are taken out of this process right after.
        self._environment = {key: value for key, value in os.environ.items() if key not in KEY_VARIABLES}
        self._environment["RUNWRIGHT_DATA_DIR"] = str(settings.data_dir)

    async def start(self) -> None:
        """Start it and wait until it takes work. Raises Unavailable if it does not within 60 s."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "runwright",
            "worker",
            "--child",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=self._environment,
            start_new_session=True,
        )
        if self._process.stdout is None:
            raise RuntimeError("the worker was started without a standard output")
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), timeout=60)
        except TimeoutError:
            line = b""
        if line != READY:
            await self.stop()
            raise Unavailable(
                "The worker process did not start.",
                next_step="What it said stands above; `runwright doctor` checks the parts.",
            )

    async def supervise(self, stop: asyncio.Event) -> None:
        """Keep it alive until `stop` is set, then end it."""
        delay = FIRST_DELAY
        stopping = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                if self._process is not None:
                    dying = asyncio.ensure_future(self._process.wait())
                    await asyncio.wait({dying, stopping}, return_when=asyncio.FIRST_COMPLETED)
                    if stop.is_set():
                        break
                    log.error("the worker ended with status %s; starting it again", self._process.returncode)
                await asyncio.wait({stopping}, timeout=delay)
                delay = min(delay * 2, LAST_DELAY)
                if stop.is_set():
                    break
                try:
                    await self.start()
                except Unavailable:
                    # It has no process then. The next round starts another: a database may be away for long.
                    log.exception("the worker could not be started again; it is tried again in %s s", delay)
                else:
                    delay = FIRST_DELAY
        finally:
            stopping.cancel()
            await self.stop()

    async def stop(self) -> None:
        """Ask it to end, and end it after 10 s."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), timeout=10)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def forget_secrets() -> None:
    """Take the secrets of clients out of this process's environment, so that nothing it starts or logs has them."""
    for name in [name for name in os.environ if name.startswith(SECRET_PREFIX)]:
        del os.environ[name]


async def parent_gone() -> None:
    """Return when standard input closes: the server that started this worker is gone."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()
