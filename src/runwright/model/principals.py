"""Who acts: persons, machines, the engine; their roles, sessions and tokens."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from runwright.model.base import Moment, Record
from runwright.model.ids import ClientId


class PrincipalKind(StrEnum):
    PERSON = "person"
    MACHINE = "machine"
    ENGINE = "engine"


class Role(StrEnum):
    """What a principal may do for a client. `admin` includes all others but not the right to skip review."""

    REPORTER = "reporter"
    """Another executor: reports its results and reads nothing."""
    VIEWER = "viewer"
    OPERATOR = "operator"
    AUTHOR = "author"
    APPROVER = "approver"
    ADMIN = "admin"


class AuthMethod(StrEnum):
    PASSWORD = "password"  # noqa: S105 - the name of a method, not a secret
    OIDC = "oidc"
    TOKEN = "token"  # noqa: S105 - as above
    INTERNAL = "internal"
    DEMO = "demo"


class Grant(Record):
    """A role for one client, or for every client and the library (`client_id` None)."""

    role: Role
    client_id: ClientId | None = None


class Principal(Record):
    """The one who acts, as authenticated for this request."""

    id: str
    kind: PrincipalKind
    name: str
    method: AuthMethod
    grants: tuple[Grant, ...] = ()

    def has(self, role: Role, client_id: str | None) -> bool:
        """Whether a grant gives this role for the client (None: for everything)."""
        return any(
            grant.role in (role, Role.ADMIN) and (grant.client_id is None or grant.client_id == client_id)
            for grant in self.grants
        )

    @property
    def decides(self) -> bool:
        """Only an authenticated person decides."""
        return self.kind is PrincipalKind.PERSON and self.method in (
            AuthMethod.PASSWORD,
            AuthMethod.OIDC,
            AuthMethod.DEMO,
        )


ENGINE = Principal(id="engine", kind=PrincipalKind.ENGINE, name="Runwright engine", method=AuthMethod.INTERNAL)
"""Authors learned versions and runs admitted ones. Holds no grant to decide."""


class User(Record):
    """A person with a local account."""

    id: str
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")
    display_name: str = ""
    password_hash: str = Field(repr=False)
    """argon2id, in its encoded form."""
    grants: tuple[Grant, ...] = ()
    demo: bool = False
    created_at: Moment
    disabled_at: Moment | None = None


class Session(Record):
    """A browser or CLI session of a person. Only the digest of its secret is stored."""

    id: str
    user_id: str
    secret_digest: str
    csrf_token: str
    created_at: Moment
    expires_at: Moment
    authenticated_at: Moment
    """When the password was last given; approving asks again when this is old."""
    ended_at: Moment | None = None


class Token(Record):
    """A machine's credential. Cannot approve, whatever its grants."""

    id: str
    name: str
    secret_digest: str
    grants: tuple[Grant, ...] = ()
    created_at: Moment
    expires_at: Moment
    revoked_at: Moment | None = None
