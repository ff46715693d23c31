"""Users: the first admin, adding, roles, disabling, passwords."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import pytest

from runwright.access.service import AccessService
from runwright.model.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    Refused,
    RunwrightError,
    Unauthenticated,
)
from runwright.model.ports.store import EVERY_CLIENT, Store
from runwright.model.principals import AuthMethod, Grant, Principal, Role

APPROVER = Grant(role=Role.APPROVER, client_id="acme")


async def actions(store: Store) -> list[str]:
    async with store.reading() as tx:
        return [entry.event.action for entry in await tx.audit.entries("system")]


async def test_the_first_admin_is_made_once(access: AccessService, store: Store, password: str) -> None:
    user = await access.bootstrap_admin("ada", password)
    assert user.grants == (Grant(role=Role.ADMIN),)
    with pytest.raises(Refused, match="no first admin"):
        await access.bootstrap_admin("eve", password)
    assert await actions(store) == ["user.add"]


async def test_two_first_admins_at_once_are_one(access: AccessService, store: Store, password: str) -> None:
    made = await asyncio.gather(
        *(access.bootstrap_admin(name, password) for name in ("a", "b", "c")), return_exceptions=True
    )
    assert sum(not isinstance(result, BaseException) for result in made) == 1
    async with store.reading() as tx:
        assert await tx.users.count(client=EVERY_CLIENT) == 1


async def test_a_stored_password_is_argon2id_and_nowhere_plain(
    access: AccessService, store: Store, password: str
) -> None:
    user = await access.bootstrap_admin("ada", password)
    assert user.password_hash.startswith("$argon2id$")
    assert password not in user.password_hash
    assert user.password_hash not in repr(user)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("bob", "short"),
        ("bob", "x" * 1025),
        ("abcdefabcdef", "ABCDEFabcdef"),
        ("Bob", "a long enough password"),
        ("", "a long enough password"),
        ("../x", "a long enough password"),
    ],
)
async def test_bad_names_and_passwords_are_refused(
    access: AccessService, admin: Principal, name: str, given: str
) -> None:
    with pytest.raises(InvalidInput):
        await access.add_user(admin, name, given)


async def test_names_are_unique_and_only_admins_add(access: AccessService, admin: Principal, password: str) -> None:
    await access.add_user(admin, "bob", password, grants=[APPROVER])
    with pytest.raises(Conflict, match="taken"):
        await access.add_user(admin, "bob", password)
    _, secret = await access.login("bob", password)
    bob, _ = await access.session_principal(secret)
    assert bob.grants == (APPROVER,)
    for attempt in (
        access.add_user(bob, "eve", password),
        access.set_grants(bob, "bob", [Grant(role=Role.ADMIN)]),
        access.disable_user(bob, "ada"),
        access.set_password(bob, "ada", password),
        access.users(bob),
    ):
        with pytest.raises(Forbidden):
            await attempt


async def test_the_last_admin_cannot_be_lost(access: AccessService, admin: Principal, password: str) -> None:
    with pytest.raises(Refused, match="last admin"):
        await access.disable_user(admin, "ada")
    with pytest.raises(Refused, match="last admin"):
        await access.set_grants(admin, "ada", [APPROVER])
    await access.add_user(admin, "bob", password, grants=[Grant(role=Role.ADMIN, client_id="acme")])
    with pytest.raises(Refused, match="last admin"):
        await access.disable_user(admin, "ada")
    await access.set_grants(admin, "bob", [Grant(role=Role.ADMIN)])
    await access.disable_user(admin, "ada")
    with pytest.raises(Refused, match="last admin"):
        await access.disable_user(admin, "bob")


async def test_two_admins_cannot_disable_each_other_at_once(
    access: AccessService, admin: Principal, password: str
) -> None:
    await access.add_user(admin, "bob", password, grants=[Grant(role=Role.ADMIN)])
    done = await asyncio.gather(
        access.disable_user(admin, "ada"), access.disable_user(admin, "bob"), return_exceptions=True
    )
    assert sum(isinstance(result, Refused) for result in done) == 1


async def test_disabling_and_role_changes_take_effect_at_once(
    access: AccessService, admin: Principal, password: str, store: Store
) -> None:
    await access.add_user(admin, "bob", password, grants=[APPROVER])
    _, secret = await access.login("bob", password)
    await access.set_grants(admin, "bob", [])
    bob, _ = await access.session_principal(secret)
    assert bob.grants == ()
    await access.disable_user(admin, "bob")
    with pytest.raises(Unauthenticated):
        await access.session_principal(secret)
    with pytest.raises(Unauthenticated):
        await access.login("bob", password)
    with pytest.raises(Conflict):
        await access.disable_user(admin, "bob")
    assert {"user.add", "user.grants", "user.disable"} <= set(await actions(store))


async def test_a_new_password_ends_all_sessions(access: AccessService, admin: Principal, password: str) -> None:
    user = await access.add_user(admin, "bob", password)
    secrets = [(await access.login("bob", password))[1] for _ in range(2)]
    bob, _ = await access.session_principal(secrets[0])
    await access.set_password(bob, "bob", "another long password")
    for secret in secrets:
        with pytest.raises(Unauthenticated):
            await access.session_principal(secret)
    with pytest.raises(Unauthenticated):
        await access.login("bob", password)
    assert (await access.login("bob", "another long password"))[0].user_id == user.id
    with pytest.raises(NotFound):
        await access.set_password(admin, "nobody", password)


async def test_a_demo_person_is_labelled(access: AccessService, password: str) -> None:
    await access.bootstrap_admin("demo", password, demo=True)
    _, secret = await access.login("demo", password)
    principal, _ = await access.session_principal(secret)
    assert principal.method is AuthMethod.DEMO
    assert principal.decides


async def test_no_audit_means_no_change(
    access: AccessService, admin: Principal, password: str, store: Any, tmp_path: Any
) -> None:
    with sqlite3.connect(tmp_path / "access.db") as raw:
        raw.execute("CREATE TRIGGER full BEFORE INSERT ON audit_log BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    raw.close()
    with pytest.raises(RunwrightError, match="Nothing was changed"):
        await access.add_user(admin, "bob", password)
    async with store.reading() as tx:
        assert await tx.users.count(client=EVERY_CLIENT) == 1
