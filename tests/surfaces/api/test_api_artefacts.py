"""A whole output as a file to save: the run's own, its client's alone, and never shown as more than text."""

from __future__ import annotations

import pytest

from runwright.model.executions import ExecutionStatus, OutputArtefact, StepRecord, StepStatus
from runwright.model.principals import Role
from support import records
from support.house import House, grant

HOSTILE = b"<script>alert(1)</script>\x1b[31m\xff\x00" * 1000
NOBODYS = "sha256:" + "0" * 64


@pytest.fixture
async def kept(told: House) -> str:
    """The digest of an output of `exe-art`; `exe-other` of the same client names none."""
    writer = await told.services.artefacts.begin("acme")
    await writer.write(HOSTILE)
    digest = await writer.keep()
    artefact = OutputArtefact(digest=digest, bytes=len(HOSTILE), stored_bytes=len(HOSTILE))
    attempt = records.attempt(stdout="head", stdout_artefact=artefact)
    step = StepRecord(id="list/all", kind="run", status=StepStatus.OK, attempts=(attempt,))
    async with told.services.store.transaction() as tx:
        await tx.clients.add(records.client())
        await tx.hosts.add(records.host())
        await tx.incidents.add(records.incident())
        for key, steps in (("exe-art", (step,)), ("exe-other", ())):
            done = ExecutionStatus.SUCCESS
            await tx.executions.add(records.execution(key, status=done))
            await tx.executions.put_result(records.result(key, steps=steps, status=done))
    return digest


async def test_it_is_handed_out_as_a_file_to_save(told: House, kept: str) -> None:
    async with await told.speaking(grant(Role.VIEWER, "acme")) as http:
        answer = await http.get(f"/api/executions/exe-art/artefacts/{kept}")
        page = (await http.get("/executions/exe-art", headers={"Accept": "text/html"})).text
    assert answer.status_code == 200
    assert answer.content == HOSTILE
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"] == 'attachment; filename="exe-art-list-all-1-stdout.txt"'
    assert answer.headers["content-length"] == str(len(HOSTILE))
    assert f'href="/api/executions/exe-art/artefacts/{kept}"' in page


@pytest.mark.parametrize(
    ("role", "client", "run", "digest"),
    [
        (Role.VIEWER, "rival", "exe-art", None),
        (Role.VIEWER, "acme", "exe-other", None),
        (Role.VIEWER, "acme", "exe-art", NOBODYS),
        (Role.VIEWER, "acme", "exe-none", None),
        (Role.VIEWER, "acme", "exe-art", "..%2f..%2fapproval.key"),
    ],
)
async def test_nobody_elses_and_no_other_runs(
    told: House, kept: str, role: Role, client: str, run: str, digest: str | None
) -> None:
    async with await told.speaking(grant(role, client)) as http:
        answer = await http.get(f"/api/executions/{run}/artefacts/{digest or kept}")
        page = await http.get("/api/plans/pln_none")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert page.status_code == 404


async def test_an_erased_one_is_said_to_be_gone(told: House, kept: str) -> None:
    await told.services.artefacts.erase("acme")
    async with await told.speaking(grant(Role.VIEWER, "acme")) as http:
        answer = await http.get(f"/api/executions/exe-art/artefacts/{kept}")
    assert answer.status_code == 404
    assert "shared" in answer.json()["next_step"]
