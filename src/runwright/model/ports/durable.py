"""Queues that survive restarts."""

from __future__ import annotations

from typing import Protocol


class WorkQueue(Protocol):
    """Hands ids to workers. Enqueuing an id that is known already does nothing."""

    async def enqueue_execution(self, execution_id: str, *, host_id: str, priority: int, take: int = 0) -> None:
        """One execution per host at a time; lower priority number first. `take` tells re-queuings apart."""
        ...

    async def enqueue_plan(self, plan_id: str, *, host_id: str, priority: int) -> None:
        """Look at the host and say what would run, in turn with its executions."""
        ...

    async def enqueue_learning(self, execution_id: str, *, take: int = 0) -> None:
        """Learn from a failed execution; never blocks one. `take` tells re-queuings apart."""
        ...

    async def enqueue_test(self, subject_id: str, request_id: str) -> None:
        """Try a review subject in the lab."""
        ...

    async def enqueue_check(self, check_id: str) -> None:
        """Look at whether a host can be reached and worked on."""
        ...
