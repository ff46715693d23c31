"""The gate and the journal, as execution sees them."""

from __future__ import annotations

from typing import Protocol

from runwright.model.admission import AdmittedRunbook
from runwright.model.executions import AttemptRecord, Event, JournalEntry, StepIntent, StepStatus


class Gate(Protocol):
    """Decides, again before every step, whether an execution may go on."""

    async def admit(self, execution_id: str, intent: StepIntent | None = None) -> AdmittedRunbook:
        """Check signature, digest, scope, expiry, activation, routing approval, policy and stop switch.

        With an intent, journals it in the transaction of the check. Raises GateRefused saying what
        did not hold, Conflict if the intent's epoch is no longer the newest.
        """
        ...


class Journal(Protocol):
    """What was intended and what came of it, per execution. Intents are written by the gate only."""

    async def entries(self, execution_id: str) -> tuple[JournalEntry, ...]:
        """In the order in which they were intended."""
        ...

    async def hold(self, execution_id: str, epoch: int) -> None:
        """Raises Conflict if a worker newer than `epoch` has taken the execution over."""
        ...

    async def finish(
        self, intent: StepIntent, outcome: AttemptRecord | None, step_status: StepStatus | None, reason: str = ""
    ) -> None:
        """Store the outcome of an intent. Raises Conflict if a newer worker has taken the execution over."""
        ...

    async def emit(self, event: Event) -> None:
        """Tell whoever watches. Losing one loses nothing."""
        ...
