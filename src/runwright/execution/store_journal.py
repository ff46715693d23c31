"""The journal of managed runs, in the store."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from runwright.execution.kill_points import KillPoint, reached
from runwright.model.errors import Conflict, RunwrightError
from runwright.model.executions import AttemptRecord, Event, JournalEntry, StepIntent, StepStatus
from runwright.model.ports.store import EVERY_CLIENT, Store

logger = logging.getLogger(__name__)

LAG = 0.03
"""Seconds that an event waits for company, or for an outcome to take it along."""


class StoreJournal:
    """Implements the `Journal` port.

    Events go out beside the run: those of one moment share a write, so that a chatty step does not cost one
    transaction for each of its lines; and an outcome takes along those that still wait, so that a small step
    costs one for its intent and one for its outcome. Whoever watches sees them `LAG` later at most.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[Event] = []
        self._writer: asyncio.Task[None] | None = None
        self._at_once = asyncio.Event()

    async def entries(self, execution_id: str) -> tuple[JournalEntry, ...]:
        async with self._store.reading() as tx:
            return await tx.journal.entries(execution_id)

    async def hold(self, execution_id: str, epoch: int) -> None:
        async with self._store.reading() as tx:
            now = await tx.executions.get(execution_id, client=EVERY_CLIENT)
        if now.epoch > epoch:
            raise Conflict(
                f"Found execution {execution_id} taken over by worker epoch {now.epoch}; this one is {epoch}.",
                allowed="Only the newest worker goes on with it.",
            )

    async def finish(
        self, intent: StepIntent, outcome: AttemptRecord | None, step_status: StepStatus | None, reason: str = ""
    ) -> None:
        events, self._waiting = self._waiting, []
        try:
            async with self._store.transaction() as tx:
                await tx.journal.finish(intent, outcome, step_status, reason)
                for event in events:
                    await tx.events.append(event)
        except BaseException:
            self._waiting = events + self._waiting
            raise

    async def emit(self, event: Event) -> None:
        self._waiting.append(event)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_waiting())

    async def flush(self) -> None:
        """Wait until every event that was emitted is stored, or given up."""
        self._at_once.set()
        try:
            while self._writer is not None and not self._writer.done():
                await self._writer
        finally:
            self._at_once.clear()

    async def _write_waiting(self) -> None:
        while self._waiting:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAG):
                    await self._at_once.wait()
            if not self._waiting:
                return  # an outcome took them along
            events, self._waiting = self._waiting, []
            reached(KillPoint.BEFORE_EVENTS, events[0].subject_id)
            try:
                async with self._store.transaction() as tx:
                    for event in events:
                        await tx.events.append(event)
            except RunwrightError as error:
                # Events are for whoever watches and never the source of truth: the run goes on.
                logger.warning("%d events were not stored: %s", len(events), error)
