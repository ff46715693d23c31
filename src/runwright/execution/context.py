"""What every part of one run needs: the ports, the admission, the way out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any, TypeVar

from runwright.execution.looks import Looker
from runwright.execution.request import RunRequest
from runwright.model.admission import AdmittedRunbook
from runwright.model.errors import GateReason, GateRefused, Held, StorageUnavailable
from runwright.model.executions import Event, EventKind, ExecutionStatus, StepIntent
from runwright.model.ports.clock import Clock
from runwright.model.ports.gate import Gate, Journal
from runwright.model.ports.hosts import HostSession
from runwright.model.questions import Question

T = TypeVar("T")

HOLD_INTERVAL = 1.0
"""Seconds between two questions to a gate that holds the run."""
HEED_INTERVAL = 0.5
"""Seconds between two looks for a cancel or a stop switch while something is under way on the host."""


class Interruption(Enum):
    """What a person wants of a run that is under way."""

    CANCEL = "cancel"
    STOP = "stop"


class RunEnd(Exception):
    """The run stops here, before its own end."""

    def __init__(self, status: ExecutionStatus, code: str, message: str, step: str | None = None) -> None:
        self.status = status
        self.code = code
        self.message = message
        self.step = step
        super().__init__(message)


class Waits(Exception):
    """The run can go on only when a person has answered; until then it holds neither worker nor host."""

    def __init__(self, question: Question) -> None:
        self.question = question
        super().__init__(question.text)


class RunContext:
    """One run's ports. `admit` is the only way to a document."""

    def __init__(
        self, request: RunRequest, *, gate: Gate, journal: Journal, session: HostSession, clock: Clock
    ) -> None:
        self.request = request
        self.journal = journal
        self.session = session
        self.clock = clock
        self.looker = Looker(request.brief)
        self._gate = gate
        self._last: AdmittedRunbook | None = None

    async def admit(self, intent: StepIntent | None = None, *, step: str | None = None) -> AdmittedRunbook:
        """Ask the gate; while a stop switch holds the run, wait and ask again.

        Raises GateRefused, also when what was admitted is not for this host or not this content;
        RunEnd when the run is cancelled meanwhile.
        """
        told = False
        while True:
            await self.check_cancelled(step)
            try:
                admitted = await self._gate.admit(self.request.execution_id, intent)
                break
            except Held as held:
                if not told:
                    await self.emit(EventKind.EXECUTION_STATUS, status="held", reason=held.found)
                told = True
                await self.clock.sleep(HOLD_INTERVAL)
        if told:
            await self.emit(EventKind.EXECUTION_STATUS, status=ExecutionStatus.RUNNING.value)
        if not admitted.permits(self.session.identity):
            raise GateRefused(
                f"Found host {self.session.identity.host_id}, for which {admitted.version_id} was not admitted.",
                reason=GateReason.MISMATCH,
            )
        if admitted.digest != self.request.runbook_ref.digest:
            raise GateRefused(
                f"Found {admitted.digest} admitted where {self.request.runbook_ref.digest} was asked for.",
                reason=GateReason.MISMATCH,
            )
        self._last = admitted
        return admitted

    @property
    def last(self) -> AdmittedRunbook:
        """What the gate admitted last; for reading, never for running."""
        if self._last is None:
            raise RuntimeError("the gate is asked before the first step")
        return self._last

    async def interruption(self) -> Interruption | None:
        """Whether the run is to end or to hold. A database that is away says neither."""
        try:
            if await self.is_cancelled():
                return Interruption.CANCEL
            stopped = self.request.stopped is not None and await self.request.stopped()
        except StorageUnavailable:
            return None
        return Interruption.STOP if stopped else None

    async def heed(self, ask: Callable[[], Awaitable[T]], step: str | None = None) -> T:
        """Do something that changes nothing on the host, and leave off soon when a person wants that.

        A cancel ends it with RunEnd; while a stop switch holds the run nothing is asked, then all of it anew.
        """
        while True:
            task = asyncio.ensure_future(ask())
            wanted = None
            try:
                while wanted is None:
                    done, _ = await asyncio.wait({task}, timeout=HEED_INTERVAL)
                    if done:
                        return task.result()
                    wanted = await self.interruption()
            finally:
                if not task.done():
                    task.cancel()
                    await asyncio.wait({task})
            await self.check_cancelled(step)
            await self.admit(step=step)

    async def is_cancelled(self) -> bool:
        return self.request.cancelled is not None and await self.request.cancelled()

    async def check_cancelled(self, step: str | None = None) -> None:
        """Raises RunEnd when the run is to be cancelled."""
        if await self.is_cancelled():
            raise RunEnd(ExecutionStatus.CANCELLED, "cancelled", "The run was cancelled before it was done.", step)

    async def pause(self, seconds: float, step: str) -> None:
        """Wait between two attempts, listening for a cancel once a second."""
        left = seconds
        while left > 0:
            await self.check_cancelled(step)
            await self.clock.sleep(min(left, 1.0))
            left -= 1.0

    async def emit(self, kind: EventKind, **data: Any) -> None:
        """Tell whoever watches this execution."""
        await self.journal.emit(
            Event(
                client_id=self.request.client_id,
                subject_id=self.request.execution_id,
                kind=kind,
                at=self.clock.now(),
                data=data,
            )
        )
