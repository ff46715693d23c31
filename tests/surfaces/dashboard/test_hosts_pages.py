"""The pages of hosts: how each is reached, what the last look found, and a button for another."""

from __future__ import annotations

import re

from runwright.model.hosts import (
    CheckStatus,
    HostCheck,
    HostFacts,
    KeyStanding,
    NewHost,
    SecretRef,
    SeenKey,
    SshConnection,
    SshEndpoint,
)
from runwright.model.principals import Role
from support.house import ADMIN, PASSWORD, House, grant

HOSTILE = '<script>alert(1)</script>\u202egnp.\u200b\x1b[31m"onmouseover="x'


async def test_hosts_are_listed_looked_at_and_shown_with_hostile_text_escaped(house: House) -> None:
    inventory, store = house.services.inventory, house.services.store
    for client in ("acme", "rival"):
        await inventory.add_client(ADMIN, client, client)
    secret = SecretRef(client_id="acme", name="web-key")
    through = SshEndpoint(address="bastion.example", credential=secret)
    connection = SshConnection(address="192.0.2.7", port=2222, user="deploy", credential=secret, jump=through)
    labels = {"env": '<b>"prod"'}
    host = await inventory.add_host(
        ADMIN, NewHost(client_id="acme", hostname="web-1", labels=labels, connection=connection)
    )
    await house.add_person("eva", grant(Role.ADMIN, "acme"))
    async with house.anonymous() as http:
        await http.post("/login", data={"name": "eva", "password": PASSWORD})
        listed = (await http.get("/hosts")).text
        for shown in ("web-1", "ssh://deploy@192.0.2.7:2222 through ssh://root@bastion.example", "not checked", "auto"):
            assert shown in listed
        assert "&lt;b&gt;" in listed
        html = (await http.get(f"/hosts/{host.id}")).text
        assert "web-key" in html
        token = re.search(r'name="csrf_token" value="([^"]+)"', html)
        assert token is not None
        assert (await http.post(f"/hosts/{host.id}/check", data={"csrf_token": "wrong"})).status_code == 403
        asked = await http.post(f"/hosts/{host.id}/check", data={"csrf_token": token[1]})
        assert (asked.status_code, asked.headers["location"]) == (303, f"/hosts/{host.id}")
        assert "pending" in (await http.get("/hosts")).text
        async with store.transaction() as tx:
            (check,) = (await tx.host_checks.page(client="acme")).items
            told = {
                "status": CheckStatus.DONE,
                "reachable": False,
                "ready": False,
                "problem": HOSTILE,
                "next_step": HOSTILE,
                "hints": (HOSTILE,),
                "keys": (SeenKey(key="x", fingerprint=HOSTILE, standing=KeyStanding.CHANGED),),
                "facts": HostFacts(user=HOSTILE, os=HOSTILE, init=HOSTILE),
            }
            await tx.host_checks.replace(check, check.model_copy(update=told))
        for path in ("/hosts", f"/hosts/{host.id}"):
            html = (await http.get(path)).text
            assert "failed" in html
            assert "<script>alert" not in html
            assert not re.search("[\u202e\u200b\x1b]", html)
        assert "&lt;script&gt;" in html


async def test_who_sees_another_client_sees_no_host(house: House) -> None:
    for client in ("acme", "rival"):
        await house.services.inventory.add_client(ADMIN, client, client)
    secret = SecretRef(client_id="acme", name="web-key")
    connection = SshConnection(address="192.0.2.7", credential=secret)
    host = await house.services.inventory.add_host(
        ADMIN, NewHost(client_id="acme", hostname="web-1", connection=connection)
    )
    await house.add_person("eve", grant(Role.ADMIN, "rival"))
    await house.add_person("vic", grant(Role.VIEWER, "acme"))
    async with house.anonymous() as http:
        await http.post("/login", data={"name": "eve", "password": PASSWORD})
        assert "web-1" not in (await http.get("/hosts")).text
        assert (await http.get(f"/hosts/{host.id}")).status_code == 404
    async with house.anonymous() as http:
        await http.post("/login", data={"name": "vic", "password": PASSWORD})
        page = (await http.get(f"/hosts/{host.id}")).text
        assert "web-1" in page
        assert "Check now" not in page
        assert HostCheck.__name__ not in page
