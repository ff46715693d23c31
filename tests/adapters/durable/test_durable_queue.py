"""The queue and one worker in this process, on both databases."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from runwright.adapters.durable.queue import DurableQueue
from runwright.adapters.durable.worker import DurableWorker, WorkHandlers
from runwright.model.errors import Conflict, InvalidInput, StorageUnavailable


class Recorder:
    """Handlers that write down what they were called with, and may be held."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.active: Counter[str] = Counter()
        self.most_at_once: Counter[str] = Counter()
        self.changed = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.away = 0

    async def run(self, execution_id: str) -> None:
        host = execution_id.split("-")[0]
        self._note("run", execution_id)
        if self.away:
            self.away -= 1
            raise StorageUnavailable("the database is away")
        self.active[host] += 1
        self.most_at_once[host] = max(self.most_at_once[host], self.active[host])
        await self.gate.wait()
        await asyncio.sleep(0)
        self.active[host] -= 1
        if execution_id.endswith("broken"):
            raise OSError("the handler itself is broken")

    async def learn(self, execution_id: str) -> None:
        self._note("learn", execution_id)

    async def test(self, subject_id: str, request_id: str) -> None:
        self._note("test", subject_id, request_id)

    async def check(self, check_id: str) -> None:
        self._note("check", check_id)

    def _note(self, *call: str) -> None:
        self.calls.append(call)
        self.changed.set()

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self.calls) < count:
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def queue(queue_url: str) -> AsyncIterator[DurableQueue]:
    opened = DurableQueue(queue_url)
    yield opened
    await opened.close()


Start = Callable[[], Awaitable[DurableWorker]]


@pytest.fixture
async def start(queue_url: str, recorder: Recorder) -> AsyncIterator[Start]:
    started: list[DurableWorker] = []

    async def starting() -> DurableWorker:
        handlers = WorkHandlers(recorder.run, recorder.learn, recorder.test, check_host=recorder.check)
        worker = DurableWorker(queue_url, "worker-1", handlers)
        await worker.start()
        started.append(worker)
        return worker

    yield starting
    for worker in started:
        await worker.stop()


async def test_each_kind_of_work_reaches_its_handler(queue: DurableQueue, start: Start, recorder: Recorder) -> None:
    await start()
    await queue.enqueue_execution("h1-a", host_id="h1", priority=2)
    await queue.enqueue_learning("h1-a")
    await queue.enqueue_test("RB-X-v2", "request-1")
    await queue.enqueue_check("chk-1")
    await recorder.wait_for(4)
    assert sorted(recorder.calls) == [
        ("check", "chk-1"),
        ("learn", "h1-a"),
        ("run", "h1-a"),
        ("test", "RB-X-v2", "request-1"),
    ]


async def test_one_run_per_host_and_the_more_severe_first(
    queue: DurableQueue, start: Start, recorder: Recorder
) -> None:
    for execution_id, priority in (("h1-low", 4), ("h1-high", 2), ("h1-critical", 1), ("h1-late-critical", 1)):
        await queue.enqueue_execution(execution_id, host_id="h1", priority=priority)
    await queue.enqueue_execution("h2-only", host_id="h2", priority=4)
    recorder.gate.clear()
    await start()
    await recorder.wait_for(2)
    assert sorted(recorder.calls) == [("run", "h1-critical"), ("run", "h2-only")]
    recorder.gate.set()
    await recorder.wait_for(5)
    on_first_host = [call[1] for call in recorder.calls if call[1].startswith("h1")]
    assert on_first_host == ["h1-critical", "h1-late-critical", "h1-high", "h1-low"]
    assert recorder.most_at_once == {"h1": 1, "h2": 1}


async def test_the_same_id_is_run_once_and_another_take_again(
    queue: DurableQueue, start: Start, recorder: Recorder
) -> None:
    await start()
    for _ in range(3):
        await queue.enqueue_execution("h1-a", host_id="h1", priority=2)
    await recorder.wait_for(1)
    await queue.enqueue_execution("h1-a", host_id="h1", priority=2)
    await queue.enqueue_execution("h1-a", host_id="h1", priority=2, take=1)
    await recorder.wait_for(2)
    await queue.enqueue_execution("h1-z", host_id="h1", priority=4)
    await recorder.wait_for(3)
    assert recorder.calls == [("run", "h1-a"), ("run", "h1-a"), ("run", "h1-z")]


async def test_work_comes_from_another_thread_and_loop(queue_url: str, start: Start, recorder: Recorder) -> None:
    await start()

    async def elsewhere() -> None:
        queue = DurableQueue(queue_url)
        await queue.enqueue_execution("h1-a", host_id="h1", priority=1)
        await queue.close()

    thread = threading.Thread(target=lambda: asyncio.run(elsewhere()))
    thread.start()
    await recorder.wait_for(1)
    thread.join()
    assert recorder.calls == [("run", "h1-a")]


async def test_a_broken_handler_holds_nobody_up_and_is_logged(
    queue: DurableQueue, start: Start, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    await start()
    with caplog.at_level(logging.ERROR):
        await queue.enqueue_execution("h1-broken", host_id="h1", priority=1)
        await queue.enqueue_execution("h1-next", host_id="h1", priority=4)
        await recorder.wait_for(2)
    assert recorder.calls == [("run", "h1-broken"), ("run", "h1-next")]
    assert "execution h1-broken failed unexpectedly" in caplog.text


async def test_what_broke_off_unclaimed_is_queued_again_under_the_same_take(
    queue: DurableQueue, start: Start, recorder: Recorder
) -> None:
    await start()
    for count in (1, 2, 3):
        # each of them breaks off before the next one is queued: they are one host's
        await queue.enqueue_execution("h1-broken", host_id="h1", priority=1)
        await queue.enqueue_execution(f"h1-after{count}", host_id="h1", priority=4)
        await recorder.wait_for(2 * count)
    assert recorder.calls.count(("run", "h1-broken")) == 3


async def test_work_waits_for_a_database_that_is_away_and_goes_on(
    queue: DurableQueue, start: Start, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    recorder.away = 2
    await start()
    await queue.enqueue_execution("h1-a", host_id="h1", priority=1)
    await recorder.wait_for(3)
    assert recorder.calls == [("run", "h1-a")] * 3
    assert "goes on when its database does" in caplog.text


async def test_the_loop_still_has_threads_when_the_worker_has_stopped(start: Start) -> None:
    worker = await start()
    assert await worker.stop() == 0
    assert await asyncio.to_thread(lambda: 7) == 7


async def test_stop_waits_for_what_is_under_way(queue: DurableQueue, start: Start, recorder: Recorder) -> None:
    worker = await start()
    recorder.gate.clear()
    await queue.enqueue_execution("h1-a", host_id="h1", priority=1)
    await recorder.wait_for(1)
    stopping = asyncio.create_task(worker.stop(grace=10))
    await asyncio.sleep(0)
    recorder.gate.set()
    assert await stopping == 0
    assert recorder.active["h1"] == 0


async def test_a_second_worker_with_the_same_executor_id_is_refused(
    queue_url: str, start: Start, recorder: Recorder, start_worker: object
) -> None:
    first = await start()
    same_process = DurableWorker(queue_url, "worker-2", WorkHandlers(recorder.run, recorder.learn, recorder.test))
    with pytest.raises(Conflict, match="One worker per process"):
        await same_process.start()
    await first.stop()


@pytest.mark.parametrize("url", ["mysql://localhost/x", "sqlite://", "sqlite:///:memory:", "postgresql://host"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        DurableQueue(url)
    assert "sqlite:///<file>" in str(refused.value)


async def test_a_database_that_does_not_answer_is_one_clear_error(recorder: Recorder) -> None:
    url = "postgresql://nobody@127.0.0.1:1/none"
    queue = DurableQueue(url)
    with pytest.raises(StorageUnavailable, match="did not answer"):
        await queue.enqueue_execution("h1-a", host_id="h1", priority=1)
    await queue.close()
    worker = DurableWorker(url, "worker-1", WorkHandlers(recorder.run, recorder.learn, recorder.test))
    with pytest.raises(StorageUnavailable, match="did not answer"):
        await worker.start()
