"""Trials of a candidate, as learning and review see them."""

from __future__ import annotations

from typing import Protocol

from runwright.model.documents import RunbookDocument
from runwright.model.executions import ExecutionResult
from runwright.model.lab import TrialReport


class TrialRunner(Protocol):
    """Tries a candidate on fresh machines with the faults that fit a failed execution."""

    async def try_candidate(
        self, document: RunbookDocument, version_id: str, digest: str, failed: ExecutionResult | None
    ) -> tuple[TrialReport, ...]:
        """One report per scenario known to fit. Empty if none fits. Raises NoMachine where there is no lab."""
        ...
