"""Which machines a client's admin may register: their own, never the server's."""

from __future__ import annotations

from typing import Any

import pytest

from runwright.model.principals import Grant, Role
from support.house import ADMIN, House

LOCAL = {"kind": "local"}
MACHINE = {"kind": "nspawn", "machine": "of-another-client"}
OWN = {"kind": "ssh", "address": "10.0.0.1", "credential": {"client_id": "acme", "name": "key"}}
FOREIGN = {"kind": "ssh", "address": "10.0.0.1", "credential": {"client_id": "other", "name": "key"}}


@pytest.mark.parametrize(
    ("connection", "status", "everything"),
    [(LOCAL, 403, 201), (MACHINE, 403, 201), (FOREIGN, 403, 403), (OWN, 201, 201)],
)
async def test_a_clients_admin_does_not_reach_the_server_or_another_client(
    house: House, connection: dict[str, Any], status: int, everything: int
) -> None:
    """Steps on the server itself could read the approval key; a foreign credential opens a foreign host."""
    for client in ("acme", "other"):
        await house.services.inventory.add_client(ADMIN, client, client)
    admins = {"acme": status, None: everything}
    for number, (client, wanted) in enumerate(admins.items()):
        speaking = await house.speaking(Grant(role=Role.ADMIN, client_id=client), name=f"admin-{number}")
        new = {"client_id": "acme", "hostname": f"web-{number}", "connection": connection}
        async with speaking:
            answer = await speaking.post("/api/hosts", json=new)
        assert answer.status_code == wanted, answer.text
