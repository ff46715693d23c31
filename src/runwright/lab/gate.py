"""The lab's gate: admits unreviewed content, to one isolated machine and nowhere else (promise 11)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from runwright.execution.memory_journal import MemoryJournal
from runwright.model.admission import LabRunbook
from runwright.model.documents import RunbookDocument
from runwright.model.errors import Refused
from runwright.model.executions import StepIntent
from runwright.model.ports.machines import Machine


class Tried(Protocol):
    """What a trial needs of a runbook; a `LoadedRunbook` has it."""

    @property
    def document(self) -> RunbookDocument: ...

    @property
    def digest(self) -> str: ...


class LabGate:
    """Implements the `Gate` port for one machine. There is nothing to approve here, so nothing is signed.

    What keeps it safe is the binding: `LabRunbook.permits` is true for the machine given here alone, and
    only the lab's own factory gives a session such an identity.
    """

    def __init__(
        self,
        tried: Tried,
        version_id: str,
        *,
        machine: Machine,
        journal: MemoryJournal,
        called: Mapping[str, RunbookDocument] | None = None,
    ) -> None:
        """`called`: what its `call` steps may name, by digest.

        Raises Refused for a machine whose session is not one of the lab's own."""
        if machine.session.identity.lab_machine != machine.name:
            raise Refused(
                f"Found {machine.name}, which the lab did not isolate itself.",
                allowed="Unreviewed content runs only in a machine of the lab's own factory.",
            )
        self._tried = tried
        self._version_id = version_id
        self._machine = machine.name
        self._journal = journal
        self._called = called

    async def admit(self, execution_id: str, intent: StepIntent | None = None) -> LabRunbook:
        """Journal the intent, if any, and hand out the content for this machine. Raises Conflict like the journal."""
        if intent is not None:
            await self._journal.intend(intent)
        return LabRunbook(
            self._tried.document, self._version_id, self._tried.digest, machine=self._machine, called=self._called
        )
