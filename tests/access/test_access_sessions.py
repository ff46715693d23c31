"""Sessions and tokens: what is stored, how long it holds, what attackers learn."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from runwright.access.passwords import Passwords, same_secret, secret_digest
from runwright.access.service import AccessService
from runwright.access.settings import AccessSettings
from runwright.model.errors import Conflict, Forbidden, InvalidInput, TooMany, Unauthenticated
from runwright.model.ports.store import Store
from runwright.model.principals import AuthMethod, Grant, Principal, PrincipalKind, Role


async def test_a_session_is_known_by_its_secret_until_it_ends(
    access: AccessService, admin: Principal, clock: Any, password: str
) -> None:
    session, secret = await access.login("ada", password)
    assert session.secret_digest == secret_digest(secret)
    assert len(secret) >= 43
    assert same_secret(session.csrf_token, session.csrf_token)
    assert not same_secret(session.csrf_token, secret)
    principal, found = await access.session_principal(secret)
    assert (principal, found) == (admin, session)
    clock.advance(12 * 3600 - 1)
    await access.session_principal(secret)
    clock.advance(1)
    with pytest.raises(Unauthenticated):
        await access.session_principal(secret)


async def test_logging_out_ends_it(access: AccessService, admin: Principal, password: str) -> None:
    _, secret = await access.login("ada", password)
    await access.logout(secret)
    for use in (access.session_principal(secret), access.logout(secret), access.reauthenticate(secret, password)):
        with pytest.raises(Unauthenticated):
            await use


async def test_secrets_are_not_in_the_database(
    access: AccessService, admin: Principal, password: str, tmp_path: Path
) -> None:
    _, session_secret = await access.login("ada", password)
    _, token_secret = await access.create_token(admin, "ci", [Grant(role=Role.OPERATOR)])
    for file in tmp_path.glob("access.db*"):
        data = file.read_bytes()
        assert not any(secret.encode() in data for secret in (session_secret, token_secret, password))


async def test_a_failed_login_tells_nothing(
    access: AccessService, admin: Principal, password: str, store: Store
) -> None:
    told = []
    for name, given in (("ada", "wrong password"), ("nobody", password), ("ada", "x" * 5000), ("nobody", "")):
        with pytest.raises(Unauthenticated) as caught:
            await access.login(name, given)
        told.append(str(caught.value))
    assert len(set(told)) == 1
    async with store.reading() as tx:
        failed = [e.event for e in await tx.audit.entries("system") if e.event.action == "user.login_failed"]
    assert [event.subject for event in failed] == [admin.id, "unknown", admin.id, "unknown"]
    assert "nobody" not in "".join(event.model_dump_json() for event in failed)


async def test_an_unknown_name_costs_a_hash_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    passwords = Passwords(time_cost=1, memory_kib=8, parallelism=1)
    checked = []
    verify = passwords._hasher.verify
    monkeypatch.setattr(
        passwords,
        "_hasher",
        type(
            "H",
            (),
            {
                "verify": lambda _, encoded, given: checked.append(encoded) or verify(encoded, given),
                "hash": passwords._hasher.hash,
            },
        )(),
    )
    assert not await passwords.verify(None, "anything at all")
    assert not await passwords.verify(None, "anything at all")
    assert len(checked) == 2
    assert checked[0].startswith("$argon2id$")


async def test_attempts_are_limited_for_each_name(
    access: AccessService, admin: Principal, clock: Any, password: str
) -> None:
    for name in ("ada", "ghost"):
        for _ in range(4):
            with pytest.raises(Unauthenticated):
                await access.login(name, "wrong password")
        with pytest.raises(TooMany, match="Try again in"):
            await access.login(name.upper(), password)
    clock.advance(61)
    await access.login("ada", password)
    for _ in range(10):
        await access.login("ada", password)  # success forgives


async def test_a_session_cannot_be_used_to_guess_the_password(
    access: AccessService, admin: Principal, password: str
) -> None:
    _, secret = await access.login("ada", password)
    for _ in range(4):
        with pytest.raises(Unauthenticated):
            await access.reauthenticate(secret, "wrong password")
    with pytest.raises(TooMany):
        await access.reauthenticate(secret, password)


async def test_approving_needs_a_fresh_password(
    access: AccessService, admin: Principal, clock: Any, password: str
) -> None:
    session, secret = await access.login("ada", password)
    access.require_recent(session)
    clock.advance(15 * 60 + 1)
    with pytest.raises(Unauthenticated, match="too long ago"):
        access.require_recent(session)
    renewed = await access.reauthenticate(secret, password)
    access.require_recent(renewed)
    assert renewed.expires_at == session.expires_at
    assert (await access.session_principal(secret))[1] == renewed


async def test_old_hashes_are_renewed_at_login(
    access: AccessService, admin: Principal, store: Store, clock: Any, password: str
) -> None:
    stronger = AccessService(
        store, clock, AccessSettings(argon2_time_cost=2, argon2_memory_kib=16, argon2_parallelism=1)
    )
    before = (await access.users(admin)).items[0].password_hash
    await stronger.login("ada", password)
    after = (await access.users(admin)).items[0].password_hash
    assert "m=8,t=1" in before
    assert "m=16,t=2" in after
    await stronger.login("ada", password)
    assert (await access.users(admin)).items[0].password_hash == after


async def test_a_token_stands_for_a_machine(access: AccessService, admin: Principal, clock: Any) -> None:
    token, secret = await access.create_token(admin, "ci", [Grant(role=Role.APPROVER, client_id="acme")], days=7)
    assert secret.startswith("rwt_")
    machine = await access.token_principal(secret)
    assert (machine.kind, machine.method, machine.id) == (PrincipalKind.MACHINE, AuthMethod.TOKEN, token.id)
    assert not machine.decides
    for wrong in ("", "rwt_", secret[:-1], secret.removeprefix("rwt_"), secret + "x"):
        with pytest.raises(Unauthenticated):
            await access.token_principal(wrong)
    with pytest.raises(Unauthenticated):
        await access.session_principal(secret)
    clock.advance(7 * 86400)
    with pytest.raises(Unauthenticated):
        await access.token_principal(secret)


async def test_a_token_is_revoked_at_once(access: AccessService, admin: Principal) -> None:
    token, secret = await access.create_token(admin, "ci", [Grant(role=Role.OPERATOR)])
    assert (await access.tokens(admin)).items == (token,)
    await access.revoke_token(admin, token.id)
    with pytest.raises(Unauthenticated):
        await access.token_principal(secret)
    with pytest.raises(Conflict):
        await access.revoke_token(admin, token.id)


async def test_who_may_make_tokens(access: AccessService, admin: Principal) -> None:
    here = admin.model_copy(update={"grants": (Grant(role=Role.ADMIN, client_id="acme"),)})
    await access.create_token(here, "ci", [Grant(role=Role.OPERATOR, client_id="acme")])
    for grants in ([Grant(role=Role.OPERATOR)], [Grant(role=Role.OPERATOR, client_id="other")]):
        with pytest.raises(Forbidden):
            await access.create_token(here, "ci", grants)
    _, secret = await access.create_token(admin, "ci", [Grant(role=Role.ADMIN)])
    with pytest.raises(Forbidden):
        await access.create_token(await access.token_principal(secret), "child", [Grant(role=Role.VIEWER)])
    for days in (0, 366):
        with pytest.raises(InvalidInput):
            await access.create_token(admin, "ci", [Grant(role=Role.VIEWER)], days=days)
    with pytest.raises(InvalidInput):
        await access.create_token(admin, "ci", [])


async def test_an_edited_session_row_is_not_a_login(
    access: AccessService, admin: Principal, password: str, tmp_path: Path
) -> None:
    """A digest copied into the column alone finds a record that says otherwise; the secret still has to be known."""
    session, _ = await access.login("ada", password)
    with sqlite3.connect(tmp_path / "access.db") as raw:
        raw.execute("UPDATE sessions SET secret_digest = ? WHERE id = ?", (secret_digest("guess"), session.id))
    raw.close()
    with pytest.raises(Unauthenticated):
        await access.session_principal("guess")
