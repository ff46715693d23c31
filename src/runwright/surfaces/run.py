"""Running the server and its workers from settings."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Awaitable, Callable

from runwright.model.clients import Client
from runwright.model.ids import ALL
from runwright.model.ports.store import EVERY_CLIENT
from runwright.model.principals import ENGINE
from runwright.review.authoring import submit_text
from runwright.runbooks.library import starter_runbooks
from runwright.surfaces.api.app import create_app
from runwright.surfaces.dead_workers import take_over_dead
from runwright.surfaces.server import READY, WorkerProcess, forget_secrets, listen, parent_gone, serve_app, stop_signals
from runwright.surfaces.services import Services
from runwright.surfaces.settings import Settings
from runwright.surfaces.wiring import claim_server, open_services, open_worker

log = logging.getLogger(__name__)

DEFAULT_CLIENT = "default"
SWEEP_SECONDS = 30.0
"""How often work that a crash left between database and queue is looked for."""


async def run_server(settings: Settings, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM. `on_ready` gets the address once requests are answered and work is taken.

    Raises Conflict for a second server on the same database or a port in use, StorageUnavailable, Refused.
    """
    if not settings.on_postgres:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    bound = listen(settings.host, settings.port)
    url = f"http://{settings.host}:{bound.getsockname()[1]}"
    with bound, claim_server(settings.store_url):
        async with open_services(settings) as services, stop_signals() as stop:
            await first_start(services)
            worker = WorkerProcess(settings)
            forget_secrets()
            await worker.start()
            sweeping = asyncio.ensure_future(sweep_until(lambda: _keep_up(services), stop))
            supervising = asyncio.ensure_future(worker.supervise(stop))
            try:
                await serve_app(create_app(services), bound, stop, lambda: on_ready(url))
            finally:
                stop.set()
                await asyncio.gather(supervising, sweeping)
                await services.checkpoint()


async def run_worker(settings: Settings, *, child: bool, on_ready: Callable[[], None] = lambda: None) -> None:
    """Take work until SIGINT, SIGTERM or, as a server's child, until the server is gone.

    Raises Conflict where a live worker has this executor id, StorageUnavailable.
    """
    from runwright.surfaces.wiring import lookout, machines

    async with stop_signals() as stop:
        if child:
            watching = asyncio.ensure_future(parent_gone())
            watching.add_done_callback(lambda _: stop.set())
        await machines().sweep()
        async with open_worker(settings) as (worker, loop):
            await worker.start()
            beside = [asyncio.ensure_future(sweep_until(loop.sweep, stop))]
            if settings.take_over_after is not None:
                watch = lookout(settings, settings.take_over_after)
                beside.append(asyncio.ensure_future(take_over_dead(settings, watch, stop)))
            if child:
                sys.stdout.buffer.write(READY)
                sys.stdout.buffer.flush()
            on_ready()
            await _stopped(stop, worker.lost)
            await asyncio.gather(*beside)
            left = await worker.stop(grace=5)
            if left:
                # What still runs on hosts goes on under their supervisors; cancelling would end it there.
                logging.shutdown()
                os._exit(0)


async def _stopped(stop: asyncio.Event, lost: asyncio.Event) -> None:
    """Wait for the end of the worker. Where another has taken over, it is now: whatever is ended properly in this
    process would be ended on its host, while the other goes on with it."""
    ends = [asyncio.ensure_future(event.wait()) for event in (stop, lost)]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    if lost.is_set():
        log.error("another worker took over what this one ran; this process ends")
        logging.shutdown()
        os._exit(1)
    for end in ends:
        end.cancel()


async def first_start(services: Services) -> None:
    """Give an empty database its default client and, as drafts for review, the standard runbooks."""
    async with services.store.transaction() as tx:
        if await tx.clients.count(client=EVERY_CLIENT):
            return
        await tx.clients.add(Client(id=DEFAULT_CLIENT, name="Default client", created_at=services.clock.now()))
        if services.settings.starter_library:
            for loaded in starter_runbooks():
                await submit_text(
                    tx,
                    text=loaded.text,
                    scope=ALL,
                    author=ENGINE,
                    clock=services.clock,
                    reason="Comes with Runwright. Nothing of it runs before a person approves it.",
                )


async def _keep_up(services: Services) -> int:
    """What wants doing now and then: queue what was left, end what expired, sign the audit heads."""
    found = await services.loop.sweep()
    await services.reviews.expire_due()
    await services.checkpoint()
    return found


async def sweep_until(sweep: Callable[[], Awaitable[int]], stop: asyncio.Event) -> None:
    """Call sweep now and then until stopped. A failure is logged: the next one tries again."""
    while not stop.is_set():
        try:
            await sweep()
        except Exception:
            log.exception("the sweep failed; it is tried again in %s s", SWEEP_SECONDS)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), SWEEP_SECONDS)
