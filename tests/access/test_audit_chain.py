"""Whatever is done to a chain is found and named; what a chain cannot show, a checkpoint does."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runwright.access.audit import ChainFaultKind, read_chain, verify_chain, verify_store
from runwright.access.checkpoints import (
    ChainHead,
    heads_of,
    make_checkpoint,
    open_checkpoint,
    verify_checkpoint,
    verify_store_checkpoint,
)
from runwright.access.service import AccessService
from runwright.model.audit import GENESIS, AuditEntry, AuditEvent, chain_hash
from runwright.model.errors import Tampered
from runwright.model.ports.store import Store
from runwright.model.principals import Principal

AT = datetime(2026, 1, 5, tzinfo=UTC)
Chain = list[AuditEntry]


def event(action: str, chain: str = "acme") -> AuditEvent:
    return AuditEvent(chain=chain, actor="usr_1", action=action, subject="s", at=AT, facts={"a": "b"})


def entry(number: int, previous: str, said: AuditEvent) -> AuditEntry:
    hashed = chain_hash(said.chain, number, previous, said)
    return AuditEntry(chain=said.chain, sequence=number, previous=previous, event=said, hash=hashed)


def chain(length: int = 8) -> Chain:
    entries: Chain = []
    for number in range(1, length + 1):
        entries.append(entry(number, entries[-1].hash if entries else GENESIS, event(f"act.{number}")))
    return entries


def put(entries: Chain, number: int, **fields: Any) -> Chain:
    entries[number - 1] = entries[number - 1].model_copy(update=fields)
    return entries


def rehashed(entries: Chain, number: int) -> Chain:
    """Edited with a hash that fits: only the next entry remembers better."""
    old = entries[number - 1]
    entries[number - 1] = entry(number, old.previous, event("forged"))
    return entries


def inserted(entries: Chain, number: int, *, shift: bool) -> Chain:
    forged = entry(number, entries[number - 2].hash, event("forged"))
    later = [e.model_copy(update={"sequence": e.sequence + 1}) if shift else e for e in entries[number - 1 :]]
    return [*entries[: number - 1], forged, *later]


def swapped(entries: Chain, number: int) -> Chain:
    a, b = entries[number - 1], entries[number]
    entries[number - 1 : number + 1] = [
        b.model_copy(update={"sequence": a.sequence}),
        a.model_copy(update={"sequence": b.sequence}),
    ]
    return entries


def renumbered(entries: Chain, number: int) -> Chain:
    """Removed, and those behind moved up so that no number is missing."""
    kept = [e for e in entries if e.sequence != number]
    return [e.model_copy(update={"sequence": i}) for i, e in enumerate(kept, 1)]


ATTACKS: dict[str, tuple[Callable[[Chain, int], Chain], ChainFaultKind]] = {
    "event edited": (lambda c, n: put(c, n, event=event("forged")), ChainFaultKind.EDITED),
    "actor edited": (
        lambda c, n: put(c, n, event=c[n - 1].event.model_copy(update={"actor": "usr_2"})),
        ChainFaultKind.EDITED,
    ),
    "hash edited": (lambda c, n: put(c, n, hash=GENESIS), ChainFaultKind.EDITED),
    "previous edited": (lambda c, n: put(c, n, previous="sha256:" + "1" * 64), ChainFaultKind.EDITED),
    "edited with a fitting hash": (rehashed, ChainFaultKind.EDITED),
    "moved to another chain": (lambda c, n: put(c, n, event=event(f"act.{n}", "other")), ChainFaultKind.EDITED),
    "removed": (lambda c, n: [e for e in c if e.sequence != n], ChainFaultKind.REMOVED),
    "removed and renumbered": (renumbered, ChainFaultKind.REMOVED),
    "inserted": (lambda c, n: inserted(c, n, shift=False), ChainFaultKind.INSERTED),
    "inserted and shifted": (lambda c, n: inserted(c, n, shift=True), ChainFaultKind.INSERTED),
    "reordered": (swapped, ChainFaultKind.REORDERED),
    "read in another order": (
        lambda c, n: [*c[: n - 1], c[n], c[n - 1], *c[n + 1 :]],
        ChainFaultKind.REORDERED,
    ),
}


def test_a_whole_chain_has_no_fault() -> None:
    assert verify_chain(chain()) == ()
    assert verify_chain([]) == ()
    assert verify_chain(chain(1)) == ()


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("number", [2, 4, 6])
def test_an_attack_is_named_with_its_place(name: str, number: int) -> None:
    attack, kind = ATTACKS[name]
    faults = verify_chain(attack(chain(), number))
    both = (number, number + 1) if name == "reordered" else (number,)  # each stands where the other belongs
    assert [(fault.kind, fault.sequence) for fault in faults] == [(kind, place) for place in both]
    assert f"Entry {number} of chain acme was {kind.value}" in faults[0].text


def test_the_first_and_the_last_entry_are_no_exception() -> None:
    found = {
        "first edited": verify_chain(put(chain(), 1, event=event("forged"))),
        "first rehashed": verify_chain(rehashed(chain(), 1)),
        "first removed": verify_chain(chain()[1:]),
        "last edited": verify_chain(put(chain(), 8, event=event("forged"))),
        "all edited": verify_chain([e.model_copy(update={"event": event("x")}) for e in chain(2)]),
    }
    assert {name: [(f.kind.value, f.sequence) for f in faults] for name, faults in found.items()} == {
        "first edited": [("edited", 1)],
        "first rehashed": [("edited", 1)],
        "first removed": [("removed", 1)],
        "last edited": [("edited", 8)],
        "all edited": [("edited", 1), ("edited", 2)],
    }


@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(set(ATTACKS) - {"read in another order"})), st.integers(2, 6)),
        min_size=1,
        max_size=3,
    )
)
@settings(max_examples=200, deadline=None)
def test_no_mixture_of_attacks_goes_unseen(attacks: list[tuple[str, int]]) -> None:
    changed = chain()
    for name, number in attacks:
        if len(changed) > number:
            changed = ATTACKS[name][0](changed, number)
    if [e.model_dump() for e in changed] != [e.model_dump() for e in chain()]:
        assert verify_chain(changed)


def test_a_checkpoint_shows_what_the_chain_cannot(keys: Any) -> None:
    whole = chain()
    line = make_checkpoint([ChainHead(chain="acme", sequence=8, hash=whole[-1].hash)], keys.signer, AT)
    signed = open_checkpoint(keys, line)
    assert "\n" not in line
    assert verify_checkpoint(signed, {"acme": [*whole, entry(9, whole[-1].hash, event("later"))]}) == ()
    cut, anew = chain()[:5], [entry(1, GENESIS, event("forged"))]
    for number in range(2, 9):
        anew.append(entry(number, anew[-1].hash, event("forged")))
    for left, kind in ((cut, ChainFaultKind.REMOVED), (anew, ChainFaultKind.EDITED), ([], ChainFaultKind.REMOVED)):
        assert verify_chain(left) == ()
        faults = verify_checkpoint(signed, {"acme": left})
        assert [(fault.kind, fault.sequence) for fault in faults] == [(kind, 8)]
    assert verify_checkpoint(signed, {})[0].kind is ChainFaultKind.REMOVED
    with pytest.raises(Tampered):
        open_checkpoint(keys, line.replace('"payload":"', '"payload":"AA'))
    with pytest.raises(Tampered):
        open_checkpoint(keys, make_checkpoint([], keys.stranger, AT))


async def test_a_store_is_verified_whole(
    access: AccessService, admin: Principal, store: Store, keys: Any, clock: Any, tmp_path: Path, password: str
) -> None:
    for name in ("bob", "eve", "joe"):
        await access.add_user(admin, name, password)
    assert await verify_store(store) == ()
    assert len(await read_chain(store, "system", limit=2)) == 5
    line = make_checkpoint(await heads_of(store), keys.signer, clock.now())
    assert await verify_store_checkpoint(store, keys, line) == ()
    with sqlite3.connect(tmp_path / "access.db") as raw:
        for (trigger,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            raw.execute(f"DROP TRIGGER {trigger}")
        raw.execute("UPDATE audit_log SET document = replace(document, 'bob', 'bab')")
        raw.execute("DELETE FROM audit_log WHERE sequence = 5")
    raw.close()
    assert [(fault.kind.value, fault.sequence) for fault in await verify_store(store)] == [("edited", 3)]
    assert [fault.kind.value for fault in await verify_store_checkpoint(store, keys, line)] == ["removed"]


async def test_an_edited_number_does_not_hold_the_reader(
    access: AccessService, admin: Principal, store: Store, tmp_path: Path, password: str
) -> None:
    await access.add_user(admin, "bob", password)
    with sqlite3.connect(tmp_path / "access.db") as raw:
        raw.execute("DROP TRIGGER audit_log_no_update")
        raw.execute("""UPDATE audit_log SET document = replace(document, '"sequence":2', '"sequence":0')""")
    raw.close()
    assert verify_chain(await read_chain(store, "system", limit=2))


def test_a_long_chain_with_many_faults_is_verified_in_reasonable_time() -> None:
    entries = chain(4000)
    for number in range(2, 4000, 2):
        put(entries, number, event=event("forged"))
    assert len(verify_chain(entries)) == 1999


def test_the_kinds_are_all_reached() -> None:
    assert {kind for _, kind in ATTACKS.values()} == set(ChainFaultKind)
