"""The enqueuing end, for the API process and the loop."""

from __future__ import annotations

import asyncio

from dbos import DBOSClient, EnqueueOptions, WorkflowHandleAsync
from sqlalchemy.exc import OperationalError

from runwright.adapters.durable.system import (
    APPLICATION_VERSION,
    CHECKS,
    EXECUTIONS,
    LEARNING,
    TESTS,
    client,
    prepare,
    system_address,
)
from runwright.adapters.durable.worker import CHECK_HOST, LEARN, MAKE_PLAN, RUN_EXECUTION, TEST_SUBJECT
from runwright.model.errors import StorageUnavailable

BROKEN_OFF = ("ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")
"""Statuses of workflows that ended without doing what they were for."""
AGAIN = 100
"""How often work that broke off unclaimed is queued again."""


class DurableQueue:
    """Implements the `WorkQueue` port. The id of the work is the id of its workflow, so twice is once."""

    def __init__(self, system_url: str) -> None:
        self._address = system_address(system_url)
        self._client: DBOSClient | None = None
        self._opening = asyncio.Lock()

    async def enqueue_execution(self, execution_id: str, *, host_id: str, priority: int, take: int = 0) -> None:
        """One at a time per host over all workers; lower priority number first, then first come.

        Work that broke off before its execution was claimed has the same `take` when it is queued again; it gets an
        id of its own then, for an ended workflow is never started again.
        """
        options = EnqueueOptions(
            workflow_name=RUN_EXECUTION,
            queue_name=EXECUTIONS,
            workflow_id=f"execution:{execution_id}:{take}",
            queue_partition_key=host_id,
            priority=priority,
        )
        for again in range(1, AGAIN + 1):
            if await self._enqueue(options, execution_id) not in BROKEN_OFF:
                return
            options["workflow_id"] = f"execution:{execution_id}:{take}.{again}"

    async def enqueue_plan(self, plan_id: str, *, host_id: str, priority: int) -> None:
        """Among the runs of the host: what a run leaves behind is what a plan must see."""
        options = EnqueueOptions(
            workflow_name=MAKE_PLAN,
            queue_name=EXECUTIONS,
            workflow_id=f"plan:{plan_id}",
            queue_partition_key=host_id,
            priority=priority,
        )
        await self._enqueue(options, plan_id)

    async def enqueue_learning(self, execution_id: str, *, take: int = 0) -> None:
        options = EnqueueOptions(workflow_name=LEARN, queue_name=LEARNING, workflow_id=f"learn:{execution_id}:{take}")
        await self._enqueue(options, execution_id)

    async def enqueue_test(self, subject_id: str, request_id: str) -> None:
        options = EnqueueOptions(
            workflow_name=TEST_SUBJECT, queue_name=TESTS, workflow_id=f"test:{subject_id}:{request_id}"
        )
        await self._enqueue(options, subject_id, request_id)

    async def enqueue_check(self, check_id: str) -> None:
        options = EnqueueOptions(workflow_name=CHECK_HOST, queue_name=CHECKS, workflow_id=f"check:{check_id}")
        await self._enqueue(options, check_id)

    async def close(self) -> None:
        """Let the database go."""
        opened, self._client = self._client, None
        if opened is not None:
            await asyncio.to_thread(opened.destroy)

    async def _enqueue(self, options: EnqueueOptions, *ids: str) -> str:
        """Queue it, unless its workflow is known; the workflow's status."""
        options["app_version"] = APPLICATION_VERSION
        try:
            opened = await self._open()
            handle: WorkflowHandleAsync[None] = await opened.enqueue_async(options, *ids)
            return str((await handle.get_status()).status)
        except OperationalError as error:
            raise StorageUnavailable(
                f"The queue's database did not answer: {error.orig}",
                next_step="Nothing was queued; it is tried again by the next sweep.",
            ) from error

    async def _open(self) -> DBOSClient:
        async with self._opening:
            if self._client is None:
                await asyncio.to_thread(prepare, self._address)
                self._client = client(self._address)
            return self._client
