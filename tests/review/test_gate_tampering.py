"""The database edited by hand: every column and every field of the tables that the gate reads.

The one who edits may drop triggers and indexes, copy values from other rows and null what is in the way. Each edit
is refused, or it stands in HARMLESS with the reason why nothing but the approved content can run, and is shown
to have admitted exactly that.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from runwright.access.dsse import open_statement, sign_statement
from runwright.adapters.keys import EnvironmentSigner
from runwright.model.base import Record
from runwright.model.errors import Conflict, GateReason, GateRefused, StorageUnavailable
from runwright.model.executions import Execution, ExecutionStatus
from runwright.model.ids import digest, sha256
from runwright.model.reviews import Activation, Approval, RoutingRule
from runwright.model.versions import RunbookVersion
from runwright.runbooks.load import load_runbook

TABLES: dict[str, type[Record]] = {
    "executions": Execution,
    "activations": Activation,
    "runbooks": RunbookVersion,
    "approvals": Approval,
    "routing_rules": RoutingRule,
}

INDEX = "a column for lists; the gate reads the record beside it, by id"
TOLD = "told to people; nothing that runs depends on it"

HARMLESS: dict[tuple[str, str], str] = {
    ("executions", "client_id"): INDEX,
    ("executions", "host_id"): INDEX,
    ("executions", "incident_id"): INDEX,
    ("executions", "status"): INDEX,
    ("executions", "runbook_id"): INDEX,
    ("executions", "version_id"): INDEX,
    ("executions", "created_at"): INDEX,
    ("executions", "epoch"): "turned back, the journal still knows the newest worker; turned on, journaling refuses",
    ("executions", "document.parameters"): "values are checked against the approved constraints when they are used",
    ("executions", "document.status"): "pending or running; a final one is refused",
    ("executions", "document.requested_by"): "asked for only where there is no rule or the policy is ask",
    ("executions", "document.created_at"): TOLD,
    ("executions", "document.started_at"): TOLD,
    ("executions", "document.cancel_requested_at"): "a wish to stop, read by the worker",
    ("executions", "document.waiting_for"): "which question it waits for; the answer itself is read from the question",
    ("activations", "runbook_id"): INDEX,
    ("activations", "scope"): INDEX,
    ("activations", "state"): INDEX,
    ("activations", "version_id"): INDEX,
    ("activations", "approval_id"): INDEX,
    ("activations", "created_at"): INDEX,
    ("activations", "document.reason"): TOLD,
    ("activations", "document.since"): "between the approval and now; earlier or later is refused",
    ("runbooks", "runbook_id"): INDEX,
    ("runbooks", "scope"): INDEX,
    ("runbooks", "digest"): INDEX,
    ("runbooks", "number"): INDEX,
    ("runbooks", "parent"): INDEX,
    ("runbooks", "created_at"): INDEX,
    ("runbooks", "document.parent"): TOLD,
    ("runbooks", "document.author"): TOLD,
    ("runbooks", "document.origin_execution"): TOLD,
    ("runbooks", "document.proposal_id"): TOLD,
    ("runbooks", "document.created_at"): TOLD,
    ("approvals", "subject_id"): INDEX,
    ("approvals", "scope"): INDEX,
    ("approvals", "created_at"): INDEX,
    ("routing_rules", "scope"): INDEX,
    ("routing_rules", "incident_type"): INDEX,
    ("routing_rules", "active"): INDEX,
    ("routing_rules", "runbook_id"): INDEX,
    ("routing_rules", "created_at"): INDEX,
    ("routing_rules", "document.created_at"): TOLD,
}


class Case:
    """One execution that is admitted, and the rows behind it among many others."""

    def __init__(self, world: Any) -> None:
        self.world = world

    async def build(self) -> Case:
        world = self.world
        await world.approved(world.version(1))
        await world.approved(world.version(9, runbook="RB-OTHER-001"))
        await world.approved(world.version(4, scope="client:other"))
        await world.approved(world.version(5, scope="client:acme", runbook="RB-OTHER-001"))
        await world.queue(world.version(6, author=world.ann), author=world.ann)
        await world.rule(runbook="RB-OTHER-001", incident_type="disk_full")
        await world.rule(scope="client:other")
        world.clock.advance(60)
        live = await world.approved(world.version(2))
        rule = await world.rule()
        other = await world.run(await world.live(runbook="RB-OTHER-001"))
        await world.run(await world.live("client:other"), client="other", parameters={"a": 1})
        await world.put("executions", other, started_at=world.clock.now())
        self.execution = await world.run(live, rule=rule)
        self.keys = {
            "executions": self.execution.id,
            "activations": live.id,
            "runbooks": live.version_id,
            "approvals": live.approval_id,
            "routing_rules": rule.id,
        }
        world.clock.advance(60)
        world.attack()
        self.raw = sqlite3.connect(world.path, isolation_level=None, timeout=10)
        self.raw.row_factory = sqlite3.Row
        return self

    async def admit(self) -> Any:
        return await self.world.gate.admit(self.execution.id, self.world.intent(self.execution))

    def row(self, table: str) -> dict[str, Any]:
        where = f"SELECT * FROM {table} WHERE id = ?"  # noqa: S608 - a constant of this test
        return dict(self.raw.execute(where, (self.keys[table],)).fetchone())

    def write(self, table: str, row: dict[str, Any], key: str) -> None:
        sets = ", ".join(f"{column} = ?" for column in row)
        self.raw.execute(f"UPDATE {table} SET {sets} WHERE id = ?", (*row.values(), key))  # noqa: S608 - see above

    def others(self, table: str) -> list[dict[str, Any]]:
        rows = self.raw.execute(f"SELECT * FROM {table} WHERE id <> ?", (self.keys[table],))  # noqa: S608 - see above
        return [dict(row) for row in rows]

    def edits(self, table: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every edit of every column and field: its name and the row after it."""
        row, others = self.row(table), self.others(table)
        for column, value in row.items():
            if column == "document":
                continue
            for other in _values(value, [each[column] for each in others]):
                yield column, {**row, column: other}
        document = json.loads(row["document"])
        for other in others:
            yield "document", {**row, "document": other["document"]}
        for text in ("", "{}", "[]", "null", row["document"][:-1], json.dumps({**document, "unknown": 1})):
            yield "document", {**row, "document": text}
        for field, value in document.items():
            for other in _values(value, [json.loads(each["document"]).get(field) for each in others]):
                yield f"document.{field}", {**row, "document": json.dumps({**document, field: other})}
            missing = json.dumps({name: kept for name, kept in document.items() if name != field})
            if not _same_record(table, missing, row["document"]):
                yield f"document.{field}", {**row, "document": missing}


def _values(value: Any, others: list[Any]) -> list[Any]:
    """What an attacker would put in place of a value: those of other rows, nothing, something near, rubbish."""
    wanted: list[Any] = [*others, None, "", "x", 0, 1, True, False, [], {}, {"a": "b"}, "all", "client:acme"]
    wanted += ["2020-01-01T00:00:00Z", "2026-01-05T09:01:30Z", "2040-01-01T00:00:00Z", "engine", "running", "pending"]
    if isinstance(value, int) and not isinstance(value, bool):
        wanted += [value + 1, value - 1]
    if isinstance(value, str):
        wanted += [f"{value} ", value.upper(), value[:-1]]
    seen: dict[str, Any] = {}
    for each in wanted:
        if each != value or type(each) is not type(value):
            seen.setdefault(repr(each), each)
    return list(seen.values())


def _readable(table: str, text: str) -> Record | None:
    try:
        return TABLES[table].model_validate_json(text)
    except ValidationError:
        return None


def _same_record(table: str, one: str, other: str) -> bool:
    """Whether two texts are the same record, as when a field that says nothing is left out."""
    return _readable(table, one) == _readable(table, other)


def _storable(row: dict[str, Any]) -> dict[str, Any]:
    return {column: json.dumps(v) if isinstance(v, dict | list) else v for column, v in row.items()}


@pytest.fixture
async def case(world: Any) -> Any:
    built = await Case(world).build()
    yield built
    built.raw.close()


@pytest.mark.parametrize("table", TABLES)
async def test_no_edit_of_a_row_admits_anything_but_the_approved_content(case: Any, table: str) -> None:
    approved = await case.admit()
    original = case.row(table)
    refused: dict[str, int] = {}
    admitted: dict[str, int] = {}
    for name, edited in case.edits(table):
        row = _storable(edited)
        try:
            case.write(table, row, original["id"])
        except sqlite3.IntegrityError:
            continue  # the table itself refuses
        try:
            runbook = await case.admit()
        except (GateRefused, Conflict, StorageUnavailable, TypeError):  # TypeError: a text where SQLite kept a number
            refused[name] = refused.get(name, 0) + 1
        else:
            admitted[name] = admitted.get(name, 0) + 1
            assert (table, name) in HARMLESS, f"{name}: {edited.get(name.split('.')[0])!r}"
            assert runbook.document == approved.document
            assert (runbook.digest, runbook.version_id) == (approved.digest, approved.version_id)
            assert runbook.approval_id == approved.approval_id
            assert runbook.execution_id == case.execution.id
            assert runbook._host_id == "host-acme"
        finally:
            case.write(table, original, row["id"])
    assert (await case.admit()).digest == approved.digest
    columns = set(original) - {"document"}
    fields = {f"document.{field}" for field in json.loads(original["document"])}
    assert set(refused) | set(admitted) == columns | fields | {"document"}
    # What is listed as harmless is so: an entry that no edit needs would hide a mistake.
    assert {name for known, name in HARMLESS if known == table} == set(admitted)


async def _revoke(case: Any) -> None:
    await case.world.reviews.revoke(case.world.ben, case.keys["approvals"], reason="bad")


async def _revoke_rule(case: Any) -> None:
    rule = await case.world.get("routes", case.keys["routing_rules"])
    await case.world.reviews.revoke(case.world.ben, rule.approval_id, reason="bad")


async def _suspend(case: Any) -> None:
    await case.world.reviews.suspend(case.world.ben, case.keys["activations"], reason="harm")


async def _supersede(case: Any) -> None:
    await case.world.approved(case.world.version(3))


async def _finish(case: Any) -> None:
    now = case.world.clock.now()
    await case.world.put("executions", case.execution, status=ExecutionStatus.SUCCESS, completed_at=now)


async def _expire(case: Any) -> None:
    case.world.clock.advance(366 * 86400)


ENDINGS = {
    "revoked": (_revoke, {GateReason.ACTIVATION_EXPIRED}),
    "rule revoked": (_revoke_rule, {GateReason.NO_ROUTE}),
    "suspended": (_suspend, {GateReason.SUSPENDED}),
    "superseded": (_supersede, {GateReason.SUPERSEDED}),
    "finished": (_finish, {GateReason.FINISHED}),
    "expired": (_expire, {GateReason.ACTIVATION_EXPIRED}),
}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_no_edit_of_a_row_revives_what_has_ended(case: Any, ending: str) -> None:
    """One row edited by hand does not undo a revocation, a suspension or an expiry."""
    await case.admit()
    end, reasons = ENDINGS[ending]
    await end(case)
    with pytest.raises(GateRefused) as caught:
        await case.admit()
    assert {caught.value.reason} == reasons
    tried = 0
    for table in TABLES:
        original = case.row(table)
        for name, edited in case.edits(table):
            if not name.startswith("document") or not _readable(table, edited["document"]):
                continue
            case.write(table, edited, original["id"])
            with pytest.raises((GateRefused, Conflict)):
                await case.admit()
            case.write(table, original, original["id"])
            tried += 1
    assert tried > 100


async def test_a_forged_version_with_all_digests_made_right_is_refused(case: Any) -> None:
    """The whole database agrees on other content; the signature does not."""
    forged = load_runbook(json.loads(case.row("runbooks")["document"])["text"].replace("echo 2", "echo pwned"))
    old = load_runbook(json.loads(case.row("runbooks")["document"])["text"])
    swap = {old.digest: forged.digest, old.raw_digest: forged.raw_digest}
    for table in TABLES:
        row = case.row(table)
        for before, after in swap.items():
            row = {c: v.replace(before, after) if isinstance(v, str) else v for c, v in row.items()}
        if table == "runbooks":
            row["document"] = json.dumps({**json.loads(row["document"]), "text": forged.text})
        case.write(table, row, row["id"])
    with pytest.raises(GateRefused) as caught:
        await case.admit()
    assert caught.value.reason is GateReason.MISMATCH
    assert "approval of digest" in str(caught.value)


async def _swap_envelope(case: Any, envelope: str, **fields: Any) -> GateReason:
    row = case.row("approvals")
    case.write(
        "approvals",
        {**row, "document": json.dumps({**json.loads(row["document"]), "envelope": envelope, **fields})},
        row["id"],
    )
    with pytest.raises(GateRefused) as caught:
        await case.admit()
    return caught.value.reason


async def test_an_envelope_by_another_key_is_refused(case: Any) -> None:
    row = json.loads(case.row("approvals")["document"])
    statement = open_statement(case.world.ring, row["envelope"])
    stranger = EnvironmentSigner(Ed25519PrivateKey.generate())
    assert await _swap_envelope(case, sign_statement(stranger, statement)) is GateReason.SIGNATURE
    for bent in ("", "{}", row["envelope"].replace("A", "B", 1), row["envelope"] + " " * 70_000):
        assert await _swap_envelope(case, bent) is GateReason.SIGNATURE


async def test_a_retired_key_verifies_until_it_leaves_the_keyring(case: Any) -> None:
    newer = EnvironmentSigner(Ed25519PrivateKey.generate())
    case.world.ring.keys[newer.key_id] = newer.public_key
    await case.admit()
    del case.world.ring.keys[case.world.signer.key_id]
    with pytest.raises(GateRefused) as caught:
        await case.admit()
    assert caught.value.reason is GateReason.SIGNATURE


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("approval_id", "apr_other"),
        ("subject_kind", "routing"),
        ("subject_id", "RB-TEST-001-v1"),
        ("digest", sha256(b"other")),
        ("raw_digest", sha256(b"other")),
        ("raw_digest", None),
        ("scope", "client:acme"),
        ("scope", "client:other"),
        ("method", "token"),
        ("method", "internal"),
        ("decided_at", "later"),
        ("expires_at", "later"),
    ],
)
async def test_every_field_of_a_well_signed_statement_counts(case: Any, field: str, value: Any) -> None:
    """Signed by the right key, but about something else: as an approval copied from another row would be."""
    row = json.loads(case.row("approvals")["document"])
    statement = open_statement(case.world.ring, row["envelope"])
    now = case.world.clock.now()
    bent = statement.model_copy(update={field: now.replace(year=now.year + 5) if value == "later" else value})
    reason = await _swap_envelope(case, sign_statement(case.world.signer, bent))
    assert reason is GateReason.MISMATCH


async def test_times_that_agree_in_row_and_statement_still_count(case: Any) -> None:
    """Row and signature say the same, and the gate looks at the clock: not yet, and no longer."""
    row = json.loads(case.row("approvals")["document"])
    statement = open_statement(case.world.ring, row["envelope"])
    now = case.world.clock.now()
    for field, year, wanted in (
        ("decided_at", now.year + 1, GateReason.NOT_YET),
        ("expires_at", now.year - 1, GateReason.APPROVAL_EXPIRED),
    ):
        bent = statement.model_copy(update={field: now.replace(year=year)})
        told = json.loads(bent.model_dump_json())[field]
        assert await _swap_envelope(case, sign_statement(case.world.signer, bent), **{field: told}) is wanted
        await _swap_envelope(case, row["envelope"] + "x", **{field: row[field]})


async def test_tampering_is_audited_though_the_check_is_rolled_back(case: Any) -> None:
    case.raw.execute("UPDATE runbooks SET document = replace(document, 'echo 2', 'echo 3')")
    before = len(await case.world.audited("acme"))
    with pytest.raises(GateRefused) as caught:
        await case.admit()
    assert caught.value.reason is GateReason.CONTENT
    assert "audit verify" in caught.value.next_step
    (entry,) = (await case.world.audited("acme"))[before:]
    assert (entry.action, entry.subject, entry.facts) == ("gate.tampered", case.execution.id, {"reason": "content"})
    async with case.world.store.reading() as tx:
        assert await tx.journal.entries(case.execution.id) == ()


async def test_a_comment_changed_is_content_changed(case: Any) -> None:
    row = json.loads(case.row("runbooks")["document"])
    text = row["text"].replace("a comment", "another comment")
    assert load_runbook(text).digest == row["digest"]
    changed = {**row, "text": text, "raw_digest": sha256(text.encode())}
    case.write("runbooks", {"document": json.dumps(changed)}, row["id"])
    with pytest.raises(GateRefused, match="approval of text"):
        await case.admit()


async def test_a_routing_rule_edited_with_its_digest_is_refused(case: Any) -> None:
    row = json.loads(case.row("routing_rules")["document"])
    told = {"scope": "all", "incident_type": "disk_full", "runbook_id": row["runbook_id"]}
    case.write("routing_rules", {"document": json.dumps({**row, **told, "digest": digest(told)})}, row["id"])
    case.raw.execute("UPDATE incidents SET document = replace(document, 'service_crash', 'disk_full')")
    with pytest.raises(GateRefused):
        await case.admit()


async def test_an_unreadable_execution_is_audited_on_the_system_chain(case: Any) -> None:
    case.raw.execute("UPDATE executions SET document = '{}'")
    before = len(await case.world.audited())
    with pytest.raises(GateRefused) as caught:
        await case.admit()
    assert caught.value.reason is GateReason.UNREADABLE
    assert (await case.world.audited())[before].action == "gate.tampered"


@pytest.mark.parametrize(
    ("table", "key", "field", "value"),
    [
        ("executions", "", "id", "exe_other"),
        ("hosts", "host-acme", "id", "host-2"),
        ("hosts", "host-acme", "client_id", "other"),
        ("incidents", "inc-acme", "id", "inc-2"),
        ("incidents", "inc-acme", "client_id", "other"),
        ("incidents", "inc-acme", "host_id", "host-other"),
    ],
)
async def test_a_record_under_a_foreign_id_or_client_is_refused(
    case: Any, table: str, key: str, field: str, value: str
) -> None:
    """Also at the start of a run, where there is no intent to compare with."""
    key = key or case.execution.id
    select = f"SELECT document FROM {table} WHERE id = ?"  # noqa: S608 - a constant of this test
    (text,) = case.raw.execute(select, (key,)).fetchone()
    case.write(table, {"document": json.dumps({**json.loads(text), field: value})}, key)
    with pytest.raises(GateRefused) as caught:
        await case.world.gate.admit(case.execution.id)
    assert caught.value.reason is GateReason.MISMATCH
