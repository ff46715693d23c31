"""Hosts over the API: changed, removed, trusted, checked and imported, by whom it may be, with a trace of each."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from runwright.model.executions import ExecutionStatus
from runwright.model.hosts import (
    Host,
    HostCheck,
    LocalConnection,
    NewHost,
    SecretRef,
    SshConnection,
    connection_digest,
)
from runwright.model.ports.store import EVERY_CLIENT
from runwright.model.principals import Role
from runwright.surfaces.host_reach import is_own_machine
from support import records
from support.house import ADMIN, House, grant

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILH4tZw7ZG8s5/S0y1/eiEjWGOm5pE2T3r20l1LQjIrN"
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHTHUrE6E3lj8p1Ak0R3v4hPAANRHbERfqXUBoKUP2Q2"
FINGERPRINT = "SHA256:QdfTcJJV5nJWQPu49YJw883R0cV2A177IwV3oIsghx4"
ADDRESS = "192.0.2.7"


def ssh(client: str = "acme", **fields: Any) -> dict[str, Any]:
    given = {"kind": "ssh", "address": ADDRESS, "credential": {"client_id": client, "name": "key"}}
    return {**given, **fields}


def jump(**fields: Any) -> dict[str, Any]:
    return {"address": "192.0.2.8", "credential": {"client_id": "acme", "name": "key"}, **fields}


async def registered(house: House, *, local: bool = False, client: str = "acme") -> Host:
    """A host of a client, which is made first."""
    inventory = house.services.inventory
    await inventory.add_client(ADMIN, client, client)
    secret = SecretRef(client_id=client, name="key")
    connection = LocalConnection() if local else SshConnection(address=ADDRESS, credential=secret)
    return await inventory.add_host(ADMIN, NewHost(client_id=client, hostname="web-1", connection=connection))


async def audited(house: House, client: str = "acme") -> list[tuple[str, dict[str, str]]]:
    async with house.services.store.reading() as tx:
        return [(entry.event.action, entry.event.facts) for entry in await tx.audit.entries(client)]


async def test_what_is_named_changes_and_the_rest_stays(house: House) -> None:
    host = await registered(house)
    async with await house.speaking(grant(Role.ADMIN, "acme")) as http:
        path = f"/api/hosts/{host.id}"
        changed = await http.patch(path, json={"labels": {"env": "prod"}, "become": True})
        assert changed.status_code == 200, changed.text
        assert (await http.get(path)).json() == changed.json()
        now = Host.model_validate_json(changed.text)
        assert now == host.model_copy(update={"labels": {"env": "prod"}, "become": True})
        assert (await http.patch(path, json={})).json() == changed.json()
    assert ("host.edit", {"fields": "labels become"}) in await audited(house)
    assert [action for action, _ in await audited(house)].count("host.edit") == 1


async def test_every_way_that_a_host_ever_had_is_audited_by_its_digest(house: House) -> None:
    host = await registered(house)
    async with await house.speaking(grant(Role.ADMIN, "acme")) as http:
        moved = await http.patch(f"/api/hosts/{host.id}", json={"connection": ssh(address="192.0.2.9")})
        assert moved.status_code == 200, moved.text
    now = Host.model_validate_json(moved.text)
    ways = [facts["connection"] for action, facts in await audited(house) if action in ("host.add", "host.edit")]
    assert ways == [connection_digest(host.connection), connection_digest(now.connection)]
    assert ways[0] != ways[1]


async def test_a_hostname_is_taken_once_within_a_client(house: House) -> None:
    host = await registered(house)
    async with await house.speaking(grant(Role.ADMIN, "acme")) as http:
        new = {"client_id": "acme", "hostname": "web-2", "connection": ssh()}
        assert (await http.post("/api/hosts", json=new)).status_code == 201
        assert (await http.patch(f"/api/hosts/{host.id}", json={"hostname": "web-2"})).status_code == 409
        assert (await http.patch(f"/api/hosts/{host.id}", json={"hostname": "web-3"})).json()["hostname"] == "web-3"


async def test_accepted_keys_are_audited_by_their_fingerprints(house: House) -> None:
    host = await registered(house)
    async with await house.speaking(grant(Role.ADMIN, "acme")) as http:
        path = f"/api/hosts/{host.id}/host-keys"
        answer = await http.put(path, json={"host_keys": [KEY]})
        assert answer.json()["connection"]["host_keys"] == [KEY]
        assert (await http.put(path, json={"jump_host_keys": [KEY]})).status_code == 409
        edited = await http.patch(f"/api/hosts/{host.id}", json={"connection": ssh(host_keys=[KEY], jump=jump())})
        assert edited.status_code == 200, edited.text
        through = await http.put(path, json={"jump_host_keys": [OTHER_KEY]})
        assert through.json()["connection"]["jump"]["host_keys"] == [OTHER_KEY]
        assert through.json()["connection"]["host_keys"] == [KEY]
        for bad in ("ssh-ed25519 AAAAAAAAAAAAAAAAAAAAAAAA", "ssh-rsa " + KEY.split()[1], "nonsense"):
            assert (await http.put(path, json={"host_keys": [bad]})).status_code == 422
    trusted = [facts for action, facts in await audited(house) if action == "host.trust"]
    assert [facts["host_keys"] for facts in trusted] == [FINGERPRINT, FINGERPRINT]
    assert trusted[1]["jump_host_keys"].startswith("SHA256:vWReKg+z")


async def test_a_local_host_has_no_keys_to_accept(house: House) -> None:
    host = await registered(house, local=True)
    async with await house.speaking(grant(Role.ADMIN)) as http:
        answer = await http.put(f"/api/hosts/{host.id}/host-keys", json={"host_keys": [KEY]})
    assert answer.status_code == 409


async def test_a_host_is_removed_when_nothing_runs_on_it_and_its_history_stays(house: House) -> None:
    host = await registered(house)
    store = house.services.store
    running = records.execution("exe-1", client_id="acme", host_id=host.id)
    async with store.transaction() as tx:
        await tx.executions.add(running)
    async with await house.speaking(grant(Role.ADMIN, "acme")) as http:
        path = f"/api/hosts/{host.id}"
        await http.post(f"{path}/checks")
        refused = await http.delete(path)
        assert refused.status_code == 409
        assert "1 execution" in refused.json()["found"]
        async with store.transaction() as tx:
            await tx.executions.replace(running, running.model_copy(update={"status": ExecutionStatus.CANCELLED}))
        assert (await http.delete(path)).status_code == 204
        assert (await http.get(path)).status_code == 404
        assert (await http.delete(path)).status_code == 404
        assert (await http.get("/api/executions/exe-1")).json()["host_id"] == host.id
    async with store.reading() as tx:
        assert await tx.host_checks.count(client=EVERY_CLIENT) == 0
    assert ("host.remove", {"hostname": "web-1"}) in await audited(house)


async def test_a_check_waits_for_a_worker_and_the_last_few_are_kept(house: House) -> None:
    host = await registered(house)
    store = house.services.store
    async with await house.speaking(grant(Role.ADMIN, "acme")) as http:
        path = f"/api/hosts/{host.id}/checks"
        first = await http.post(path)
        assert first.status_code == 202, first.text
        assert first.json()["status"] == "pending"
        assert (await http.post(path)).json() == first.json(), "one that waits is not asked for twice"
        for _ in range(6):
            async with store.transaction() as tx:
                newest = (await tx.host_checks.page(client="acme", where={"host_id": host.id}, limit=1)).items[0]
                done = newest.model_dump() | {"status": "done", "reachable": True, "ready": True}
                await tx.host_checks.replace(newest, HostCheck.model_validate(done, strict=False))
            last = (await http.post(path)).json()["id"]
        kept = (await http.get(path)).json()["items"]
        assert len(kept) == 5
        assert kept[0]["id"] == last
        assert (await http.get(f"{path}/{first.json()['id']}")).status_code == 404
        assert (await http.get(f"{path}/{last}")).json()["host_id"] == host.id


async def test_another_clients_host_looks_unknown(house: House) -> None:
    host = await registered(house)
    await house.services.inventory.add_client(ADMIN, "rival", "Rival")
    check = await house.services.inventory.request_check(ADMIN, host)
    path = f"/api/hosts/{host.id}"
    async with await house.speaking(grant(Role.ADMIN, "rival")) as http:
        answers = [
            await http.get(path),
            await http.patch(path, json={"become": True}),
            await http.delete(path),
            await http.put(f"{path}/host-keys", json={"host_keys": [KEY]}),
            await http.post(f"{path}/checks"),
            await http.get(f"{path}/checks"),
            await http.get(f"{path}/checks/{check.id}"),
        ]
        assert [answer.status_code for answer in answers] == [404] * 7
        foreign = {"client_id": "acme", "hosts": []}
        assert (await http.post("/api/hosts/import", json=foreign)).status_code == 403


async def test_who_may_only_look_changes_nothing(house: House) -> None:
    host = await registered(house)
    path = f"/api/hosts/{host.id}"
    for role in (Role.VIEWER, Role.OPERATOR, Role.APPROVER):
        async with await house.speaking(grant(role, "acme"), name=role.value) as http:
            assert (await http.get(path)).status_code == 200
            assert (await http.get(f"{path}/checks")).status_code == 200
            for answer in (
                await http.patch(path, json={"become": True}),
                await http.delete(path),
                await http.post(f"{path}/checks"),
                await http.put(f"{path}/host-keys", json={"host_keys": [KEY]}),
            ):
                assert answer.status_code == 403
    token = await house.machine(grant(Role.ADMIN))
    async with house.anonymous(Authorization=f"Bearer {token}") as robot:
        assert (await robot.delete(path)).status_code == 403


FOREIGN = {"client_id": "other", "name": "key"}


WAYS: list[tuple[dict[str, Any], int, int]] = [
    (ssh(), 201, 201),
    (ssh(login="agent", credential=None), 403, 201),
    (ssh(jump=jump(login="agent", credential=None)), 403, 201),
    (ssh(address="127.0.0.1"), 403, 201),
    (ssh(jump=jump(address="::1")), 403, 201),
    (ssh(passphrase=FOREIGN), 403, 403),
    (ssh(become_password=FOREIGN), 403, 403),
    (ssh(jump=jump(credential=FOREIGN)), 403, 403),
    (ssh(jump=jump(passphrase=FOREIGN)), 403, 403),
    (ssh(credential=None), 422, 422),
    (ssh(jump=jump(login="password", credential=None)), 422, 422),
    (ssh(address="-oProxyCommand=evil"), 422, 422),
    (ssh(user="-l"), 422, 422),
    (ssh(port=0), 422, 422),
    (ssh(address="a\nb"), 422, 422),
]
"""A way to a host, and what a client's admin and an admin of everything are answered."""


async def test_who_may_register_which_way(house: House) -> None:
    for client in ("acme", "other"):
        await house.services.inventory.add_client(ADMIN, client, client)
    for column, scope in enumerate(("acme", None), start=1):
        async with await house.speaking(grant(Role.ADMIN, scope), name=f"admin-{column}") as http:
            for number, way in enumerate(WAYS):
                wanted = way[column]
                new = {"client_id": "acme", "hostname": f"web-{column}-{number}", "connection": way[0]}
                answer = await http.post("/api/hosts", json=new)
                assert answer.status_code == wanted, (way, answer.text)
                many = {"client_id": "acme", "hosts": [new | {"hostname": f"db-{column}-{number}"}]}
                imported = await http.post("/api/hosts/import", json=many)
                assert imported.status_code == (200 if wanted == 201 else wanted), (way, imported.text)


async def test_who_could_not_have_registered_it_may_not_change_it(house: House) -> None:
    host = await registered(house, local=True)
    path = f"/api/hosts/{host.id}"
    async with await house.speaking(grant(Role.ADMIN, "acme")) as http:
        assert (await http.patch(path, json={"policy": {"mode": "auto"}})).status_code == 403
        assert (await http.patch(path, json={"connection": ssh()})).status_code == 403
        assert (await http.delete(path)).status_code == 403
    own = await registered(house, client="own")
    async with await house.speaking(grant(Role.ADMIN, "own"), name="ben") as http:
        answer = await http.patch(f"/api/hosts/{own.id}", json={"connection": {"kind": "local"}})
        assert answer.status_code == 403


@pytest.mark.parametrize(
    ("address", "own"),
    [
        *(("127.0.0.1", True), ("127.1", True), ("2130706433", True), ("0x7f.1", True), ("::", True)),
        *(("::1", True), ("::ffff:127.0.0.1", True), ("fe80::1%eth0", True), ("169.254.169.254", True)),
        *(("localhost", True), ("LOCALHOST.", True), ("a.localhost", True), ("224.0.0.1", True)),
        *(("192.0.2.7", False), ("2001:db8::7", False), ("web-1.example.com", False), ("10.255.255.254", False)),
    ],
)
def test_the_servers_own_addresses(address: str, own: bool) -> None:
    assert is_own_machine(address) == own


HOSTILE: list[dict[str, Any]] = [
    {"hostname": "-rf"},
    {"hostname": "a\u202eb"},
    {"hostname": "a" * 300},
    {"labels": {"env": "a\x1b[31m"}},
    {"labels": {"env": "\u200b"}},
    {"labels": {"-x": "y"}},
    {"labels": {"a b": "y"}},
    {"labels": {"env": "x" * 300}},
    {"labels": {f"l{number}": "x" for number in range(65)}},
]


async def test_hostile_values_are_refused_wherever_they_come_in(house: House) -> None:
    host = await registered(house)
    async with await house.speaking(grant(Role.ADMIN, "acme")) as http:
        for fields in HOSTILE:
            new = {"client_id": "acme", "hostname": "web-2", "connection": ssh()} | fields
            for answer in (
                await http.post("/api/hosts", json=new),
                await http.patch(f"/api/hosts/{host.id}", json=fields),
                await http.post("/api/hosts/import", json={"client_id": "acme", "hosts": [new]}),
            ):
                assert answer.status_code == 422, (fields, answer.text)
        assert len((await http.get("/api/hosts")).json()["items"]) == 1


def _described(*names: str, **fields: Any) -> list[dict[str, Any]]:
    return [{"client_id": "acme", "hostname": name, "connection": ssh(), **fields} for name in names]


async def _import(http: httpx2.AsyncClient, hosts: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    answer = await http.post(
        "/api/hosts/import", json={"client_id": "acme", "hosts": hosts, "own_labels": "group.", **fields}
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_an_import_again_changes_only_what_differs_and_only_if_asked(house: House) -> None:
    await registered(house)
    labels = {"group.web": "true"}
    async with await house.speaking(grant(Role.ADMIN, "acme")) as http:
        hosts = _described("web-2", "web-3", labels=labels)
        planned = await _import(http, hosts, dry_run=True)
        assert (planned["new"], planned["applied"]) == (["web-2", "web-3"], False)
        assert len((await http.get("/api/hosts")).json()["items"]) == 1
        done = await _import(http, hosts)
        assert (done["new"], done["applied"]) == (["web-2", "web-3"], True)
        assert done["secrets"][0]["file"].endswith("/secrets/acme/key")
        assert done["secrets"][0]["variable"] == "RUNWRIGHT_SECRET_ACME_KEY"
        again = await _import(http, hosts, update=True)
        assert (again["new"], again["changed"], again["unchanged"]) == ([], [], ["web-2", "web-3"])
        # what persons did stays: accepted keys, labels of their own, the policy
        (second,) = (await http.get("/api/hosts?hostname=web-2")).json()["items"]
        await http.put(f"/api/hosts/{second['id']}/host-keys", json={"host_keys": [KEY]})
        mine = {"labels": {**labels, "team": "shop"}, "policy": {"mode": "ask"}}
        await http.patch(f"/api/hosts/{second['id']}", json=mine)
        assert (await _import(http, hosts))["changed"] == []
        moved = _described("web-2", labels={"group.db": "true"}) + _described("web-3", labels=labels)
        differing = await _import(http, moved)
        assert differing["changed"] == [{"hostname": "web-2", "fields": ["labels"]}]
        assert not differing["updated"]
        await _import(http, moved, update=True)
        (now,) = (await http.get("/api/hosts?hostname=web-2")).json()["items"]
        assert now["labels"] == {"group.db": "true", "team": "shop"}
        assert now["connection"]["host_keys"] == [KEY]
        assert now["policy"]["mode"] == "ask"
        elsewhere = [item | {"connection": ssh(address="192.0.2.99")} for item in moved]
        await _import(http, elsewhere, update=True)
        (now,) = (await http.get("/api/hosts?hostname=web-2")).json()["items"]
        assert now["connection"]["host_keys"] == [], "another address has keys of its own"


async def test_an_import_is_all_or_nothing(house: House) -> None:
    await registered(house)
    bad = _described("web-2") + _described("web-3", connection=ssh(login="agent", credential=None))
    twice = _described("web-4", "web-4")
    foreign = [_described("web-5")[0] | {"client_id": "rival"}]
    async with await house.speaking(grant(Role.ADMIN, "acme")) as http:
        for hosts, status, says in ((bad, 403, "agent"), (twice, 422, "twice"), (foreign, 422, "rival")):
            answer = await http.post("/api/hosts/import", json={"client_id": "acme", "hosts": hosts})
            assert answer.status_code == status, answer.text
            assert says in answer.json()["faults"][0]["message"]
            assert answer.json()["faults"][0]["path"].startswith("hosts[")
        assert len((await http.get("/api/hosts")).json()["items"]) == 1
