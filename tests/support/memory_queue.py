"""A queue in memory that keeps the durable one's promise: an id that it has seen is not taken twice."""

from __future__ import annotations


class MemoryQueue:
    """Implements the `WorkQueue` port. `executions` waits to be taken; `learning` is what was asked to be learned."""

    def __init__(self) -> None:
        self.executions: list[str] = []
        self.learning: list[str] = []
        self._seen: set[tuple[str, str, int]] = set()

    async def enqueue_execution(self, execution_id: str, *, host_id: str, priority: int, take: int = 0) -> None:
        if self._new("execution", execution_id, take):
            self.executions.append(execution_id)

    async def enqueue_learning(self, execution_id: str, *, take: int = 0) -> None:
        if self._new("learning", execution_id, take):
            self.learning.append(execution_id)

    async def enqueue_test(self, subject_id: str, request_id: str) -> None:
        raise AssertionError("nothing is tested here")

    def _new(self, kind: str, key: str, take: int) -> bool:
        known = (kind, key, take) in self._seen
        self._seen.add((kind, key, take))
        return not known
