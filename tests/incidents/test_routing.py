"""The narrower scope wins, and what is missing is named."""

from __future__ import annotations

from typing import Any

import pytest

from runwright.incidents.routing import NoRoute, choose
from runwright.model.ids import sha256
from runwright.model.incidents import EscalationReason
from runwright.model.ports.store import Store
from runwright.model.reviews import ActivationState
from support import records

OTHER = "RB-LINUX-OTHER-001"


async def keep(store: Store, **kinds: list[Any]) -> None:
    async with store.transaction() as tx:
        for kind, items in kinds.items():
            for item in items:
                await getattr(tx, kind).add(item)


async def chosen(store: Store, **incident: Any) -> tuple[str, str, str]:
    async with store.reading() as tx:
        route = await choose(tx, records.incident(**incident))
    return route.rule.id, route.activation.id, route.version.id


async def test_the_library_answers_where_the_client_has_nothing_of_its_own(store: Store) -> None:
    await keep(store, routes=[records.route()], versions=[records.version()], activations=[records.activation()])
    assert await chosen(store) == ("route-1", "act-1", f"{records.RUNBOOK}-v1")


async def test_the_clients_own_rule_and_version_win(store: Store) -> None:
    own = records.version(2, scope="client:acme", digest=sha256(b"2"))
    await keep(
        store,
        versions=[records.version(), own, records.version(1, runbook_id=OTHER, id=f"{OTHER}-v1")],
        activations=[
            records.activation(),
            records.activation("act-2", scope="client:acme", version_id=own.id, digest=own.digest),
            records.activation("act-3", runbook_id=OTHER, version_id=f"{OTHER}-v1"),
        ],
        routes=[records.route()],
    )
    assert await chosen(store) == ("route-1", "act-2", own.id)
    assert await chosen(store, client_id="bolt", host_id="host-2") == ("route-1", "act-1", f"{records.RUNBOOK}-v1")
    await keep(store, routes=[records.route("route-2", scope="client:acme", runbook_id=OTHER)])
    assert await chosen(store) == ("route-2", "act-3", f"{OTHER}-v1")
    assert (await chosen(store, client_id="bolt", host_id="host-2"))[0] == "route-1"


async def test_a_rule_that_is_not_approved_does_not_count(store: Store) -> None:
    await keep(
        store,
        versions=[records.version()],
        activations=[records.activation()],
        routes=[records.route(), records.route("route-2", scope="client:acme", runbook_id=OTHER, active=False)],
    )
    assert (await chosen(store))[0] == "route-1"


@pytest.mark.parametrize(
    ("routes", "activations", "reason", "words"),
    [
        ([], [], EscalationReason.NO_RUNBOOK, ["no routing rule", "service_crash", "client:acme or all"]),
        (
            [records.route(active=False)],
            [records.activation()],
            EscalationReason.NO_RUNBOOK,
            ["no approved routing rule", "route-1", records.RUNBOOK],
        ),
        (
            [records.route()],
            [],
            EscalationReason.NO_LIVE_VERSION,
            ["no live version of " + records.RUNBOOK, "client:acme or all", "none was ever approved"],
        ),
        (
            [records.route()],
            [records.activation(state=ActivationState.SUSPENDED, reason="it did harm")],
            EscalationReason.NO_LIVE_VERSION,
            ["no live version of " + records.RUNBOOK, f"{records.RUNBOOK}-v1 is suspended", "it did harm"],
        ),
    ],
    ids=["no rule", "rule not approved", "never live", "suspended"],
)
async def test_what_is_missing_is_named(
    store: Store, routes: list[Any], activations: list[Any], reason: EscalationReason, words: list[str]
) -> None:
    await keep(store, versions=[records.version()], routes=routes, activations=activations)
    with pytest.raises(NoRoute) as caught:
        await chosen(store)
    assert caught.value.reason is reason
    assert caught.value.code == "no-route"
    assert [word for word in words if word not in str(caught.value)] == []
    assert caught.value.next_step
