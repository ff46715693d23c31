"""The pages, asked as a browser asks: cookie, CSRF token, forms that post and redirect."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import httpx2
import pytest

from runwright.model.hosts import LocalConnection, NewHost
from runwright.model.incidents import NewIncident
from runwright.model.principals import Role
from runwright.surfaces.dashboard.side_by_side import rows
from support.house import ADMIN, PASSWORD, House, grant

HOSTILE = '<script>alert(1)</script>\u202egnp.\u200b\x1b[31m"onmouseover="x'
PAGES = ("/", "/queue", "/incidents", "/executions", "/hosts", "/runbooks", "/runbooks/RB-LINUX-SERVICE-001")


async def _logged_in(house: House, *grants: object) -> httpx2.AsyncClient:
    await house.services.access.add_user(ADMIN, "ada", PASSWORD, grants=grants or (grant(Role.ADMIN),))
    http = house.anonymous()
    answer = await http.post("/login", data={"name": "ada", "password": PASSWORD})
    assert answer.status_code == 303
    assert "httponly" in answer.headers["set-cookie"].lower()
    assert "samesite=strict" in answer.headers["set-cookie"].lower()
    return http


def _csrf(html: str) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', html)
    assert found is not None
    return found[1]


async def test_every_page_answers_and_names_what_to_do_when_empty(house: House) -> None:
    http = await _logged_in(house)
    for path in PAGES:
        answer = await http.get(path)
        assert answer.status_code == 200, (path, answer.text)
        assert 'id="main"' in answer.text
        assert "<script>" not in answer.text
        assert 'style="' not in answer.text
    assert "Nothing ran yet" in (await http.get("/executions")).text


async def test_a_stranger_is_led_to_the_login(house: House) -> None:
    async with house.anonymous() as http:
        answer = await http.get("/queue")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/login?next=/queue"
        wrong = await http.post("/login", data={"name": "ada", "password": "wrong"})
        assert wrong.status_code == 401
        assert "set-cookie" not in wrong.headers


async def test_approving_on_the_page_makes_it_live(house: House) -> None:
    http = await _logged_in(house, grant(Role.APPROVER))
    html = (await http.get("/review/RB-LINUX-DISK-001-v1")).text
    digest = re.search(r'name="digest" value="([^"]+)"', html)
    assert digest is not None
    form = {"csrf_token": _csrf(html), "digest": digest[1], "note": "read it whole"}
    answer = await http.post("/review/RB-LINUX-DISK-001-v1/approve", data=form)
    assert answer.status_code == 303, answer.text
    after = (await http.get("/review/RB-LINUX-DISK-001-v1")).text
    assert "read it whole" in after
    assert "Approve and make live" not in after
    assert "live for all" in (await http.get("/runbooks/RB-LINUX-DISK-001")).text


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
async def test_another_site_cannot_decide_with_our_cookie(house: House, headers: dict[str, str]) -> None:
    http = await _logged_in(house)
    html = (await http.get("/review/RB-LINUX-DISK-001-v1")).text
    form = {"csrf_token": _csrf(html), "digest": "sha256:" + "0" * 64, "reason": "no"}
    answer = await http.post("/review/RB-LINUX-DISK-001-v1/reject", data=form, headers=headers)
    assert answer.status_code == 403


@pytest.mark.parametrize("token", ["", "wrong", None])
async def test_a_form_without_the_sessions_token_changes_nothing(house: House, token: str | None) -> None:
    http = await _logged_in(house)
    html = (await http.get("/review/RB-LINUX-DISK-001-v1")).text
    digest = re.search(r'name="digest" value="([^"]+)"', html)
    assert digest is not None
    form = {"digest": digest[1], "note": ""} | ({} if token is None else {"csrf_token": token})
    assert (await http.post("/review/RB-LINUX-DISK-001-v1/approve", data=form)).status_code == 403
    assert "Approve and make live" in (await http.get("/review/RB-LINUX-DISK-001-v1")).text


async def test_hostile_text_is_escaped_and_made_visible(house: House) -> None:
    http = await _logged_in(house)
    inventory, loop = house.services.inventory, house.services.loop
    await inventory.add_client(ADMIN, "acme", HOSTILE)
    await inventory.add_host(ADMIN, NewHost(client_id="acme", hostname="web-1", connection=LocalConnection()))
    incident = await loop.report_incident(
        ADMIN,
        NewIncident(
            client_id="acme",
            host="web-1",
            incident_type="service_crash",
            subject={"service": HOSTILE},
            source=HOSTILE,
        ),
    )
    for path in ("/incidents", f"/incidents/{incident.id}"):
        html = (await http.get(path)).text
        assert "<script>alert" not in html
        assert "&lt;script&gt;" in html
        for hidden in ("\u202e", "\u200b", "\x1b"):
            assert hidden not in html


async def test_an_unknown_page_is_a_page(house: House) -> None:
    http = await _logged_in(house)
    answer = await http.get("/runbooks/RB-NOTHING")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")


def test_nothing_that_differs_is_folded() -> None:
    old = "\n".join(f"line {number}" for number in range(40))
    new = old.replace("line 20", "LINE 20").replace("line 39", "line 39\nline 40")
    made = rows(old, new)
    assert [(row.left, row.right) for row in made if row.kind == "changed"] == [("line 20", "LINE 20")]
    assert [row.right for row in made if row.kind == "added"] == ["line 40"]
    assert {row.left for row in made if row.kind == "skip"} == {"17 equal lines", "13 equal lines"}


def test_the_picture_of_the_readme_is_one_and_small() -> None:
    picture = Path(__file__).parents[3] / "docs" / "images" / "review.png"
    data = picture.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">I", data[16:20])[0] == 1280
    assert len(data) < 300_000
