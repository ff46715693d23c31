"""What holds for each collection: adding, finding, scoping, compare and swap, lists."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import text

from runwright.adapters.storage.store import SqlStore
from runwright.model.base import Record
from runwright.model.clients import client_scope
from runwright.model.errors import Conflict, InvalidInput, NotFound
from runwright.model.executions import ExecutionStatus
from runwright.model.ports.store import EVERY_CLIENT
from runwright.model.questions import QuestionStatus
from support import records

KINDS = {
    "clients": records.client,
    "hosts": records.host,
    "incidents": records.incident,
    "escalations": records.escalation,
    "reviews": records.review,
    "approvals": records.approval,
    "activations": records.activation,
    "routes": records.route,
    "executions": records.execution,
    "questions": records.question,
    "analyses": records.analysis,
    "proposals": records.proposal,
    "trials": records.trial,
    "users": records.user,
    "tokens": records.token,
    "switches": records.switch,
}

CHANGES: dict[str, dict[str, Any]] = {
    "clients": {"name": "New"},
    "hosts": {"become": True},
    "incidents": {"resolved_by": "eva"},
    "escalations": {"assignee": "eva"},
    "reviews": {"assignee": "eva"},
    "approvals": {"revoked_by": "eva"},
    "activations": {"reason": "drill"},
    "routes": {"active": False},
    "executions": {"epoch": 3},
    "questions": {"status": QuestionStatus.EXPIRED},
    "analyses": {"occurrences": 2},
    "proposals": {"usd": 0.5},
    "trials": {"digest": "sha256:" + "1" * 64},
    "users": {"display_name": "Eva"},
    "tokens": {"revoked_at": records.at(5)},
    "switches": {"reason": "over"},
}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_record_comes_back_equal_and_once_only(store: SqlStore, kind: str) -> None:
    record: Any = KINDS[kind]()
    async with store.transaction() as tx:
        await getattr(tx, kind).add(record)
    async with store.transaction() as tx:
        with pytest.raises(Conflict, match="already"):
            await getattr(tx, kind).add(record)
        assert await getattr(tx, kind).get(record.id, client=EVERY_CLIENT) == record, "a Conflict spoils nothing"
    async with store.reading() as tx:
        assert (await getattr(tx, kind).page(client=EVERY_CLIENT)).items == (record,)
        assert await getattr(tx, kind).count(client=EVERY_CLIENT) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_change_needs_the_record_as_it_is(store: SqlStore, kind: str) -> None:
    old: Any = KINDS[kind]()
    new = old.model_copy(update=CHANGES[kind])
    async with store.transaction() as tx:
        await getattr(tx, kind).add(old)
        await getattr(tx, kind).replace(old, new)
    async with store.transaction() as tx:
        with pytest.raises(Conflict, match="has changed"):
            await getattr(tx, kind).replace(old, new)
        assert await getattr(tx, kind).get(old.id, client=EVERY_CLIENT) == new
        missing = old.model_copy(update={"id": "nobody"})
        with pytest.raises(Conflict, match="is not there"):
            await getattr(tx, kind).replace(missing, missing)


async def test_an_id_never_changes(store: SqlStore) -> None:
    async with store.transaction() as tx:
        await tx.hosts.add(records.host())
        with pytest.raises(InvalidInput, match="id never changes"):
            await tx.hosts.replace(records.host(), records.host("host-2"))


OWNED = {
    "hosts": records.host,
    "incidents": records.incident,
    "escalations": records.escalation,
    "executions": records.execution,
    "questions": records.question,
    "analyses": records.analysis,
    "proposals": records.proposal,
}


@pytest.mark.parametrize("kind", OWNED)
async def test_a_record_of_another_client_looks_like_none(store: SqlStore, kind: str) -> None:
    record: Any = OWNED[kind](client_id="acme")
    async with store.transaction() as tx:
        await getattr(tx, kind).add(record)
    async with store.reading() as tx:
        found = getattr(tx, kind)
        assert await found.get(record.id, client="acme") == record
        errors = []
        for key in (record.id, "nothing"):
            with pytest.raises(NotFound) as raised:
                await found.get(key, client="other")
            errors.append(str(raised.value).replace(key, "KEY"))
        assert errors[0] == errors[1]
        assert (await found.page(client="other")).items == ()
        assert (await found.count(client="other"), await found.count(client="acme")) == (0, 1)


SCOPED = {
    "approvals": records.approval,
    "activations": records.activation,
    "routes": records.route,
    "versions": records.version,
}


@pytest.mark.parametrize("kind", SCOPED)
async def test_library_content_is_everyones_and_a_clients_its_own(store: SqlStore, kind: str) -> None:
    make = SCOPED[kind]
    numbers: tuple[Any, ...] = (1, 2, 3) if kind == "versions" else ("a", "b", "c")
    library: Any = make(numbers[0], scope="all")
    own: Any = make(numbers[1], scope=client_scope("acme"))
    foreign: Any = make(numbers[2], scope=client_scope("other"))
    async with store.transaction() as tx:
        for record in (library, own, foreign):
            await getattr(tx, kind).add(record)
    async with store.reading() as tx:
        found = getattr(tx, kind)
        assert {item.id for item in (await found.page(client="acme")).items} == {library.id, own.id}
        assert await found.find(library.id, client="acme") == library
        assert await found.find(foreign.id, client="acme") is None
        assert await found.count(client=EVERY_CLIENT) == 3


async def test_reviews_of_the_library_and_system_records_are_not_a_clients(store: SqlStore) -> None:
    async with store.transaction() as tx:
        await tx.reviews.add(records.review("library", scope="all"))
        await tx.reviews.add(records.review("own", scope=client_scope("acme")))
        await tx.users.add(records.user())
        await tx.tokens.add(records.token())
        for key in ("global", "client:acme", "client:other", "runbook:RB-X"):
            await tx.switches.add(records.switch(key))
        await tx.versions.add(records.version(1, scope=client_scope("other")))
        await tx.versions.add(records.version(2, scope="all"))
        await tx.trials.add(records.trial("theirs", version_id=f"{records.RUNBOOK}-v1"))
        await tx.trials.add(records.trial("ours", version_id=f"{records.RUNBOOK}-v2"))
    async with store.reading() as tx:
        assert [item.id for item in (await tx.reviews.page(client="acme")).items] == ["own"]
        assert await tx.users.find("usr-1", client="acme") is None
        assert await tx.tokens.count(client="acme") == 0
        seen = {item.id for item in (await tx.switches.page(client="acme")).items}
        assert seen == {"global", "client:acme", "runbook:RB-X"}
        assert [item.id for item in (await tx.trials.page(client="acme")).items] == ["ours"]


async def test_lists_go_newest_first_through_all_pages(store: SqlStore) -> None:
    moments = [3, 1, 2, 2, 2, 5, 4]
    made = [records.execution(f"exe-{n}", created_at=records.at(moment)) for n, moment in enumerate(moments)]
    async with store.transaction() as tx:
        for record in made:
            await tx.executions.add(record)
    expected = [item.id for item in sorted(made, key=lambda item: (item.created_at, item.id), reverse=True)]
    async with store.reading() as tx:
        for limit in (1, 2, 3, 7, 50):
            seen: list[str] = []
            cursor = None
            while True:
                page = await tx.executions.page(client="acme", cursor=cursor, limit=limit)
                seen += [item.id for item in page.items]
                cursor = page.next_cursor
                if cursor is None:
                    break
            assert seen == expected, limit


async def test_pages_hold_while_records_arrive(store: SqlStore) -> None:
    async with store.transaction() as tx:
        for n in range(4):
            await tx.hosts.add(records.host(f"host-{n}", created_at=records.at(n)))
    async with store.transaction() as tx:
        first = await tx.hosts.page(client="acme", limit=2)
        await tx.hosts.add(records.host("newer", created_at=records.at(9)))
        second = await tx.hosts.page(client="acme", limit=2, cursor=first.next_cursor)
    assert [item.id for item in first.items + second.items] == ["host-3", "host-2", "host-1", "host-0"]


async def test_a_filter_takes_values_enums_tuples_and_none(store: SqlStore) -> None:
    running = records.execution("a", status=ExecutionStatus.RUNNING)
    failed = records.execution("b", status=ExecutionStatus.FAILURE, host_id="host-2")
    done = records.execution("c", status=ExecutionStatus.SUCCESS)
    async with store.transaction() as tx:
        for record in (running, failed, done):
            await tx.executions.add(record)
        await tx.versions.add(records.version(1))
        await tx.versions.add(records.version(2, parent=f"{records.RUNBOOK}-v1"))
        await tx.routes.add(records.route("on"))
        await tx.routes.add(records.route("off", active=False))

    async def found(kind: str, where: dict[str, Any]) -> set[str]:
        page = await getattr(tx, kind).page(client=EVERY_CLIENT, where=where)
        assert await getattr(tx, kind).count(client=EVERY_CLIENT, where=where) == len(page.items)
        return {item.id for item in page.items}

    async with store.reading() as tx:
        assert await found("executions", {"status": ExecutionStatus.RUNNING}) == {"a"}
        assert await found("executions", {"status": "running"}) == {"a"}
        assert await found("executions", {"status": (ExecutionStatus.RUNNING, "failure")}) == {"a", "b"}
        assert await found("executions", {"status": ("failure", "success"), "host_id": "host-1"}) == {"c"}
        assert await found("executions", {"status": ()}) == set()
        assert await found("versions", {"parent": None}) == {f"{records.RUNBOOK}-v1"}
        assert await found("versions", {"parent": (f"{records.RUNBOOK}-v1",)}) == {f"{records.RUNBOOK}-v2"}
        both = {f"{records.RUNBOOK}-v1", f"{records.RUNBOOK}-v2"}
        assert await found("versions", {"parent": (None, f"{records.RUNBOOK}-v1")}) == both
        assert await found("versions", {"number": 2}) == {f"{records.RUNBOOK}-v2"}
        assert await found("routes", {"active": True, "incident_type": "service_crash"}) == {"on"}


@pytest.mark.parametrize(
    ("kind", "where"),
    [
        ("executions", {"colour": "red"}),
        ("executions", {"document": "{}"}),
        ("executions", {"epoch": 1}),
        ("executions", {"status; DROP TABLE executions": "x"}),
        ("versions", {"number": "2"}),
        ("versions", {"number": True}),
        ("routes", {"active": 1}),
        ("executions", {"status": "run\x00ning"}),
        ("executions", {"status": ("running", 5)}),
    ],
)
async def test_a_bad_filter_is_refused(store: SqlStore, kind: str, where: dict[str, Any]) -> None:
    async with store.reading() as tx:
        with pytest.raises(InvalidInput, match="Allowed"):
            await getattr(tx, kind).page(client=EVERY_CLIENT, where=where)
        with pytest.raises(InvalidInput):
            await getattr(tx, kind).count(client=EVERY_CLIENT, where=where)


async def test_a_cursor_belongs_to_its_list(store: SqlStore) -> None:
    async with store.transaction() as tx:
        for n in range(3):
            await tx.hosts.add(records.host(f"host-{n}"))
            await tx.incidents.add(records.incident(f"inc-{n}"))
            await tx.reviews.add(records.review(f"rev-{n}"))
    async with store.reading() as tx:
        cursor = (await tx.hosts.page(client="acme", limit=1)).next_cursor
        assert cursor is not None
        waiting = (await tx.reviews.pending(client=EVERY_CLIENT, limit=1)).next_cursor
        wrong = ["", "x", "!!!", cursor[:-3], cursor + "A", "W10", "eyJhIjoxfQ", "[" * 99_999, str(waiting)]
        for bad in wrong:
            with pytest.raises(InvalidInput, match="cursor"):
                await tx.hosts.page(client="acme", cursor=bad)
        with pytest.raises(InvalidInput, match="cursor"):
            await tx.incidents.page(client="acme", cursor=cursor)
        with pytest.raises(InvalidInput, match="cursor"):
            await tx.hosts.page(client="other", cursor=cursor)
        with pytest.raises(InvalidInput, match="cursor"):
            await tx.hosts.page(client="acme", where={"hostname": "host-1"}, cursor=cursor)
        with pytest.raises(InvalidInput, match="cursor"):
            await tx.reviews.pending(client=EVERY_CLIENT, cursor=cursor)
        for limit in (0, -1, 10_001):
            with pytest.raises(InvalidInput, match="1 to 10000"):
                await tx.hosts.page(client="acme", limit=limit)


@pytest.mark.parametrize(
    ("kind", "first", "second", "words"),
    [
        ("hosts", records.host("a", hostname="web"), records.host("b", hostname="web"), "same hostname"),
        ("users", records.user("a", name="eva"), records.user("b", name="eva"), "same name"),
        ("tokens", records.token("a", secret_digest="s"), records.token("b", secret_digest="s"), "same secret"),
        ("activations", records.activation("a"), records.activation("b"), "live"),
    ],
)
async def test_unique_values(store: SqlStore, kind: str, first: Record, second: Record, words: str) -> None:
    async with store.transaction() as tx:
        await getattr(tx, kind).add(first)
        with pytest.raises(Conflict, match=words):
            await getattr(tx, kind).add(second)
    async with store.reading() as tx:
        assert await getattr(tx, kind).count(client=EVERY_CLIENT) == 1


async def test_a_refused_change_of_a_unique_value_leaves_the_transaction_usable(store: SqlStore) -> None:
    eva, tom = records.user("a", name="eva"), records.user("b", name="tom")
    async with store.transaction() as tx:
        await tx.users.add(eva)
        await tx.users.add(tom)
        with pytest.raises(Conflict):
            await tx.users.replace(tom, tom.model_copy(update={"name": "eva"}))
        await tx.users.replace(tom, tom.model_copy(update={"name": "tim"}))
    async with store.reading() as tx:
        assert [item.id for item in (await tx.users.page(client=EVERY_CLIENT, where={"name": "tim"})).items] == ["b"]


async def test_the_same_hostname_may_exist_at_two_clients(store: SqlStore) -> None:
    async with store.transaction() as tx:
        await tx.hosts.add(records.host("a", hostname="web", client_id="acme"))
        await tx.hosts.add(records.host("b", hostname="web", client_id="other"))
        assert await tx.hosts.count(client=EVERY_CLIENT, where={"hostname": "web"}) == 2


async def test_text_that_no_database_keeps(store: SqlStore) -> None:
    async with store.transaction() as tx:
        assert await tx.hosts.find("ho\x00st", client="acme") is None
        assert await tx.hosts.find("ho\ud800st", client="acme") is None
        for bad in ("ho\x00st", "ho\ud800st"):
            with pytest.raises(InvalidInput, match="NUL"):
                await tx.hosts.add(records.host("host-1").model_copy(update={"id": bad}))
        with pytest.raises(InvalidInput, match="JSON"):
            await tx.clients.add(records.client(name="A\ud800"))
        await tx.clients.add(records.client(name="nul \x00 and ünï 🙂"))
    async with store.reading() as tx:
        assert (await tx.clients.get("acme", client="acme")).name == "nul \x00 and ünï 🙂"


async def test_a_record_of_an_older_program_can_be_changed(store: SqlStore) -> None:
    """Its text lacks fields that came since, so comparing texts alone would refuse every change of it."""
    old = records.incident()
    async with store.transaction() as tx:
        await tx.incidents.add(old)
    shorter = old.model_dump_json(exclude={"duplicate_of", "labels"})
    async with store.transaction() as tx:
        sql = "UPDATE incidents SET document = :document"
        await tx._unit.write(tx._unit.statements.compiled(text(sql)), document=shorter)
    async with store.transaction() as tx:
        read = await tx.incidents.get(old.id, client="acme")
        assert read == old
        await tx.incidents.replace(read, read.model_copy(update={"resolved_by": "eva"}))
        with pytest.raises(Conflict):
            await tx.incidents.replace(read, read)
    async with store.reading() as tx:
        assert (await tx.incidents.get(old.id, client="acme")).resolved_by == "eva"


async def test_a_record_that_could_not_be_read_again_is_not_stored(store: SqlStore) -> None:
    """`model_copy` checks nothing; one unreadable record would break every list that it is on."""
    good = records.incident()
    async with store.transaction() as tx:
        await tx.incidents.add(good)
        with pytest.raises(InvalidInput, match="read again"):
            await tx.incidents.add(records.incident("bad").model_copy(update={"client_id": "No Such Form"}))
        with pytest.raises(InvalidInput, match=r"resolved_at.*Nothing was stored"):
            await tx.incidents.replace(good, good.model_copy(update={"resolved_at": datetime(2026, 1, 5)}))  # noqa: DTZ001 - the fault
        with pytest.raises(InvalidInput, match="usd"):
            await tx.proposals.add(records.proposal(usd=float("inf")))
    async with store.reading() as tx:
        assert (await tx.incidents.page(client="acme")).items == (good,)
