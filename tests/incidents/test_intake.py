"""An alert becomes an incident once, and an earlier fix that did not hold is named."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from runwright.incidents.intake import accept
from runwright.model.errors import InvalidInput, NotFound
from runwright.model.executions import EventKind
from runwright.model.incidents import Incident, IncidentBrief, IncidentStatus, Severity
from runwright.model.ports.clock import Clock
from runwright.model.ports.store import Store

SHOPD = IncidentBrief(incident_type="service_crash", severity=Severity.HIGH, subject={"service": "shopd"})


async def report(store: Store, clock: Clock, brief: IncidentBrief = SHOPD, **changes: Any) -> Incident:
    given = {
        "client_id": "acme",
        "host_id": "host-1",
        "labels": {"team": "web"},
        "occurred_at": None,
        "source": "alertmanager",
    }
    async with store.transaction() as tx:
        return await accept(tx, brief=brief, clock=clock, **{**given, **changes})


async def set_status(store: Store, incident: Incident, **fields: Any) -> Incident:
    now = incident.model_copy(update=fields)
    async with store.transaction() as tx:
        await tx.incidents.replace(await tx.incidents.get(incident.id, client="acme"), now)
    return now


async def stored(store: Store, incident: Incident) -> Incident:
    async with store.reading() as tx:
        return await tx.incidents.get(incident.id, client="acme")


async def test_a_first_report_is_open_audited_and_told(store: Store, clock: Clock) -> None:
    incident = await report(store, clock)
    assert (incident.status, incident.occurred_at, incident.labels) == ("open", clock.now(), {"team": "web"})
    assert await stored(store, incident) == incident
    async with store.reading() as tx:
        (entry,) = await tx.audit.entries("acme")
        (event,) = await tx.events.since(0, client="acme")
    assert (entry.event.action, entry.event.subject, entry.event.digest) == (
        "incident.accept",
        incident.id,
        incident.fingerprint,
    )
    assert "shopd" not in entry.model_dump_json()
    assert (event.kind, event.subject_id, event.data["status"]) == (EventKind.INCIDENT_STATUS, incident.id, "open")


@pytest.mark.parametrize("status", [IncidentStatus.OPEN, IncidentStatus.QUEUED, IncidentStatus.RUNNING])
async def test_the_same_while_one_is_under_way_is_a_duplicate(
    store: Store, clock: Clock, status: IncidentStatus
) -> None:
    first = await report(store, clock)
    await set_status(store, first, status=status)
    second = await report(store, clock, source="pager")
    third = await report(store, clock)
    assert (second.status, second.duplicate_of) == (IncidentStatus.DUPLICATE, first.id)
    assert (third.status, third.duplicate_of) == (IncidentStatus.DUPLICATE, first.id)


@pytest.mark.parametrize(
    "changes",
    [
        {"brief": IncidentBrief(incident_type="service_crash", subject={"service": "other"})},
        {"brief": IncidentBrief(incident_type="high_cpu", subject={"service": "shopd"})},
        {"client_id": "bolt", "host_id": "host-2"},
    ],
)
async def test_another_subject_type_or_client_is_no_duplicate(
    store: Store, clock: Clock, changes: dict[str, Any]
) -> None:
    await report(store, clock)
    assert (await report(store, clock, **changes)).status is IncidentStatus.OPEN


@pytest.mark.parametrize(
    ("hours", "after"), [(1, IncidentStatus.RECURRED), (23.9, IncidentStatus.RECURRED), (25, IncidentStatus.RESOLVED)]
)
async def test_a_resolved_one_recurs_within_the_window(
    store: Store, clock: Any, hours: float, after: IncidentStatus
) -> None:
    first = await report(store, clock)
    await set_status(store, first, status=IncidentStatus.RESOLVED, resolved_at=clock.now(), resolved_by="exe-1")
    clock.advance(hours * 3600)
    second = await report(store, clock)
    assert second.status is IncidentStatus.OPEN
    assert (await stored(store, first)).status is after
    async with store.reading() as tx:
        marks = [entry.event for entry in await tx.audit.entries("acme") if entry.event.action == "incident.recur"]
    assert [(mark.subject, mark.facts["resolved_by"], mark.facts["recurred_as"]) for mark in marks] == (
        [(first.id, "exe-1", second.id)] if after is IncidentStatus.RECURRED else []
    )


async def test_a_duplicate_does_not_make_an_earlier_fix_recur_again(store: Store, clock: Clock) -> None:
    first = await report(store, clock)
    await set_status(store, first, status=IncidentStatus.RESOLVED, resolved_at=clock.now(), resolved_by="exe-1")
    await report(store, clock)
    await report(store, clock)
    async with store.reading() as tx:
        actions = [entry.event.action for entry in await tx.audit.entries("acme")]
    assert actions.count("incident.recur") == 1


async def test_a_host_of_another_client_is_not_found_and_nothing_is_stored(store: Store, clock: Clock) -> None:
    with pytest.raises(NotFound):
        await report(store, clock, host_id="host-2")
    async with store.reading() as tx:
        assert await tx.incidents.count(client="acme") == 0
        assert await tx.audit.entries("acme") == ()


@pytest.mark.parametrize(
    ("ahead", "naive", "word"), [(timedelta(hours=1), False, "future"), (timedelta(0), True, "timezone")]
)
async def test_a_moment_that_cannot_be_is_refused(
    store: Store, clock: Clock, ahead: timedelta, naive: bool, word: str
) -> None:
    moment = clock.now() + ahead
    with pytest.raises(InvalidInput, match=word):
        await report(store, clock, occurred_at=moment.replace(tzinfo=None) if naive else moment)
    async with store.reading() as tx:
        assert await tx.incidents.count(client="acme") == 0


async def test_a_senders_clock_may_be_a_little_ahead(store: Store, clock: Clock) -> None:
    moment = clock.now() + timedelta(minutes=4)
    assert (await report(store, clock, occurred_at=moment)).occurred_at == moment
