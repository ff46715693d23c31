"""Following a run while the server goes away and comes back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from runwright.model.errors import Unavailable
from runwright.model.executions import Event, EventKind, ExecutionStatus
from runwright.model.ports.clock import Clock
from runwright.surfaces.cli import execution
from runwright.surfaces.client import RunwrightClient


class Wavering:
    """A server as its client sees it: each answer is a list of events, or the server is away."""

    def __init__(self, *answers: list[Event] | None) -> None:
        self.answers = list(answers)
        self.asked: list[int] = []

    def events(self, _: str, after: int) -> Iterator[Event]:
        self.asked.append(after)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            raise Unavailable("Found no Runwright server at http://127.0.0.1:1 (ConnectError).")
        for event in answer:
            yield event
            if not event.data.get("whole", True):
                raise Unavailable("Found no Runwright server at http://127.0.0.1:1 (RemoteProtocolError).")

    def result(self, execution_id: str) -> str:
        return f"result of {execution_id}"


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr(execution, "pause", waited.append)
    return waited


def event(clock: Clock, sequence: int, status: ExecutionStatus, **more: Any) -> Event:
    return Event(
        sequence=sequence,
        client_id="default",
        subject_id="exe_1",
        kind=EventKind.EXECUTION_STATUS,
        at=clock.now(),
        data={"status": status.value, **more},
    )


def follow(server: Wavering) -> Any:
    return execution.follow(cast("RunwrightClient", server), "exe_1")


def test_a_server_that_comes_back_is_followed_on_from_where_it_was(
    clock: Clock, pauses: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    cut = event(clock, 1, ExecutionStatus.RUNNING, whole=False)
    server = Wavering([cut], None, None, [event(clock, 2, ExecutionStatus.SUCCESS)])
    assert follow(server) == "result of exe_1"
    assert server.asked == [0, 1, 1, 1]
    assert len(pauses) == 3
    assert capsys.readouterr().err.count("What it runs goes on") == 1


def test_a_server_that_stays_away_is_not_waited_for_without_end(clock: Clock, pauses: list[float]) -> None:
    server = Wavering(None)
    with pytest.raises(Unavailable):
        follow(server)
    assert len(pauses) == execution.PATIENCE
