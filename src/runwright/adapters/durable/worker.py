"""The worker's end: launches DBOS and hands ids to the handlers."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from dbos import DBOS
from sqlalchemy.exc import OperationalError

from runwright.adapters.durable.lease import BEAT, ExecutorLease
from runwright.adapters.durable.system import (
    CHECKS,
    EXECUTIONS,
    LEARNING,
    TESTS,
    client,
    configuration,
    prepare,
    system_address,
)
from runwright.model.errors import Conflict, StorageUnavailable

logger = logging.getLogger(__name__)

RUN_EXECUTION = "runwright.run_execution"
LEARN = "runwright.learn"
TEST_SUBJECT = "runwright.test_subject"
CHECK_HOST = "runwright.check_host"
MAKE_PLAN = "runwright.make_plan"

FIRST_RETRY = 0.25
LAST_RETRY = 4.0
"""Seconds between two tries while a database is away: at first, and at most."""
STRAYS = 5
"""Every so many beats, work is looked for that is this worker's by the database and that it does not do."""

RECOVERIES = 10_000
"""How often one workflow is taken up again after a crash before DBOS gives up on it."""


async def _checks_nothing(check_id: str) -> None:
    raise Conflict(f"Found host check {check_id}, and a worker that checks no hosts.")


async def _plans_nothing(plan_id: str) -> None:
    raise Conflict(f"Found plan {plan_id}, and a worker that makes no plans.")


@dataclass(frozen=True)
class WorkHandlers:
    """What the worker does with an id. Each may be called again for the same id and must go on or do nothing."""

    run_execution: Callable[[str], Awaitable[object]]
    learn: Callable[[str], Awaitable[object]]
    test_subject: Callable[[str, str], Awaitable[object]]
    check_host: Callable[[str], Awaitable[object]] = _checks_nothing
    make_plan: Callable[[str], Awaitable[object]] = _plans_nothing


class _Running:
    """The handlers of this process and the workflows at work. DBOS is one per process, so is this."""

    def __init__(self) -> None:
        self.handlers: WorkHandlers | None = None
        self.active: set[str | None] = set()


_running = _Running()


async def _call(what: str, work: Callable[[WorkHandlers], Awaitable[object]]) -> None:
    """The one step of a workflow. Its outcome is in our own store, so nothing is returned to DBOS.

    While the database is away, or its disk full, the work waits and goes on afterwards: a handler may be called
    again at any time.
    """
    workflow, delay = DBOS.workflow_id, FIRST_RETRY
    _running.active.add(workflow)
    try:
        while True:
            handlers = _running.handlers
            if handlers is None:
                raise Conflict(
                    f"Found work for {what}, and a worker that is stopping.", next_step="It is taken up again."
                )
            try:
                await work(handlers)
                return
            except StorageUnavailable as away:
                logger.warning("Work on %s goes on when its database does: %s", what, away)
            await asyncio.sleep(delay)
            delay = min(2 * delay, LAST_RETRY)
    except Exception:
        # DBOS keeps the error with the workflow; whoever queued it finds the record unfinished and queues it anew.
        logger.exception("Work on %s failed unexpectedly.", what)
        raise
    finally:
        _running.active.discard(workflow)


@DBOS.workflow(name=RUN_EXECUTION, max_recovery_attempts=RECOVERIES)
async def _run_execution(execution_id: str) -> None:
    async def step() -> None:
        await _call(f"execution {execution_id}", lambda handlers: handlers.run_execution(execution_id))

    await DBOS.run_step_async({"name": "run"}, step)


@DBOS.workflow(name=LEARN, max_recovery_attempts=RECOVERIES)
async def _learn(execution_id: str) -> None:
    async def step() -> None:
        await _call(f"learning from {execution_id}", lambda handlers: handlers.learn(execution_id))

    await DBOS.run_step_async({"name": "learn"}, step)


@DBOS.workflow(name=TEST_SUBJECT, max_recovery_attempts=RECOVERIES)
async def _test_subject(subject_id: str, request_id: str) -> None:
    async def step() -> None:
        await _call(f"test {request_id}", lambda handlers: handlers.test_subject(subject_id, request_id))

    await DBOS.run_step_async({"name": "test"}, step)


@DBOS.workflow(name=CHECK_HOST, max_recovery_attempts=RECOVERIES)
async def _check_host(check_id: str) -> None:
    async def step() -> None:
        await _call(f"host check {check_id}", lambda handlers: handlers.check_host(check_id))

    await DBOS.run_step_async({"name": "check"}, step)


@DBOS.workflow(name=MAKE_PLAN, max_recovery_attempts=RECOVERIES)
async def _make_plan(plan_id: str) -> None:
    async def step() -> None:
        await _call(f"plan {plan_id}", lambda handlers: handlers.make_plan(plan_id))

    await DBOS.run_step_async({"name": "plan"}, step)


class DurableWorker:
    """Takes work from the queues while it is started. One per process.

    After a crash, a worker that starts with the same executor id takes up its unfinished work by itself.
    """

    def __init__(self, system_url: str, executor_id: str, handlers: WorkHandlers) -> None:
        """`system_url` is the queue's own database; `executor_id` must stay the same over restarts."""
        self._address = system_address(system_url)
        self._executor_id = executor_id
        self._handlers = handlers
        self._lease = ExecutorLease(self._address, executor_id)
        self._keeping: asyncio.Task[None] | None = None
        self._strays: set[str] = set()
        self.lost = asyncio.Event()
        """Set once another worker has taken over: this process must end at once (`os._exit`), touching nothing."""

    async def start(self) -> None:
        """Take up unfinished work and begin to listen. Handlers run on this event loop.

        Raises Conflict if this process has a worker already or another live one has this executor id,
        StorageUnavailable when the database does not answer.
        """
        if _running.handlers is not None:
            raise Conflict("Found a worker in this process already.", allowed="One worker per process.")
        try:
            await asyncio.to_thread(prepare, self._address)
            await asyncio.to_thread(self._lease.take)
        except OperationalError as error:
            raise StorageUnavailable(
                f"The queue's database did not answer: {error.orig}", next_step="Start it, then the worker again."
            ) from error
        _running.handlers = self._handlers
        try:
            DBOS(config=configuration(self._address, self._executor_id))
            DBOS.listen_queues([EXECUTIONS, LEARNING, TESTS, CHECKS])
            DBOS.launch()  # in this thread: DBOS adopts the loop that runs here for the handlers
            self._keeping = asyncio.create_task(self._keep())
        except BaseException:
            await self.stop()
            raise

    async def stop(self, grace: float = 0.0) -> int:
        """Take nothing more, wait up to `grace` seconds for what is under way, and return how much still is.

        What still is goes on here until the process ends. Let the process end at once then (`os._exit`)
        rather than cancel it: cancelling an attempt ends it on the host, while a process that is gone
        leaves it running, and the next worker adopts its outcome.
        """
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait({self._keeping})
        patience = math.ceil(grace) if _running.active else 0
        await asyncio.to_thread(DBOS.destroy, workflow_completion_timeout_sec=patience)
        _running.handlers = None
        # DBOS made its own thread pool the loop's, and has just shut it down: give the loop a fresh one.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(thread_name_prefix="runwright-"))
        await asyncio.to_thread(self._lease.release)
        return len(_running.active)

    async def _keep(self) -> None:
        """Give signs of life, and take up again what slipped through DBOS's hands."""
        beats = 0
        while True:
            await asyncio.sleep(BEAT)
            beats += 1
            try:
                await asyncio.to_thread(self._lease.beat)
                if beats % STRAYS == 0:
                    await asyncio.to_thread(self._resume_strays)
            except Conflict as taken:
                logger.error("%s", taken)
                self.lost.set()
                return
            except (StorageUnavailable, OperationalError) as away:
                logger.warning("No sign of life could be given: %s", away)

    def _resume_strays(self) -> None:
        """Queue again what is this worker's by the database for longer than a look and that nobody works on.

        DBOS tries again when a connection is lost, but gives up where it cannot write down how a workflow ended (a
        full disk): until the next start its host would wait for it.
        """
        looking = client(self._address)
        try:
            mine = looking.list_workflows(status="PENDING", executor_id=self._executor_id, load_input=False)
            idle = {one.workflow_id: one.queue_name for one in mine if one.workflow_id not in _running.active}
            for workflow_id in self._strays & set(idle):
                logger.warning("Found %s left lying; it is queued again.", workflow_id)
                looking.resume_workflow(workflow_id, queue_name=idle[workflow_id])
            self._strays = set(idle) - self._strays
        finally:
            looking.destroy()
