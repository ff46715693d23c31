"""Who asks, and whether they may: one helper that every route goes through.

A route without `needs(...)` (or `open_to_all`) fails a test. Browsers come with a cookie and must then show
the session's CSRF token and a same-origin request; programs come with a bearer secret.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request

from runwright.access.permissions import Permission, allows, clients_of
from runwright.model.clients import client_scope
from runwright.model.errors import Forbidden, NotFound, Unauthenticated
from runwright.model.ids import ALL
from runwright.model.ports.store import EVERY_CLIENT
from runwright.model.principals import Principal, Session
from runwright.surfaces.services import Services

COOKIE = "runwright-session"
"""Over plain HTTP on loopback; `__Host-` cookies need TLS."""
SECURE_COOKIE = "__Host-runwright-session"
CSRF_HEADER = "X-CSRF-Token"
CSRF_FIELD = "csrf_token"
TOKEN_PREFIX = "rwt_"  # noqa: S105 - how a machine's token begins, not a token

STANDING_SECONDS = 1.0
"""How long a stream may go on after its reader lost the right to it."""

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True)
class Caller:
    """Who asks, by which credential, and the permission that the route needs."""

    principal: Principal
    session: Session | None
    secret: str
    permission: Permission | None

    def clients(self) -> frozenset[str] | None:
        """Clients for which the caller holds the route's permission; None means every client."""
        return frozenset() if self.permission is None else clients_of(self.principal, self.permission)

    def where(self, column: str = "client_id") -> dict[str, Any]:
        """The filter that keeps a list to what the caller may see."""
        clients = self.clients()
        return {} if clients is None else {column: tuple(sorted(clients)) or ("",)}

    def scopes(self) -> dict[str, Any]:
        """The filter that keeps library records to the scopes the caller may read: the library's and their own."""
        clients = self.clients()
        return {} if clients is None else {"scope": (ALL, *(client_scope(client) for client in sorted(clients)))}

    def sees(self, client_id: str | None) -> bool:
        """Whether a record of this client (None: the library) may be shown."""
        return self.permission is not None and allows(self.principal, self.permission, client_id)

    def check(self, client_id: str | None, what: str) -> None:
        """Raise NotFound where the record is another client's: it looks the same as unknown."""
        if not self.sees(client_id):
            raise NotFound(f"Found no {what}.")

    @property
    def scope(self) -> str:
        """For services that take one client: the only one, or every one (they check the principal again)."""
        clients = self.clients()
        return next(iter(clients)) if clients is not None and len(clients) == 1 else EVERY_CLIENT


def known_caller(request: Request) -> Caller | None:
    """The caller, if the request got as far as that; for pages that tell of an error."""
    found = getattr(request.state, "caller", None)
    return found if isinstance(found, Caller) else None


def services(request: Request) -> Services:
    """The services of this app."""
    found = request.app.state.services
    if not isinstance(found, Services):
        raise TypeError("the app was made without services")
    return found


def cookie_name(request: Request) -> str:
    """The session cookie's name for this scheme."""
    return SECURE_COOKIE if request.url.scheme == "https" else COOKIE


async def _by_bearer(request: Request) -> Caller | None:
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if not secret:
        return None
    if scheme.lower() != "bearer":
        raise Unauthenticated(f"Found an authorization of kind {scheme[:20]!r}.", allowed="Allowed: Bearer.")
    access = services(request).access
    if secret.startswith(TOKEN_PREFIX):
        return Caller(await access.token_principal(secret), None, secret, None)
    principal, session = await access.session_principal(secret)
    return Caller(principal, session, secret, None)


async def _by_cookie(request: Request) -> Caller | None:
    secret = request.cookies.get(cookie_name(request))
    if not secret:
        return None
    principal, session = await services(request).access.session_principal(secret)
    if request.method not in _SAFE:
        await _check_same_origin(request, session)
    return Caller(principal, session, secret, None)


async def _check_same_origin(request: Request, session: Session) -> None:
    """A cookie alone changes nothing: the request must come from our own page and carry its token."""
    refuse_foreign(request)
    given = request.headers.get(CSRF_HEADER)
    if given is None and request.headers.get("content-type", "").startswith(
        ("application/x-www-form-urlencoded", "multipart/form-data")
    ):
        field = (await request.form()).get(CSRF_FIELD)
        given = field if isinstance(field, str) else None
    if given is None or not hmac.compare_digest(given.encode(), session.csrf_token.encode()):
        raise Forbidden("Found a request without this session's CSRF token.", next_step="Load the page again.")


def refuse_foreign(request: Request) -> None:
    """Raise Forbidden where the browser says that the request comes from another site."""
    site = request.headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        raise Forbidden(f"Found a request from another site ({site}).", allowed="Allowed: this server's own pages.")
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise Forbidden("Found a request from another origin.", allowed="Allowed: this server's own pages.")


async def authenticate(request: Request) -> Caller:
    """Who asks. Raises Unauthenticated, and Forbidden for a cookie without its CSRF token."""
    caller = await _by_bearer(request) or await _by_cookie(request)
    if caller is None:
        raise Unauthenticated(
            "Found no login.", allowed="Allowed: a session or a token.", next_step="Log in with `runwright user login`."
        )
    return caller


def needs(permission: Permission | None) -> Callable[[Request], Awaitable[Caller]]:
    """A dependency: the caller, who holds the permission for some client. None: any authenticated caller."""

    async def dependency(request: Request) -> Caller:
        known = await authenticate(request)
        caller = Caller(known.principal, known.session, known.secret, permission)
        request.state.caller = caller
        if permission is not None and caller.clients() == frozenset() and not caller.sees(None):
            raise Forbidden(
                f"Found {known.principal.name} without {permission.value}.", next_step="Ask an admin for a grant."
            )
        return caller

    dependency.rule = permission.value if permission else "authenticated"  # type: ignore[attr-defined]  # read by the route test
    return dependency


class Standing:
    """Whether who asked for a long answer may still get the rest of it: not logged out, locked out, revoked, or
    without the right meanwhile."""

    def __init__(self, request: Request, client_id: str) -> None:
        self._request = request
        self._client_id = client_id
        self._permission = request.state.caller.permission
        self._clock = services(request).clock
        self._next = self._clock.monotonic() + STANDING_SECONDS

    async def holds(self) -> bool:
        """Asks anew once a second; False also when the connection is gone."""
        if await self._request.is_disconnected():
            return False
        now = self._clock.monotonic()
        if now < self._next:
            return True
        self._next = now + STANDING_SECONDS
        try:
            known = await authenticate(self._request)
        except (Unauthenticated, Forbidden):
            return False
        return allows(known.principal, self._permission, self._client_id)


async def open_to_all() -> None:
    """A dependency that marks a route as anonymous on purpose."""


open_to_all.rule = "anonymous"  # type: ignore[attr-defined]  # read by the route test
