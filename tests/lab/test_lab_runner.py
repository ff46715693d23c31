"""Which scenarios a candidate meets, and that several trials at once end together."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runwright.lab.library import folder
from runwright.lab.runner import fitting
from runwright.lab.scenarios import load_folder
from runwright.lab.several import several
from runwright.model.executions import ExecutionResult, ExecutionStatus, HostBrief, IncidentRef, RunbookRef
from runwright.runbooks.library import starter_runbooks

SCENARIOS = load_folder(folder())
SERVICE = next(loaded.document for loaded in starter_runbooks() if loaded.document.id == "RB-LINUX-SERVICE-001")


def failed(incident_type: str, **subject: object) -> ExecutionResult:
    return ExecutionResult(
        execution_id="exe_1",
        client_id="acme",
        host=HostBrief(hostname="h", platform="linux"),
        incident=IncidentRef(id="inc_1", incident_type=incident_type, subject=dict(subject)),
        runbook=RunbookRef(id="RB-LINUX-SERVICE-001", version=1, digest="sha256:" + "0" * 64),
        started_at=datetime(2026, 1, 5, 9, tzinfo=UTC),
        status=ExecutionStatus.FAILURE,
    )


def test_the_same_fault_first_then_regressions_then_twins() -> None:
    subject = {"service": "shopd", "port": 8080, "url": "http://127.0.0.1:8080/"}
    alarm = next(scenario for scenario in SCENARIOS if scenario.id == "service-crash/false-alarm")
    twin = alarm.model_copy(update={"id": "a-twin", "failure_type": None})
    found = [scenario.id for scenario in fitting((twin, *SCENARIOS), SERVICE, failed("service_crash", **subject))]
    assert found == ["service-crash/stale-lock", "service-crash/start-limit", "a-twin"]


def test_a_fault_whose_cure_lives_elsewhere_proves_nothing_here() -> None:
    found = [scenario.id for scenario in fitting(SCENARIOS, SERVICE, failed("service_crash", service="spoold"))]
    assert "service-crash/disk-full-behind-it" not in found
    assert "service-crash/start-limit" in found


def test_without_a_failed_run_every_fault_the_runbook_may_cure_is_tried() -> None:
    found = {scenario.id for scenario in fitting(SCENARIOS, SERVICE, None)}
    assert {"service-crash/stale-lock", "service-crash/bad-config", "service-crash/start-limit"} <= found
    assert "service-crash/upstream-down" not in found
    assert "service-crash/false-alarm" not in found, "the parent does not end it rightly either"
    assert not any(name.startswith("disk-full") for name in found)


def test_another_incident_type_fits_nothing() -> None:
    assert fitting(SCENARIOS, SERVICE, failed("disk_full", mount="/")) == ()


async def test_several_keeps_the_order_and_the_bound() -> None:
    running, most, gate = 0, 0, asyncio.Event()

    async def work(item: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 2:
            gate.set()
        await gate.wait()
        running -= 1
        return item * 10

    assert await several(work, [3, 1, 2], jobs=2) == (30, 10, 20)
    assert most == 2


async def test_the_first_error_ends_the_others_after_their_clean_up(tmp_path: Path) -> None:
    cleaned: list[int] = []
    started = asyncio.Event()

    async def work(item: int) -> None:
        if item == 0:
            await started.wait()
            raise ValueError("the first error")
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(item)

    with pytest.raises(ValueError, match="the first error"):
        await several(work, [0, 1, 2], jobs=3)
    assert sorted(cleaned) == [1, 2]
