"""Every route has a rule; who is not allowed gets a problem and changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from fastapi.dependencies.models import Dependant
from starlette.routing import Mount

from runwright.incidents.routing import NoRoute
from runwright.model import errors
from runwright.model.errors import RunwrightError
from runwright.model.incidents import EscalationReason
from runwright.model.principals import Role
from runwright.surfaces.api.problems import MEDIA_TYPE, STATUS, error_problem, status_of
from runwright.surfaces.api.reference import served
from support.house import House, grant

ANONYMOUS = {("GET", "/api/health"), ("POST", "/api/sessions"), ("GET", "/login"), ("POST", "/login")}

REVIEW_ROUTES = {
    ("GET", "/api/review/pending"),
    ("GET", "/api/review/runbook/{subject_id}"),
    ("POST", "/api/review/approve/{subject_id}"),
    ("POST", "/api/review/reject/{subject_id}"),
    ("POST", "/api/review/test/{subject_id}"),
    ("GET", "/api/review/stats"),
    ("GET", "/api/review/comparison/{subject_id}"),
}


def routes(house: House) -> Iterator[tuple[str, str, Dependant]]:
    """Method, path and dependencies of every route of the app itself."""
    assert [entry.path for entry in house.app.routes if isinstance(entry, Mount)] == ["/static"]
    return served(house.app)


def rules(dependant: Dependant) -> set[str]:
    found = {dependant.call.rule} if hasattr(dependant.call, "rule") else set()
    for inner in dependant.dependencies:
        found |= rules(inner)
    return found


async def test_every_route_has_a_rule_and_few_are_anonymous(house: House) -> None:
    known = {(method, path): rules(dependant) for method, path, dependant in routes(house)}
    assert len(known) > 40
    assert not [place for place, found in known.items() if not found]
    assert {place for place, found in known.items() if "anonymous" in found} == ANONYMOUS
    assert known.keys() >= REVIEW_ROUTES


async def test_nobody_gets_past_the_door_without_a_login(house: House) -> None:
    async with house.anonymous() as http:
        for method, path, _ in routes(house):
            if (method, path) in ANONYMOUS:
                continue
            answer = await http.request(method, path.replace("{", "").replace("}", ""))
            if path.startswith("/api"):
                assert answer.status_code == 401, (method, path)
                assert answer.headers["content-type"] == MEDIA_TYPE
            else:
                assert answer.status_code in (303, 401), (method, path)


async def test_a_login_without_grants_sees_nothing(house: House) -> None:
    open_to_anyone_known = {"/api/sessions/current", "/api/openapi.json", "/logout"}
    async with await house.speaking() as http:
        for method, path, _ in routes(house):
            if (method, path) in ANONYMOUS or path in open_to_anyone_known:
                continue
            answer = await http.request(method, path.replace("{", "").replace("}", ""), json={})
            assert answer.status_code == 403, (method, path, answer.status_code, answer.text)


async def test_another_clients_records_look_unknown(house: House) -> None:
    async with await house.speaking(grant(Role.ADMIN), name="boss") as boss:
        for client in ("acme", "rival"):
            assert (await boss.post("/api/clients", json={"id": client, "name": client})).status_code == 201
        host = {"client_id": "acme", "hostname": "web-1", "connection": {"kind": "local"}}
        assert (await boss.post("/api/hosts", json=host)).status_code == 201
        incident = await boss.post("/api/incidents", json=_incident("acme"))
        assert incident.status_code == 201, incident.text
        key = incident.json()["id"]
    async with await house.speaking(grant(Role.VIEWER, "rival"), grant(Role.OPERATOR, "rival")) as rival:
        foreign = await rival.get(f"/api/incidents/{key}")
        unknown = await rival.get("/api/incidents/inc_nothing")
        assert foreign.status_code == unknown.status_code == 404
        assert (await rival.get("/api/incidents")).json()["items"] == []
        assert (await rival.get("/api/incidents?client_id=acme")).json()["items"] == []
        assert (await rival.post("/api/incidents", json=_incident("acme"))).status_code == 404
        assert (await rival.get("/api/audit/acme")).status_code == 403


def _incident(client: str) -> dict[str, Any]:
    return {
        "client_id": client,
        "host": "web-1",
        "incident_type": "service_crash",
        "severity": "high",
        "subject": {"service": "nginx"},
    }


def _classes(base: type[RunwrightError]) -> Iterator[type[RunwrightError]]:
    yield base
    for kind in base.__subclasses__():
        yield from _classes(kind)


def test_every_error_class_of_the_model_has_a_status_and_one_shape() -> None:
    ours = {found for found in vars(errors).values() if isinstance(found, type) and issubclass(found, RunwrightError)}
    assert ours | {NoRoute} == set(STATUS)
    for kind in _classes(RunwrightError):
        assert 400 <= status_of(kind.__new__(kind)) <= 599
    example = error_problem(NoRoute("Found nothing.", reason=EscalationReason.NO_RUNBOOK, next_step="Add it."))
    assert example.status_code == 409
    assert example.media_type == MEDIA_TYPE
    assert b"urn:runwright:problem:no-route" in bytes(example.body)


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"", "application/json", 422),
        (b"{", "application/json", 422),
        (b"[" * 5000, "application/json", 422),
        (b'{"client_id": "acme"}', "application/json", 422),
        (b'{"client_id": "acme\\u0000"}', "application/json", 422),
        (b"\xff\xfe", "application/json", 422),
        (b"{}", "text/plain", 415),
        (b" " * 1_000_001, "application/json", 413),
    ],
)
async def test_bad_bodies_are_refused_and_change_nothing(
    house: House, body: bytes, content_type: str, status: int
) -> None:
    async with await house.speaking(grant(Role.ADMIN)) as http:
        answer = await http.post("/api/incidents", content=body, headers={"Content-Type": content_type})
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == MEDIA_TYPE
        assert (await http.get("/api/incidents")).json()["items"] == []


async def test_a_body_of_unknown_length_is_refused_while_it_comes_in(house: House) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1200):
            yield b" " * 1000

    async with await house.speaking(grant(Role.ADMIN)) as http:
        answer = await http.post("/api/clients", content=endless(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_route_without_a_body_does_nothing_for_one_that_is_too_large(house: House) -> None:
    async with await house.speaking(grant(Role.ADMIN)) as http:
        path = "/api/review/claim/RB-LINUX-DISK-001-v1"
        assert (await http.post(path, content=b" " * 1_000_001)).status_code == 413
        assert (await http.get("/api/review/runbook/RB-LINUX-DISK-001-v1")).json()["status"] == "pending_review"


async def test_another_method_is_answered_with_those_that_are_allowed(house: House) -> None:
    async with await house.speaking(grant(Role.ADMIN)) as http:
        answer = await http.put("/api/stops")
    assert answer.status_code == 405
    assert {method.strip() for method in answer.headers["allow"].split(",")} >= {"GET"}


async def test_an_unknown_field_is_named(house: House) -> None:
    async with await house.speaking(grant(Role.ADMIN)) as http:
        answer = await http.post("/api/clients", json={"id": "acme", "name": "Acme", "color": "red"})
    assert answer.status_code == 422
    assert [fault["path"] for fault in answer.json()["faults"]] == ["color"]


async def test_a_foreign_host_name_is_refused(house: House) -> None:
    async with house.anonymous(Host="evil.example") as http:
        assert (await http.get("/api/health")).status_code == 421


async def test_headers_of_every_answer(house: House) -> None:
    async with house.anonymous() as http:
        for path in ("/api/health", "/login", "/nowhere", "/static/app.css"):
            answer = await http.get(path)
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
            assert "unsafe" not in answer.headers["content-security-policy"]
            assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_machine_reports_but_never_approves(house: House) -> None:
    token = await house.machine(grant(Role.ADMIN))
    async with house.anonymous(Authorization=f"Bearer {token}") as robot:
        items = (await robot.get("/api/review/pending")).json()["items"]
        assert items
        item = items[0]
        answer = await robot.post(f"/api/review/approve/{item['id']}", json={"digest": item["subject"]["digest"]})
        assert answer.status_code == 403
        assert (await robot.get(f"/api/review/runbook/{item['id']}")).json()["status"] == "pending_review"


async def test_approving_names_the_digest_that_was_shown(house: House) -> None:
    async with await house.speaking(grant(Role.APPROVER)) as http:
        path = "/api/review/approve/RB-LINUX-SERVICE-001-v1"
        item = (await http.get("/api/review/runbook/RB-LINUX-SERVICE-001-v1")).json()
        wrong = await http.post(path, json={"digest": "sha256:" + "0" * 64})
        assert wrong.status_code == 409
        right = await http.post(path, json={"digest": item["subject"]["digest"]})
        assert right.status_code == 200
        assert right.json()["status"] == "approved"
        again = await http.post(path, json={"digest": item["subject"]["digest"]})
        assert again.status_code == 409
        assert "ada" in again.json()["detail"]
        live = (await http.get("/api/runbooks")).json()["items"]
        assert {line["runbook_id"]: line["live"] for line in live}["RB-LINUX-SERVICE-001"] == {
            "all": "RB-LINUX-SERVICE-001-v1"
        }


async def test_the_description_is_complete(house: House) -> None:
    async with await house.speaking() as http:
        document = (await http.get("/api/openapi.json")).json()
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    served = {(method, path) for method, path, _ in routes(house) if path.startswith("/api")}
    assert described == served
    schemas = document["components"]["schemas"]
    for reference in _references(document):
        assert reference.removeprefix("#/components/schemas/") in schemas


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref" and isinstance(value, str):
                yield value
            else:
                yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)
