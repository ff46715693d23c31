"""A journal in memory, for runs that no database follows: trials on disposable machines.

Runs under the same contract suite as `StoreJournal`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from runwright.model.errors import Conflict
from runwright.model.executions import AttemptRecord, Event, JournalEntry, StepIntent, StepStatus

Observer = Callable[[Event], Awaitable[None]]


class MemoryJournal:
    """Implements the `Journal` port; `intend` is for the gate that stands before it."""

    def __init__(self, observer: Observer | None = None) -> None:
        """`observer` is told every event, as it comes."""
        self._entries: dict[str, list[JournalEntry]] = {}
        self._epochs: dict[str, int] = {}
        self._observer = observer
        self.events: list[Event] = []

    def claim(self, execution_id: str, epoch: int) -> None:
        """From now on refuse writes of workers with a smaller epoch."""
        self._epochs[execution_id] = max(epoch, self._epochs.get(execution_id, 0))

    async def hold(self, execution_id: str, epoch: int) -> None:
        newest = self._epochs.get(execution_id, 0)
        if epoch < newest:
            raise Conflict(
                f"Found a write of epoch {epoch}; {execution_id} was taken over by epoch {newest}.",
                allowed="Only the newest worker writes to the journal.",
            )

    async def intend(self, intent: StepIntent) -> None:
        """Append an intent. Raises Conflict if a newer worker has the execution, or the attempt is known."""
        await self.hold(intent.execution_id, intent.epoch)
        entries = self._entries.setdefault(intent.execution_id, [])
        if any(entry.intent.attempt_id == intent.attempt_id for entry in entries):
            raise Conflict(f"Found attempt {intent.attempt_id} in the journal already.")
        entries.append(JournalEntry(intent=intent))

    async def entries(self, execution_id: str) -> tuple[JournalEntry, ...]:
        return tuple(self._entries.get(execution_id, ()))

    async def finish(
        self, intent: StepIntent, outcome: AttemptRecord | None, step_status: StepStatus | None, reason: str = ""
    ) -> None:
        await self.hold(intent.execution_id, intent.epoch)
        entries = self._entries.get(intent.execution_id, [])
        for index, entry in enumerate(entries):
            if entry.intent.attempt_id == intent.attempt_id:
                entries[index] = JournalEntry(
                    intent=entry.intent, outcome=outcome, step_status=step_status, reason=reason
                )
                return
        raise Conflict(f"Found no intent of attempt {intent.attempt_id} to finish.")

    async def emit(self, event: Event) -> None:
        self.events.append(event)
        if self._observer is not None:
            await self._observer(event)
