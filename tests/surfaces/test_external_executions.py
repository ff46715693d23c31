"""Runs of other executors over the API: taken once, learned from, and nowhere mixed with the runs of this server."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from runwright.incidents.recurrence import ineffective_runs
from runwright.model.executions import ExecutionStatus
from runwright.model.external import ExternalLearning
from runwright.model.ids import sha256
from runwright.model.ports.store import EVERY_CLIENT
from runwright.model.principals import Role
from runwright.model.reviews import ReviewStatus
from runwright.runbooks.load import load_runbook
from runwright.surfaces.figures import figures, version_rate
from support.external import TEXT, reported
from support.house import House, grant
from surfaces import seed

MINE = {"client_id": seed.CLIENT}


@pytest.fixture
async def robot(told: House) -> httpx2.AsyncClient:
    """A machine that may report for the shop and do nothing else."""
    return told.anonymous(Authorization=f"Bearer {await told.machine(grant(Role.REPORTER, seed.CLIENT))}")


async def post(http: httpx2.AsyncClient, **changes: Any) -> httpx2.Response:
    return await http.post("/api/executions", json=reported(**{**MINE, **changes}))


async def learn(told: House, execution_id: str) -> Any:
    return await seed.worker(told.services, seed.recorded_run("failed_run")).learn(execution_id)


async def test_a_result_is_taken_once(told: House, robot: httpx2.AsyncClient) -> None:
    first = await post(robot)
    assert first.status_code == 201, first.text
    row = first.json()
    assert row["id"].startswith("ext_")
    assert (row["external_id"], row["source"], row["learning"]) == ("job-17", "cron", "waiting")
    again = await post(robot)
    assert (again.status_code, again.json()) == (200, row)
    other = await post(robot, completed_at="2026-01-05T09:00:09Z")
    assert other.status_code == 409
    assert [fault["path"] for fault in other.json()["faults"]] == ["completed_at"]
    assert "completed_at" in other.json()["found"]
    async with told.services.store.reading() as tx:
        assert await tx.externals.count(client=EVERY_CLIENT) == 1
        entries = [entry for entry in await tx.audit.entries(seed.CLIENT) if entry.event.subject == row["id"]]
        assert [entry.event.action for entry in entries] == ["execution.report"]
        assert entries[0].event.digest == row["content_digest"]


async def test_who_may_report_for_whom(told: House, robot: httpx2.AsyncClient) -> None:
    await told.services.inventory.add_client(seed.ADMIN, "other", "Other")
    assert (await post(robot, client_id="other")).status_code == 404
    assert (await post(robot, client_id="nobody")).status_code == 404
    assert (await robot.get("/api/executions")).status_code == 403
    assert (await robot.get("/api/executions/external")).status_code == 403
    assert (await told.anonymous().post("/api/executions", json=reported(**MINE))).status_code == 401
    viewer = await told.speaking(grant(Role.VIEWER, seed.CLIENT), name="vera")
    assert (await post(viewer)).status_code == 403
    row = (await post(robot)).json()
    stranger = await told.speaking(grant(Role.VIEWER, "other"), name="sam")
    for path in (f"external/{row['id']}", f"{row['id']}/result", f"{row['id']}/analysis", f"{row['id']}/evidence"):
        assert (await stranger.get(f"/api/executions/{path}")).status_code == 404, path
    assert (await stranger.get("/api/executions/external")).json()["items"] == []
    assert (await viewer.get("/api/executions/external")).json()["items"] == [row]
    assert (await viewer.get(f"/api/executions/external/{row['id']}")).json() == row
    assert (await viewer.get(f"/api/executions/{row['id']}/evidence")).status_code == 409
    assert (await viewer.get(f"/api/executions/{row['id']}")).status_code == 404, "it is no run of ours"


async def test_everything_wrong_is_said_and_nothing_stored(told: House, robot: httpx2.AsyncClient) -> None:
    answer = await post(robot, origin="runwright", execution_id="", status="running", evidence_bundle_id="evb_1")
    assert answer.status_code == 422
    paths = {item["path"] for item in answer.json()["faults"]}
    assert {"origin", "execution_id", "status", "evidence_bundle_id"} <= paths
    changes: dict[str, Any] = {"status": "great", "host": {}, "steps": [{}]}
    shapeless = await robot.post("/api/executions", json=reported(**MINE, **changes))
    assert shapeless.status_code == 422
    assert len(shapeless.json()["faults"]) >= 5
    huge = await robot.post("/api/executions", json=reported(**MINE, blob="x" * 1_000_001))
    assert huge.status_code == 413
    async with told.services.store.reading() as tx:
        assert await tx.externals.count(client=EVERY_CLIENT) == 0


async def test_a_run_of_ours_cannot_be_overwritten(told: House, robot: httpx2.AsyncClient) -> None:
    async with told.services.store.reading() as tx:
        ours = (await tx.executions.page(client=EVERY_CLIENT, limit=1)).items[0]
        before = await tx.executions.result(ours.id, client=EVERY_CLIENT)
    row = (await post(robot, execution_id=ours.id, status="success", error=None)).json()
    assert row["id"] != ours.id
    async with told.services.store.reading() as tx:
        assert await tx.executions.result(ours.id, client=EVERY_CLIENT) == before
        assert await tx.executions.get(ours.id, client=EVERY_CLIENT) == ours


async def test_a_failure_becomes_a_candidate_in_review_from_a_draft_that_nobody_approved(
    told: House, robot: httpx2.AsyncClient
) -> None:
    row = (await post(robot)).json()
    async with told.services.store.reading() as tx:
        draft = await tx.reviews.get("RB-TEST-SHOP-001-v1", client=EVERY_CLIENT)
        version = await tx.versions.get("RB-TEST-SHOP-001-v1", client=EVERY_CLIENT)
        assert await tx.activations.live("RB-TEST-SHOP-001", f"client:{seed.CLIENT}") is None
    assert draft.status is ReviewStatus.DRAFT
    assert "external:cron" in draft.reason
    assert (version.text, version.digest) == (TEXT, load_runbook(TEXT).digest)
    assert version.scope == f"client:{seed.CLIENT}"

    learned = await learn(told, row["id"])
    assert learned.version.parent == version.id
    assert learned.version.origin_execution == row["id"]
    async with told.services.store.reading() as tx:
        item = await tx.reviews.get(learned.version.id, client=EVERY_CLIENT)
        now = await tx.externals.get(row["id"], client=EVERY_CLIENT)
    assert item.status is ReviewStatus.PENDING_REVIEW
    assert item.reason.startswith("As external:cron reported it: ")
    assert now.learning is ExternalLearning.PROPOSED
    admin = await told.speaking(grant(Role.ADMIN))
    analysis = (await admin.get(f"/api/executions/{row['id']}/analysis")).json()
    assert analysis["diagnosis"]["failure_type"] == "runbook_insufficient"
    result = (await admin.get(f"/api/executions/{row['id']}/result")).json()
    assert (result["origin"], result["extra"]["external_id"]) == ("external:cron", "job-17")
    assert (await admin.get(f"/api/review/comparison/{item.id}")).json()["parent_id"] == version.id
    page = await admin.get(f"/review/{item.id}")
    assert page.status_code == 200
    assert "a failed run that another executor reported" in page.text
    assert f"/executions/{row['id']}" not in page.text, "there is no page of it"
    assert await learn(told, row["id"]) is None, "it was learned from"


async def test_without_a_text_a_failure_is_explained_and_no_more(told: House, robot: httpx2.AsyncClient) -> None:
    runbook = {"id": "site", "digest": sha256(b"- hosts: all"), "language": "ansible"}
    row = (await post(robot, runbook=runbook)).json()
    assert row["version_id"] is None
    learned = await learn(told, row["id"])
    assert learned.version is None
    assert learned.analysis.diagnosis.failure_type.value == "runbook_insufficient"
    assert "text of the runbook" in learned.analysis.refused
    async with told.services.store.reading() as tx:
        assert (await tx.externals.get(row["id"], client=EVERY_CLIENT)).learning is ExternalLearning.EXPLAINED


async def test_a_known_version_is_found_by_its_digest(told: House, robot: httpx2.AsyncClient) -> None:
    async with told.services.store.reading() as tx:
        version = await tx.versions.get(seed.V1, client=EVERY_CLIENT)
        count = await tx.versions.count(client=EVERY_CLIENT)
    failed = seed.recorded_run("failed_run")
    runbook = {"id": seed.RUNBOOK, "digest": version.digest}
    incident = {"id": "x", "incident_type": "service_crash", "subject": failed.incident.subject}
    row = (await post(robot, runbook=runbook, incident=incident)).json()
    with_text = {**runbook, "text": version.text}
    other = (await post(robot, execution_id="job-18", runbook=with_text, incident=incident)).json()
    assert row["version_id"] == other["version_id"] == seed.V1
    async with told.services.store.reading() as tx:
        assert await tx.versions.count(client=EVERY_CLIENT) == count


async def test_reports_move_no_figure_of_ours(told: House, robot: httpx2.AsyncClient) -> None:
    """Twenty claimed runs of our own version on our own incident: only the figures apart move."""
    async with told.services.store.reading() as tx:
        ours = (await tx.executions.page(client=EVERY_CLIENT, limit=1)).items[0]
        incident = await tx.incidents.get(ours.incident_id, client=EVERY_CLIENT)
        version = await tx.versions.get(ours.version_id, client=EVERY_CLIENT)
        before = await figures(tx, {})
        rate = await version_rate(tx, {}, version.id)
        in_vain = await ineffective_runs(tx, incident, version.digest)
        escalations = await tx.escalations.count(client=EVERY_CLIENT)
    named = {
        "id": incident.id,
        "incident_type": incident.incident_type,
        "subject": incident.subject,
        "severity": incident.severity.value,
    }
    runbook = {"id": version.runbook_id, "digest": version.digest, "text": version.text}
    for number in range(20):
        status = "success" if number % 2 else "failure"
        verdict = {"outcome": "passed", "method": "verifier", "confidence": 1.0}
        answer = await post(
            robot,
            execution_id=f"job-{number}",
            status=status,
            runbook=runbook,
            incident=named,
            verification=verdict if number % 2 else None,
        )
        assert answer.json()["incident_id"] == incident.id
    row = answer.json()
    async with told.services.store.reading() as tx:
        after = await figures(tx, {})
        assert {**after, "external": None} == {**before, "external": None}
        assert await version_rate(tx, {}, version.id) == rate
        assert await ineffective_runs(tx, incident, version.digest) == in_vain
        assert await tx.incidents.get(incident.id, client=EVERY_CLIENT) == incident
        assert await tx.escalations.count(client=EVERY_CLIENT) == escalations
        result = await tx.executions.result(row["id"], client=EVERY_CLIENT)
    assert result is not None
    assert result.verification is not None
    assert result.verification.method == "reported"
    assert after["external"]["executions"]["success"] == after["external"]["executions"]["failure"] == 10
    assert after["external"]["reported_success_rate"]["denominator"] == 20


async def test_a_claim_does_not_answer_for_a_run_of_ours(told: House, robot: httpx2.AsyncClient) -> None:
    """The same failure, reported and our own: neither analysis is taken for the other, also behind many reports."""
    failed = seed.recorded_run("failed_run")
    async with told.services.store.reading() as tx:
        ours = (await tx.executions.page(client=EVERY_CLIENT, limit=1)).items[0]
        own = (await tx.analyses.page(client=EVERY_CLIENT, where={"execution_id": ours.id})).items[0]
        version = await tx.versions.get(ours.version_id, client=EVERY_CLIENT)
        stored = await tx.executions.result(ours.id, client=EVERY_CLIENT)
    assert stored is not None
    data = stored.model_dump(mode="json", by_alias=True, exclude_unset=True)
    data.pop("evidence_bundle_id", None)
    runbook = {"id": version.runbook_id, "digest": version.digest, "text": version.text}
    copied = {**data, "execution_id": "copy", "origin": "external:cron", "runbook": runbook}
    answer = await robot.post("/api/executions", json=copied)
    assert answer.status_code == 201, answer.text
    learned = await learn(told, answer.json()["id"])
    assert learned.analysis.failure_fingerprint != own.failure_fingerprint
    assert learned.analysis.occurrences == 1
    assert failed.status is ExecutionStatus.FAILURE


async def test_what_a_crash_left_between_store_and_queue_is_learned_from(
    told: House, robot: httpx2.AsyncClient
) -> None:
    row = (await post(robot)).json()
    queued: list[str] = []
    loop = seed.worker(told.services, seed.recorded_run("failed_run"))

    class Queue:
        async def enqueue_learning(self, execution_id: str, *, take: int = 0) -> None:
            queued.append(execution_id)

        def __getattr__(self, name: str) -> Any:
            return getattr(loop.queue, name)

    object.__setattr__(loop, "queue", Queue())
    await loop.sweep()
    assert row["id"] in queued
