"""The stream of a run's events: from any point, to its end, while it happens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest

from runwright.model.executions import Event, EventKind, ExecutionStatus
from runwright.model.principals import Role
from runwright.surfaces.api import guard
from runwright.surfaces.client import RunwrightClient
from support import records
from support.house import ADMIN, House, grant, served
from surfaces import seed
from surfaces.conftest import History


def _messages(text: str) -> list[dict[str, str]]:
    """Server-sent events as fields."""
    blocks = [block for block in text.replace("\r\n", "\n").split("\n\n") if block.strip()]
    return [dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":")) for block in blocks]


async def test_a_stream_goes_on_behind_the_last_event_seen(told: House, history: History) -> None:
    path = f"/api/executions/{history.seeded.execution_id}/events"
    async with await told.speaking(grant(Role.VIEWER)) as http:
        answer = await http.get(path)
        assert answer.headers["content-type"].startswith("text/event-stream")
        whole = _messages(answer.text)
        steps = seed.recorded_run("failed_run").steps
        told_of = [json.loads(message["data"])["data"] for message in whole]
        assert [data["status"] for data in told_of[:-2] if "step" not in data] == ["running", "failure"]
        assert [data["stage"] for data in told_of[-2:]] == ["started", "finished"]
        assert len(whole) == 2 + 2 * len(steps) + 2
        for after in (0, 3, len(whole) - 1):
            seen = whole[after - 1]["id"] if after else "0"
            rest = _messages((await http.get(path, headers={"Last-Event-ID": seen})).text)
            assert rest == whole[after:]
        # Nothing is left, and the run is over: the stream ends at once.
        assert _messages((await http.get(path, headers={"Last-Event-ID": whole[-1]["id"]})).text) == []


@pytest.mark.parametrize("number", ["-1", "abc", "1.5", "9" * 400])
async def test_a_number_that_is_none_is_refused(told: House, history: History, number: str) -> None:
    async with await told.speaking(grant(Role.VIEWER)) as http:
        path = f"/api/executions/{history.seeded.execution_id}/events"
        answer = await http.get(path, headers={"Last-Event-ID": number})
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_strangers_stream_is_refused_before_its_first_byte(told: House, history: History) -> None:
    async with await told.speaking(grant(Role.VIEWER, "rival")) as http:
        for path in (f"/api/executions/{history.seeded.execution_id}/events", "/api/executions/none/events"):
            answer = await http.get(path)
            assert answer.status_code == 404
            assert answer.headers["content-type"] == "application/problem+json"


async def test_a_run_is_followed_while_it_happens(told: House) -> None:
    """Held by a switch on the way, which is an event and no status."""
    secret = await told.person("ada", grant(Role.VIEWER))
    store = told.services.store

    async def tell(status: str) -> None:
        event = records.event("exe-live", kind=EventKind.EXECUTION_STATUS, data={"status": status})
        async with store.transaction() as tx:
            await tx.events.append(event)

    execution = records.execution("exe-live", status=ExecutionStatus.RUNNING)
    async with store.transaction() as tx:
        await tx.executions.add(execution)
    async with served(told) as url:
        with RunwrightClient(url, secret) as client:
            stream: Iterator[Event] = client.events("exe-live")

            async def after(status: str) -> str:
                await tell(status)
                return str((await asyncio.to_thread(next, stream)).data["status"])

            for status in ("running", "held", "running"):
                assert await after(status) == status
            async with store.transaction() as tx:
                await tx.executions.replace(execution, execution.model_copy(update={"status": ExecutionStatus.SUCCESS}))
            assert await after("success") == "success"
            assert await asyncio.to_thread(next, stream, None) is None


@pytest.mark.parametrize("end", ["logout", "revoke"])
async def test_a_stream_ends_with_the_login_that_asked_for_it(
    told: House, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr(guard, "STANDING_SECONDS", 0.0)
    access, store = told.services.access, told.services.store
    if end == "revoke":
        token, secret = await access.create_token(ADMIN, "robot", grants=[grant(Role.VIEWER)])
    else:
        secret = await told.person("ada", grant(Role.VIEWER))
    async with store.transaction() as tx:
        await tx.executions.add(records.execution("exe-live", status=ExecutionStatus.RUNNING))
        await tx.events.append(records.event("exe-live", kind=EventKind.EXECUTION_STATUS, data={"status": "running"}))
    async with served(told) as url:
        with RunwrightClient(url, secret) as client:
            stream = client.events("exe-live")
            assert (await asyncio.to_thread(next, stream)).data["status"] == "running"
            if end == "revoke":
                await access.revoke_token(ADMIN, token.id)
            else:
                await access.logout(secret)
            async with asyncio.timeout(20):
                assert await asyncio.to_thread(next, stream, None) is None
