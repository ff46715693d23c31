"""The one table of permissions, row by row."""

from __future__ import annotations

import pytest

from runwright.access.permissions import (
    MACHINE_PERMISSIONS,
    PERMISSIONS,
    PERSONS_ONLY,
    SHARED_READS,
    Permission,
    allows,
    clients_of,
    require,
)
from runwright.model.errors import Forbidden
from runwright.model.principals import ENGINE, AuthMethod, Grant, Principal, PrincipalKind, Role


def principal(role: Role | None, client: str | None, *, kind: str = "person", method: str = "password") -> Principal:
    grants = () if role is None else (Grant(role=role, client_id=client),)
    return Principal(id="p", kind=PrincipalKind(kind), name="P", method=AuthMethod(method), grants=grants)


@pytest.mark.parametrize("permission", list(Permission))
def test_every_permission_has_a_row_with_admin(permission: Permission) -> None:
    assert Role.ADMIN in PERMISSIONS[permission]
    assert set(PERMISSIONS) == set(Permission)


@pytest.mark.parametrize("permission", list(Permission))
@pytest.mark.parametrize("role", list(Role))
def test_a_role_holds_for_its_client_alone(permission: Permission, role: Role) -> None:
    person = principal(role, "acme")
    wanted = role in PERMISSIONS[permission]
    assert allows(person, permission, "acme") is wanted
    assert not allows(person, permission, "other")
    assert allows(person, permission, None) is (wanted and permission in SHARED_READS)
    everywhere = principal(role, None)
    assert allows(everywhere, permission, "acme") is allows(everywhere, permission, None) is wanted


@pytest.mark.parametrize("permission", list(Permission))
def test_who_has_no_grant_may_nothing(permission: Permission) -> None:
    assert not allows(principal(None, None), permission, None)
    assert not allows(principal(None, None), permission, "acme")
    with pytest.raises(Forbidden):
        require(ENGINE, permission, None)


@pytest.mark.parametrize("permission", sorted(PERSONS_ONLY))
def test_a_machine_never_decides_whatever_its_grants(permission: Permission) -> None:
    machine = principal(Role.ADMIN, None, kind="machine", method="token")
    with pytest.raises(Forbidden, match="never given"):
        require(machine, permission, None)
    # Nor does a person who came by a token, or an engine that was given a grant.
    assert not allows(principal(Role.ADMIN, None, method="token"), permission, None)
    assert not allows(principal(Role.ADMIN, None, kind="engine", method="internal"), permission, None)


def test_the_deciding_permissions_are_for_persons() -> None:
    deciding = {"DECIDE_REVIEW", "CLAIM_REVIEW", "REVOKE_APPROVAL", "RESUME", "MANAGE_USERS", "MANAGE_TOKENS"}
    assert {Permission[name] for name in deciding} <= PERSONS_ONLY
    assert MACHINE_PERMISSIONS.isdisjoint(PERSONS_ONLY)
    assert allows(principal(Role.OPERATOR, "acme", kind="machine", method="token"), Permission.REPORT_INCIDENT, "acme")


@pytest.mark.parametrize("method", ["password", "oidc", "demo"])
def test_a_person_decides_however_they_logged_in(method: str) -> None:
    require(principal(Role.APPROVER, "acme", method=method), Permission.DECIDE_REVIEW, "acme")


def test_library_decisions_need_a_grant_for_everything() -> None:
    with pytest.raises(Forbidden, match="the library") as caught:
        require(principal(Role.APPROVER, "acme"), Permission.DECIDE_REVIEW, None)
    assert "approver" in caught.value.allowed


def test_clients_of_names_them_or_says_all() -> None:
    two = Principal(
        id="p",
        kind=PrincipalKind.PERSON,
        name="P",
        method=AuthMethod.PASSWORD,
        grants=(Grant(role=Role.VIEWER, client_id="a"), Grant(role=Role.APPROVER, client_id="b")),
    )
    assert clients_of(two, Permission.READ_REVIEWS) == {"a", "b"}
    assert clients_of(two, Permission.DECIDE_REVIEW) == {"b"}
    assert clients_of(principal(Role.VIEWER, None), Permission.READ_REVIEWS) is None
    assert clients_of(principal(None, None), Permission.READ_REVIEWS) == frozenset()
    assert clients_of(ENGINE, Permission.READ_REVIEWS) == frozenset()
