"""The overview's figures, rates of versions, the audit chains, the stop switch: what is shown, and to whom."""

from __future__ import annotations

import re

import httpx2
import pytest
from sqlalchemy import create_engine, text

from runwright.model.audit import AuditEvent
from runwright.model.errors import StorageUnavailable
from runwright.model.ports.clock import Clock
from runwright.model.principals import Grant, Role
from runwright.surfaces.dashboard.views import last_sequence, newest_entries
from support.house import ADMIN, PASSWORD, House, grant
from surfaces import seed
from surfaces.conftest import History


async def _page(house: House, path: str, *grants: Grant) -> httpx2.Response:
    await house.add_person("ada", *(grants or (grant(Role.ADMIN),)))
    http = house.anonymous()
    await http.post("/login", data={"name": "ada", "password": PASSWORD})
    return await http.get(path)


def _plain(html: str) -> str:
    """The words of a page."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


async def test_tiles_say_what_they_count(told: House, history: History) -> None:
    await seed.healed_by_candidate(told.services, history.seeded)
    words = _plain((await _page(told, "/")).text)
    assert "50% Runs that worked 1 of 2 runs that ended 95% interval 9% to 91%" in words
    assert "50% Incidents resolved 1 of 2 incidents" in words
    assert "1 Wait for a person" in words
    assert "1 Versions learned" in words


async def test_tiles_without_a_case_give_no_figure(house: House) -> None:
    words = _plain((await _page(house, "/")).text)
    assert "- Runs that worked no runs that ended" in words
    assert "0%" not in words


async def test_each_version_has_its_rate(told: House, history: History) -> None:
    await seed.healed_by_candidate(told.services, history.seeded)
    words = _plain((await _page(told, f"/runbooks/{seed.RUNBOOK}")).text)
    newest, oldest = words.index("v2 add step"), words.index("v1 Bring")
    assert newest < words.index("100% 1 of 1 run; 95% interval 21% to 100%") < oldest
    assert words.index("0% 0 of 1 run; 95% interval 0% to 79%") > oldest


async def test_the_audit_page_names_who_did_what(told: House, history: History) -> None:
    await told.add_person("ben", grant(Role.APPROVER))
    ben, _ = await told.services.access.session_principal((await told.services.access.login("ben", PASSWORD))[1])
    item = await told.services.reviews.item(ben, history.seeded.candidate)
    await told.services.reviews.approve(ben, item.id, digest=item.subject.digest)
    words = _plain((await _page(told, f"/audit?chain={seed.CLIENT}&check=true")).text)
    assert "ben review.approve" in words
    assert "Whole:" in words
    assert "every hash fits" in words


async def test_an_edited_chain_is_named(told: House) -> None:
    engine = create_engine(f"sqlite:///{told.services.settings.data_dir / 'runwright.db'}")
    with engine.begin() as connection:
        for name in connection.scalars(text("SELECT name FROM sqlite_master WHERE type='trigger'")).all():
            connection.execute(text(f'DROP TRIGGER "{name}"'))
        changed = connection.execute(
            text("UPDATE audit_log SET document = replace(document, 'run_failed', 'all_good') WHERE chain = :chain"),
            {"chain": seed.CLIENT},
        )
        assert changed.rowcount > 0
    engine.dispose()
    words = _plain((await _page(told, f"/audit?chain={seed.CLIENT}&check=true")).text)
    assert "This chain was tampered with" in words
    assert "was edited" in words


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, Role.AUTHOR])
async def test_who_may_not_audit_gets_neither_link_nor_page(told: House, role: Role) -> None:
    answer = await _page(told, "/audit", grant(role))
    assert answer.status_code == 403
    assert 'href="/audit"' not in answer.text


async def test_an_auditor_of_one_client_sees_its_chain_alone(told: House) -> None:
    await told.services.inventory.add_client(ADMIN, "rival", "Rival")
    own = await _page(told, "/audit", grant(Role.APPROVER, seed.CLIENT))
    assert own.status_code == 200
    assert "chain=system" not in own.text
    assert "incident.escalate" in own.text
    http = told.anonymous()
    await http.post("/login", data={"name": "ada", "password": PASSWORD})
    for chain in ("system", "rival"):
        assert (await http.get(f"/audit?chain={chain}")).status_code == 404


@pytest.mark.parametrize("entries", [0, 1, 2, 3, 7, 64, 65])
async def test_the_newest_entries_come_first_in_whole_pages(house: House, clock: Clock, entries: int) -> None:
    store = house.services.store
    async with store.transaction() as tx:
        for number in range(entries):
            event = AuditEvent(chain="acme", actor="ada", action="test", subject=str(number), at=clock.now())
            await tx.audit.append(event)
    async with store.reading() as tx:
        assert await last_sequence(tx, "acme") == entries
        seen: list[int] = []
        before: int | None = None
        while True:
            page, before = await newest_entries(tx, "acme", before, 10)
            assert len(page) <= 10
            seen += [entry.sequence for entry in page]
            if before is None:
                break
    assert seen == list(range(entries, 0, -1))


async def test_a_switch_of_another_client_is_not_shown(told: House) -> None:
    switches = told.services.switches
    await told.services.inventory.add_client(ADMIN, "rival", "Rival")
    await switches.stop(ADMIN, "client:rival", "their secret reason")
    await switches.stop(ADMIN, f"runbook:{seed.RUNBOOK}", "it harms")
    words = _plain((await _page(told, "/incidents", grant(Role.VIEWER, seed.CLIENT))).text)
    assert f"Runbook {seed.RUNBOOK} is stopped" in words
    assert "it harms" in words
    assert "secret" not in words
    assert "Let runs go on" not in words


async def test_a_database_that_does_not_answer_is_said_on_the_page(
    told: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await told.add_person("ada", grant(Role.ADMIN))
    http = told.anonymous()
    await http.post("/login", data={"name": "ada", "password": PASSWORD})
    access_reads = 1
    real = told.services.store.reading

    def failing() -> object:
        nonlocal access_reads
        if access_reads:
            access_reads -= 1
            return real()
        raise StorageUnavailable("Found the disk full.", next_step="Make room.")

    monkeypatch.setattr(told.services.store, "reading", failing)
    answer = await http.get("/incidents")
    assert answer.status_code == 503
    words = _plain(answer.text)
    assert "Make room." in words
    assert "Whether anything is stopped is not known" in words
