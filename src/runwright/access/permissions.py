"""One table: which roles carry which permission. Whoever is not in it may not (deny by default)."""

from __future__ import annotations

from enum import StrEnum

from runwright.model.errors import Forbidden
from runwright.model.principals import Principal, PrincipalKind, Role


class Permission(StrEnum):
    """Everything that a principal can be allowed, one member per decision that surfaces ask for."""

    READ_INCIDENTS = "incidents.read"
    REPORT_INCIDENT = "incidents.report"
    HANDLE_INCIDENTS = "incidents.handle"
    READ_HOSTS = "hosts.read"
    MANAGE_HOSTS = "hosts.manage"
    READ_EXECUTIONS = "executions.read"
    RUN = "executions.run"
    ANSWER = "executions.answer"
    REPORT_EXECUTION = "executions.report"
    READ_RUNBOOKS = "runbooks.read"
    AUTHOR_RUNBOOKS = "runbooks.author"
    READ_REVIEWS = "reviews.read"
    TEST_REVIEW = "reviews.test"
    CLAIM_REVIEW = "reviews.claim"
    DECIDE_REVIEW = "reviews.decide"
    REVOKE_APPROVAL = "approvals.revoke"
    SUSPEND_ACTIVATION = "activations.suspend"
    STOP = "switches.set"
    RESUME = "switches.release"
    READ_AUDIT = "audit.read"
    MANAGE_CLIENTS = "clients.manage"
    MANAGE_USERS = "users.manage"
    MANAGE_TOKENS = "tokens.manage"


_R, _V, _O, _W, _P, _A = Role.REPORTER, Role.VIEWER, Role.OPERATOR, Role.AUTHOR, Role.APPROVER, Role.ADMIN
_READERS = frozenset({_V, _O, _W, _P, _A})

PERMISSIONS: dict[Permission, frozenset[Role]] = {
    Permission.READ_INCIDENTS: _READERS,
    Permission.REPORT_INCIDENT: frozenset({_O, _A}),
    Permission.HANDLE_INCIDENTS: frozenset({_O, _A}),
    Permission.READ_HOSTS: _READERS,
    Permission.MANAGE_HOSTS: frozenset({_A}),
    Permission.READ_EXECUTIONS: _READERS,
    Permission.RUN: frozenset({_O, _A}),
    Permission.ANSWER: frozenset({_O, _A}),
    Permission.REPORT_EXECUTION: frozenset({_R, _O, _A}),
    Permission.READ_RUNBOOKS: _READERS,
    Permission.AUTHOR_RUNBOOKS: frozenset({_W, _A}),
    Permission.READ_REVIEWS: _READERS,
    Permission.TEST_REVIEW: frozenset({_O, _W, _P, _A}),
    Permission.CLAIM_REVIEW: frozenset({_P, _A}),
    Permission.DECIDE_REVIEW: frozenset({_P, _A}),
    Permission.REVOKE_APPROVAL: frozenset({_P, _A}),
    Permission.SUSPEND_ACTIVATION: frozenset({_O, _P, _A}),
    Permission.STOP: frozenset({_O, _P, _A}),
    Permission.RESUME: frozenset({_P, _A}),
    Permission.READ_AUDIT: frozenset({_P, _A}),
    Permission.MANAGE_CLIENTS: frozenset({_A}),
    Permission.MANAGE_USERS: frozenset({_A}),
    Permission.MANAGE_TOKENS: frozenset({_A}),
}
"""`admin` is in every row: it includes all others, yet goes through review like anyone."""

MACHINE_PERMISSIONS = frozenset(
    {
        Permission.READ_INCIDENTS,
        Permission.REPORT_INCIDENT,
        Permission.HANDLE_INCIDENTS,
        Permission.READ_HOSTS,
        Permission.READ_EXECUTIONS,
        Permission.RUN,
        Permission.REPORT_EXECUTION,
        Permission.READ_RUNBOOKS,
        Permission.AUTHOR_RUNBOOKS,
        Permission.READ_REVIEWS,
        Permission.TEST_REVIEW,
        Permission.STOP,
    }
)
"""All that a machine's token can ever carry, whatever its grants; everything else needs a person (promise 9)."""

PERSONS_ONLY = frozenset(Permission) - MACHINE_PERMISSIONS

SHARED_READS = frozenset({Permission.READ_RUNBOOKS, Permission.READ_REVIEWS})
"""Library content is shared: reading it needs the role for any client."""


def allows(principal: Principal, permission: Permission, client_id: str | None) -> bool:
    """Whether the principal holds the permission for a client (None: for the library and the whole system)."""
    if principal.kind is PrincipalKind.PERSON:
        if permission in PERSONS_ONLY and not principal.decides:
            return False
    elif principal.kind is not PrincipalKind.MACHINE or permission not in MACHINE_PERMISSIONS:
        return False
    roles = PERMISSIONS[permission]
    if client_id is None and permission in SHARED_READS:
        return any(grant.role in roles for grant in principal.grants)
    return any(principal.has(role, client_id) for role in roles)


def require(principal: Principal, permission: Permission, client_id: str | None) -> None:
    """Raise Forbidden unless the principal holds the permission for the client (None: for everything)."""
    if allows(principal, permission, client_id):
        return
    where = f"client {client_id}" if client_id is not None else "the library and the whole system"
    if permission in PERSONS_ONLY and not principal.decides:
        raise Forbidden(
            f"Found {principal.kind.value} {principal.name}, and {permission.value} is never given to one.",
            allowed="Allowed: a person who has logged in.",
            next_step="Log in as a person with `runwright login`.",
        )
    roles = ", ".join(sorted(role.value for role in PERMISSIONS[permission]))
    raise Forbidden(
        f"Found {principal.name} without {permission.value} for {where}.",
        allowed=f"Allowed: the roles {roles}.",
        next_step="Ask an admin for a grant.",
    )


def clients_of(principal: Principal, permission: Permission) -> frozenset[str] | None:
    """The clients for which the principal holds the permission; None means every client."""
    if allows(principal, permission, None) and any(
        grant.client_id is None and grant.role in PERMISSIONS[permission] for grant in principal.grants
    ):
        return None
    named = {grant.client_id for grant in principal.grants if grant.client_id is not None}
    return frozenset(client for client in named if allows(principal, permission, client))
