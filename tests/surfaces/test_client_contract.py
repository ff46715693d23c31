"""The typed client against the real app over a real socket: every method, every route, every kind of failure."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from runwright.model import errors
from runwright.model.executions import EventKind, ExecutionStatus
from runwright.model.hosts import (
    AcceptedKeys,
    HostChange,
    ImportedHosts,
    LocalConnection,
    NewHost,
    SecretRef,
    SshConnection,
)
from runwright.model.incidents import IncidentStatus, NewIncident
from runwright.model.plans import PlanStatus
from runwright.model.principals import Role
from runwright.model.reviews import ActivationState, ReviewStatus
from runwright.surfaces.client import RunwrightClient
from support.external import reported
from support.house import PASSWORD, House, grant, served
from surfaces import seed
from surfaces.conftest import History

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILH4tZw7ZG8s5/S0y1/eiEjWGOm5pE2T3r20l1LQjIrN"

NO_CALL = {"close"}
"""Public methods that ask the server nothing."""

TEXT = """
schema: runwright/v1
id: RB-TEST-CONTRACT
name: Nothing much
platform: linux
incident_types: [service_crash]
severity: low
steps:
  - id: say
    run: echo hello
"""


@dataclass
class Overheard:
    """The app, and which calls came in."""

    app: ASGIApp
    calls: set[tuple[str, str]] = field(default_factory=set)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.calls.add((scope["method"], scope["path"]))
        await self.app(scope, receive, send)


class Noted:
    """A client that notes which of its methods were used."""

    def __init__(self, client: RunwrightClient) -> None:
        self._client = client
        self.used: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.used.add(name)
        return getattr(self._client, name)


@dataclass
class Line:
    """A server and a client of it."""

    client: Noted
    overheard: Overheard
    url: str
    history: History
    described: set[tuple[str, str]]


@pytest.fixture
async def line(told: House, history: History) -> AsyncIterator[Line]:
    await told.add_person("ada", grant(Role.ADMIN))
    async with told.anonymous(Authorization=f"Bearer {await told.person('doc', grant(Role.VIEWER))}") as http:
        paths = (await http.get("/api/openapi.json")).json()["paths"]
    described = {(method.upper(), path) for path, item in paths.items() for method in item}
    overheard = Overheard(told.app)
    async with served(House(told.services, overheard)) as url:
        with RunwrightClient(url) as client:
            yield Line(Noted(client), overheard, url, history, described)


def _look_around(client: Noted, history: History) -> None:
    """What everyone may ask."""
    assert client.health()["status"] == "ok"
    assert client.login("ada", PASSWORD).principal == client.whoami()
    assert "/api/health" in client.description()["paths"]
    assert client.kpis()["success_rate"]["denominator"] == 1
    assert client.review_stats()["pending_review"] > 1
    assert seed.CLIENT in {item.id for item in client.clients()}
    assert client.hosts(client_id=seed.CLIENT)[0].hostname == seed.HOST
    seeded = history.seeded
    assert client.result(seeded.execution_id).status is ExecutionStatus.FAILURE
    assert client.analysis(seeded.execution_id).proposal_id is not None
    assert client.execution(seeded.execution_id).incident_id == seeded.incident_id
    assert [item.id for item in client.executions(incident_id=seeded.incident_id)] == [seeded.execution_id]
    assert next(client.events(seeded.execution_id)).kind is EventKind.EXECUTION_STATUS
    assert client.incidents(status="escalated")[0].id == seeded.incident_id
    with pytest.raises(errors.NotFound, match="no artefact"):
        next(client.artefact(seeded.execution_id, "sha256:" + "0" * 64))
    assert client.evidence(seeded.execution_id).count(b"\n") > 10
    assert client.escalations(seeded.incident_id)[0].execution_id == seeded.execution_id
    assert {line["runbook_id"] for line in client.runbooks()} >= {seed.RUNBOOK}
    assert [version.number for version in client.versions(seed.RUNBOOK)] == [2, 1]
    assert client.version(seeded.candidate).parent == seed.V1
    assert client.audit(seed.CLIENT)[0].sequence == 1


def _change(client: Noted, history: History) -> None:
    """What changes something."""
    assert client.add_client("acme", "Acme").id == "acme"
    assert (
        client.add_host(NewHost(client_id="acme", hostname="web-1", connection=LocalConnection())).client_id == "acme"
    )
    _manage_hosts(client)
    new = NewIncident(client_id="acme", host="web-1", incident_type="disk_full", subject={"mount": "/"})
    would = client.check_report(new)
    assert would.status is PlanStatus.REFUSED
    assert client.plan(would.plan_id) == would
    assert client.check_incident(history.seeded.incident_id).status is PlanStatus.PENDING
    assert client.incident(client.report_incident(new).id).status is IncidentStatus.ESCALATED
    client.add_user("ben", PASSWORD, [{"role": "viewer", "client_id": "acme"}])
    token = client.create_token("robot", [{"role": "operator", "client_id": "acme"}], 1)
    client.revoke_token(token.id)
    assert client.add_runbook(TEXT, "all").version.id == "RB-TEST-CONTRACT-v1"
    assert client.questions(status="open") == []
    with pytest.raises(errors.Conflict, match="asks nothing"):
        client.answer(history.seeded.execution_id, True)
    assert client.stop("client:acme", "drill").id == "client:acme"
    assert [switch.id for switch in client.stops()] == ["client:acme"]
    client.release("client:acme")
    taken = client.report_execution(reported(client_id=seed.CLIENT))
    assert client.external_execution(taken.id) == taken == client.external_executions(source="cron")[0]
    started = client.run_incident(history.seeded.incident_id)
    assert client.cancel(started.id).cancel_requested_at is not None
    other = client.report_incident(new.model_copy(update={"subject": {"mount": "/var"}}))
    assert client.resolve_incident(other.id, "the alert ended").status is IncidentStatus.RESOLVED
    assert client.close_incident(other.id).status is IncidentStatus.CLOSED


def _manage_hosts(client: Noted) -> None:
    """A host from its registration to its end."""
    credential = SecretRef(client_id="acme", name="key")
    ssh = NewHost(
        client_id="acme", hostname="web-2", connection=SshConnection(address="192.0.2.1", credential=credential)
    )
    form = ImportedHosts(client_id="acme", hosts=(ssh,))
    assert client.import_hosts(form).new == ("web-2",)
    (host,) = client.hosts(hostname="web-2")
    assert client.host(host.id) == host
    assert client.edit_host(host.id, HostChange(labels={"env": "prod"})).labels == {"env": "prod"}
    assert client.accept_host_keys(host.id, AcceptedKeys(host_keys=(HOST_KEY,))).connection.host_keys == (HOST_KEY,)
    check = client.check_host(host.id)
    assert client.host_check(host.id, check.id) == check
    assert client.host_checks(host.id) == [check]
    client.remove_host(host.id)
    assert client.hosts(hostname="web-2") == []


def _decide(client: Noted, history: History) -> None:
    """Every way in which an item leaves the queue."""
    waiting = {item.id: item.subject.digest for item in client.pending()}
    candidate = history.seeded.candidate
    assert client.comparison(candidate)["parent_id"] == seed.V1
    assert client.claim(candidate).status is ReviewStatus.IN_REVIEW
    assert client.give_back(candidate).status is ReviewStatus.PENDING_REVIEW
    assert client.approve(candidate, waiting[candidate], "read it").status is ReviewStatus.APPROVED
    assert client.history(candidate)[-1].note == "read it"
    assert client.review(candidate).decided_at is not None
    (live,) = client.activations(state="live", version_id=candidate)
    assert client.suspend(live.id, "it harms").state is ActivationState.SUSPENDED
    (approval,) = client.approvals(subject_id=candidate)
    assert client.revoke(approval.id, "it harms").revoked_at is not None
    disk, cpu, memory = (f"RB-LINUX-{name}-001-v1" for name in ("DISK", "CPU", "MEMORY"))
    assert client.test(disk).startswith("tst_")
    assert client.reject(disk, waiting[disk], "too broad").status is ReviewStatus.REJECTED
    assert client.request_changes(cpu, waiting[cpu], "smaller").status is ReviewStatus.NEEDS_CHANGES
    assert client.withdraw(memory, "not needed").status is ReviewStatus.WITHDRAWN


async def test_every_method_works_and_every_route_has_one(line: Line) -> None:
    def everything() -> None:
        for part in (_look_around, _change, _decide):
            part(line.client, line.history)
        line.client.logout()
        with pytest.raises(errors.Unauthenticated):
            line.client.whoami()

    await asyncio.to_thread(everything)
    public = {name for name, value in vars(RunwrightClient).items() if callable(value) and not name.startswith("_")}
    assert line.client.used == public - NO_CALL

    patterns = {place: re.compile(re.sub(r"\{\w+\}", "[^/]+", place[1])) for place in line.described}
    unasked = {
        (method, template)
        for (method, template), pattern in patterns.items()
        if not any(asked == method and pattern.fullmatch(path) for asked, path in line.overheard.calls)
    }
    assert unasked == set()


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda client: client.incident("inc_none"), errors.NotFound),
        (lambda client: client.approve(seed.V1, "sha256:" + "0" * 64), errors.Conflict),
        (lambda client: client.add_runbook("id: [", "all"), errors.InvalidInput),
        (lambda client: client.release("nonsense"), errors.InvalidInput),
        (lambda client: client.login("ada", "wrong"), errors.Unauthenticated),
        (lambda client: next(client.events("exe_none")), errors.NotFound),
    ],
)
async def test_an_error_arrives_as_it_was_raised(
    line: Line, call: Callable[[RunwrightClient], object], kind: type[errors.RunwrightError]
) -> None:
    def ask() -> errors.RunwrightError:
        line.client.login("ada", PASSWORD)
        with pytest.raises(errors.RunwrightError) as raised:
            call(line.client._client)
        return raised.value

    error = await asyncio.to_thread(ask)
    assert type(error) is kind
    assert error.found.lower().startswith("found")
    assert str(error).startswith(error.found)


async def test_faults_of_a_runbook_come_with_their_places(line: Line) -> None:
    def ask() -> tuple[errors.Fault, ...]:
        line.client.login("ada", PASSWORD)
        with pytest.raises(errors.InvalidInput) as raised:
            line.client.add_runbook(TEXT.replace("steps:", "stepz:"), "all")
        return raised.value.faults

    faults = await asyncio.to_thread(ask)
    assert any(fault.line is not None and "stepz" in str(fault) for fault in faults)


def test_a_server_that_is_not_there_is_said_so() -> None:
    with RunwrightClient("http://127.0.0.1:9") as client, pytest.raises(errors.Unavailable, match="runwright serve"):
        client.health()


@pytest.mark.parametrize(
    ("status", "body", "wanted"),
    [(502, b"<h1>Bad gateway</h1>", "502"), (500, b'{"type": 1}', "500"), (200, b"[]", "cannot read")],
)
async def test_an_answer_of_something_else_is_said_so(status: int, body: bytes, wanted: str, told: House) -> None:
    async def other(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async with served(House(told.services, other)) as url:
        with RunwrightClient(url) as client, pytest.raises(errors.Unavailable, match=wanted):
            await asyncio.to_thread(client.health)


async def test_a_server_that_ends_in_the_middle_of_a_stream_is_unavailable() -> None:
    async def cut_short(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(b"6\r\n: hi\n\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(cut_short, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        client = RunwrightClient(f"http://127.0.0.1:{port}", "secret")
        with pytest.raises(errors.Unavailable, match="Found no Runwright server"):
            await asyncio.to_thread(lambda: list(client.events("exe_1")))
        client.close()
