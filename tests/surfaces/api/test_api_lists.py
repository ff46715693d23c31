"""Every list is paged: nothing twice, nothing lost, in an order that stays, for whoever may see only a part."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx2

from runwright.model.hosts import LocalConnection, NewHost
from runwright.model.incidents import NewIncident
from runwright.model.principals import Role
from runwright.model.reviews import ActivationState
from runwright.surfaces.services import Services
from support import records
from support.external import external_result
from support.house import ADMIN, House, grant

MANY = 5
PLAIN = """
schema: runwright/v1
id: RB-TEST-{name}
name: Number {number}
platform: linux
incident_types: [service_crash]
severity: low
steps:
  - id: say
    run: echo {number}
"""


async def _fill(services: Services) -> dict[str, str]:
    """At least five of everything that is listed; the path of each list by its template."""
    inventory, loop = services.inventory, services.loop
    for number in range(MANY):
        await inventory.add_client(ADMIN, f"client-{number}", f"Client {number}")
        await services.switches.stop(ADMIN, f"client:client-{number}", "drill")
        host = NewHost(client_id="client-0", hostname=f"web-{number}", connection=LocalConnection())
        await inventory.add_host(ADMIN, host)
        await inventory.add_runbook(ADMIN, PLAIN.format(name="LINE", number=number), "all")
        new = NewIncident(
            client_id="client-0", host=f"web-{number}", incident_type="disk_full", subject={"mount": f"/{number}"}
        )
        incident = await loop.report_incident(ADMIN, new)
        await loop.report_execution(ADMIN, external_result(client_id="client-0", execution_id=f"job-{number}"))
    async with services.store.transaction() as tx:
        for number in range(MANY):
            version = f"{records.RUNBOOK}-v{number + 1}"
            await tx.approvals.add(records.approval(f"apr-{number}", subject_id=version))
            state = {"state": ActivationState.SUPERSEDED} if number else {}
            await tx.activations.add(records.activation(f"act-{number}", version_id=version, **state))
            await tx.executions.add(records.execution(f"exe-{number}", client_id="client-0"))
            await tx.questions.add(records.question(f"exe-{number}.steps.ask.1", client_id="client-0"))
            await tx.escalations.add(records.escalation(f"esc-{number}", client_id="client-0", incident_id=incident.id))
    return {
        "/api/clients": "/api/clients",
        "/api/hosts": "/api/hosts",
        "/api/incidents": "/api/incidents",
        "/api/incidents/{incident_id}/escalations": f"/api/incidents/{incident.id}/escalations",
        "/api/executions": "/api/executions",
        "/api/executions/external": "/api/executions/external",
        "/api/questions": "/api/questions",
        "/api/activations": "/api/activations",
        "/api/approvals": "/api/approvals",
        "/api/runbooks": "/api/runbooks",
        "/api/runbooks/{runbook_id}": "/api/runbooks/RB-TEST-LINE",
        "/api/review/pending": "/api/review/pending",
        "/api/stops": "/api/stops",
        "/api/audit/{chain}": "/api/audit/system",
    }


async def _walk(http: httpx2.AsyncClient, path: str, limit: int) -> list[list[dict[str, Any]]]:
    """The pages of a list."""
    pages: list[list[dict[str, Any]]] = []
    cursor = None
    while True:
        answer = await http.get(path, params={"limit": limit, **({"cursor": cursor} if cursor else {})})
        assert answer.status_code == 200, answer.text
        pages.append(answer.json()["items"])
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            return pages


async def test_three_pages_of_every_list_are_the_whole_list(house: House) -> None:
    paths = await _fill(house.services)
    async with await house.speaking(grant(Role.ADMIN)) as http:
        document = (await http.get("/api/openapi.json")).json()["paths"]
        described = {
            path
            for path, item in document.items()
            if any(field["name"] == "cursor" for field in item.get("get", {}).get("parameters", []))
        }
        assert described == paths.keys()
        for path in paths.values():
            (whole,) = await _walk(http, path, 200)
            size = -(-len(whole) // 3)
            pages = await _walk(http, path, size)
            assert [len(page) for page in pages[:-1]] == [size] * (len(pages) - 1), path
            assert len(pages) == -(-len(whole) // size) >= 3, path
            assert [item for page in pages for item in page] == whole, path


async def test_a_cursor_of_another_list_is_refused(house: House) -> None:
    await _fill(house.services)
    async with await house.speaking(grant(Role.ADMIN)) as http:
        cursor = (await http.get("/api/hosts?limit=2")).json()["next_cursor"]
        assert cursor is not None
        for path in ("/api/incidents", "/api/hosts?client_id=client-0", "/api/runbooks"):
            answer = await http.get(f"{path}{'&' if '?' in path else '?'}cursor={quote(cursor)}")
            assert answer.status_code == 422, path


async def test_who_sees_one_client_gets_full_pages_of_what_they_may_see(house: House) -> None:
    await _fill(house.services)
    for number in range(6):
        client = "client-1" if number % 2 else "client-2"
        text = PLAIN.format(name=f"OWN-{number}", number=number)
        await house.services.inventory.add_runbook(ADMIN, text, f"client:{client}")
    async with await house.speaking(grant(Role.VIEWER, "client-1")) as http:
        pages = await _walk(http, "/api/runbooks", 2)
        assert [len(page) for page in pages[:-1]] == [2] * (len(pages) - 1)
        ids = {line["runbook_id"] for page in pages for line in page}
        assert {name for name in ids if name.startswith("RB-TEST-OWN")} == {f"RB-TEST-OWN-{n}" for n in (1, 3, 5)}
        assert "RB-LINUX-DISK-001" in ids
        waiting = [item for page in await _walk(http, "/api/review/pending", 3) for item in page]
        assert {item["subject"]["scope"] for item in waiting} == {"all", "client:client-1"}
        stops = [item["id"] for page in await _walk(http, "/api/stops", 1) for item in page]
        assert stops == ["client:client-1"]


async def test_a_line_of_another_client_shows_only_the_versions_one_may_see(house: House) -> None:
    await _fill(house.services)
    for number, client in enumerate(("client-1", "client-2", "client-1")):
        text = PLAIN.format(name="SHARED", number=number)
        await house.services.inventory.add_runbook(ADMIN, text, f"client:{client}")
    async with await house.speaking(grant(Role.VIEWER, "client-2")) as http:
        lines = [line for page in await _walk(http, "/api/runbooks", 50) for line in page]
        (shared,) = [line for line in lines if line["runbook_id"] == "RB-TEST-SHARED"]
        assert shared == {
            "runbook_id": "RB-TEST-SHARED",
            "name": "Number 1",
            "versions": 1,
            "newest": "RB-TEST-SHARED-v2",
            "live": {},
        }
        assert (await http.get("/api/runbooks/versions/RB-TEST-SHARED-v1")).status_code == 404
        line = (await http.get("/api/runbooks/RB-TEST-SHARED")).json()["items"]
        assert [version["id"] for version in line] == ["RB-TEST-SHARED-v2"]
