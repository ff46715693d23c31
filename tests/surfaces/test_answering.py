"""A run that waits for a person, on every surface: shown as waiting, answered once, by people alone."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from typing import Any

import pytest

from runwright.model.executions import EventKind, ExecutionStatus
from runwright.model.hosts import LocalConnection, NewHost
from runwright.model.ports.store import EVERY_CLIENT
from runwright.model.principals import Role
from runwright.model.questions import Question
from runwright.surfaces.cli.execution import event_line
from support import records
from support.house import ADMIN, PASSWORD, House, grant, served
from surfaces.cli.conftest import Cli, cli

__all__ = ["cli"]

HOSTILE = "Really? <script>alert(1)</script>\u202e"


@pytest.fixture
async def waiting(house: House) -> Question:
    """An execution of client acme that waits for a yes or no."""
    await house.services.inventory.add_client(ADMIN, "acme", "Acme")
    new = NewHost(client_id="acme", hostname="web-1", connection=LocalConnection())
    host = await house.services.inventory.add_host(ADMIN, new)
    now = house.services.clock.now()
    question = records.question(text=HOSTILE, asked_at=now, expires_at=now + timedelta(hours=1))
    run = records.execution(host_id=host.id, epoch=1, waiting_for=question.id)
    async with house.services.store.transaction() as tx:
        await tx.incidents.add(records.incident(host_id=host.id))
        await tx.executions.add(run)
        await tx.executions.put_result(records.result(status=ExecutionStatus.PENDING, question=question))
        await tx.questions.add(question)
    return question


async def _stored(house: House) -> tuple[Any, Any]:
    async with house.services.store.reading() as tx:
        return (
            await tx.executions.get("exe-1", client=EVERY_CLIENT),
            await tx.questions.get("exe-1.steps.ask.1", client=EVERY_CLIENT),
        )


async def test_the_api_takes_one_fitting_answer_of_a_person(house: House, waiting: Question) -> None:
    path = "/api/executions/exe-1/answers"
    async with await house.speaking(grant(Role.OPERATOR, "acme")) as http:
        asked = (await http.get("/api/questions", params={"status": "open"})).json()["items"]
        assert [(item["id"], item["text"]) for item in asked] == [(waiting.id, HOSTILE)]
        assert (await http.get("/api/executions/exe-1/result")).json()["question"]["parameter"] == "sure"
        wrong = await http.post(path, json={"value": "perhaps"})
        assert (wrong.status_code, "true or false" in wrong.text) == (422, True)
        other = await http.post(path, json={"value": True, "question": "exe-1.steps.other.1"})
        assert other.status_code == 409
        right = await http.post(path, json={"value": True, "question": waiting.id})
        assert (right.status_code, right.json()["waiting_for"]) == (202, None)
        assert (await http.post(path, json={"value": True})).status_code == 409
        assert (await http.get("/api/questions", params={"status": "open"})).json()["items"] == []
    run, question = await _stored(house)
    assert (run.epoch, question.value, question.answered_by_name) == (2, True, "ada")


async def test_machines_viewers_and_strangers_do_not_answer(house: House, waiting: Question) -> None:
    secrets = {
        await house.machine(grant(Role.ADMIN)): 403,
        await house.person("vic", grant(Role.VIEWER)): 403,
        await house.person("eve", grant(Role.OPERATOR, "other")): 404,
    }
    for secret, status in secrets.items():
        async with house.anonymous(Authorization=f"Bearer {secret}") as http:
            answer = await http.post("/api/executions/exe-1/answers", json={"value": True})
            assert answer.status_code == status, answer.text
    assert (await _stored(house))[1].value is None


async def test_an_answer_after_its_time_is_refused_and_the_run_goes_on(house: House, waiting: Question) -> None:
    late = waiting.model_copy(update={"expires_at": house.services.clock.now()})
    async with house.services.store.transaction() as tx:
        await tx.questions.replace(waiting, late)
    async with await house.speaking(grant(Role.OPERATOR)) as http:
        answer = await http.post("/api/executions/exe-1/answers", json={"value": True})
        assert (answer.status_code, "expired" in answer.text) == (409, True)
    run, question = await _stored(house)
    assert (run.waiting_for, question.status.value) == (None, "expired")


async def test_the_dashboard_shows_the_question_and_takes_the_answer(house: House, waiting: Question) -> None:
    await house.add_person("ada", grant(Role.OPERATOR))
    async with house.anonymous() as http:
        await http.post("/login", data={"name": "ada", "password": PASSWORD})
        host_id = (await _stored(house))[0].host_id
        for listing in ("/executions", "/hosts", f"/hosts/{host_id}"):
            assert "waits for a person" in (await http.get(listing)).text, listing
        html = (await http.get("/executions/exe-1")).text
        assert "&lt;script&gt;" in html
        assert "<script>alert" not in html
        assert "\u202e" not in html
        token = re.search(r'name="csrf_token" value="([^"]+)"', html)
        assert token is not None
        assert f'name="question" value="{waiting.id}"' in html
        form = {"value": "true", "question": waiting.id}
        assert (await http.post("/executions/exe-1/answer", data=form)).status_code == 403
        answer = await http.post("/executions/exe-1/answer", data={**form, "csrf_token": token[1]})
        assert answer.status_code == 303, answer.text
        assert "A person is asked" not in (await http.get("/executions/exe-1")).text
        again = await http.post("/executions/exe-1/answer", data={**form, "csrf_token": token[1]})
        assert again.status_code == 409


async def test_who_may_not_run_sees_the_question_without_a_form(house: House, waiting: Question) -> None:
    await house.add_person("vic", grant(Role.VIEWER))
    async with house.anonymous() as http:
        await http.post("/login", data={"name": "vic", "password": PASSWORD})
        html = (await http.get("/executions/exe-1")).text
    assert "A person is asked" in html
    assert 'action="/executions/exe-1/answer"' not in html


async def test_the_command_line_asks_and_answers(
    house: House, waiting: Question, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(house) as url:
        monkeypatch.setenv("RUNWRIGHT_URL", url)
        monkeypatch.setenv("RUNWRIGHT_TOKEN", await house.person("ada", grant(Role.OPERATOR)))
        listed = await asyncio.to_thread(cli, "execution", "list")
        assert "waits for a person" in " ".join(listed.out.split())
        incident = await asyncio.to_thread(cli, "incident", "show", "inc-1")
        assert "waits for a person" in " ".join(incident.out.split())
        asked = await asyncio.to_thread(cli, "execution", "questions", "--json")
        assert (asked.status, asked.data[0]["execution_id"]) == (0, "exe-1")
        assert "asks for sure: boolean" in (await asyncio.to_thread(cli, "execution", "show", "exe-1")).out
        wrong = await asyncio.to_thread(cli, "execution", "answer", "exe-1", "--value", "perhaps")
        assert (wrong.status, "true or false" in wrong.err) == (3, True)
        right = await asyncio.to_thread(cli, "execution", "answer", "exe-1", "--value", "true", "--json")
        assert (right.status, right.data["waiting_for"]) == (0, None)
        assert (await asyncio.to_thread(cli, "execution", "answer", "exe-1", "--value", "true")).status == 1
        assert (await asyncio.to_thread(cli, "execution", "questions")).status == 1
    assert (await _stored(house))[1].value is True


def test_who_follows_is_told_how_to_answer(clock: Any) -> None:
    told = {"status": "open", "parameter": "sure", "text": "Really?", "step": "ask"}
    event = records.Event(client_id="acme", subject_id="exe-1", kind=EventKind.QUESTION, at=clock.now(), data=told)
    assert "runwright execution answer exe-1 --value" in event_line(event)
    over = event.model_copy(update={"data": {**told, "status": "answered", "by": "Ann"}})
    assert event_line(over).endswith("the question of ask is answered by Ann")
