"""The ASGI app: routes, errors, limits and headers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runwright import __version__
from runwright.surfaces.api import (
    executions,
    external,
    health,
    incidents,
    inventory,
    plans,
    problems,
    questions,
    review,
    runbooks,
    sessions,
    standing,
    system,
)
from runwright.surfaces.dashboard import routes as dashboard
from runwright.surfaces.dashboard.pages import error_page
from runwright.surfaces.services import Services

MAX_BODY = 1_000_000
"""Bytes of a request."""

TOO_LARGE = f"Found a body over {MAX_BODY} bytes."

_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # Not `no-referrer`: browsers then send `Origin: null` with our own forms, which the guard refuses.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class BodyLimit:
    """Refuses bodies over the limit: before any route by their declared length, else while they come in.

    FastAPI's own `max_body_size` looks only when a body is read, so a route without one would do its work and
    then answer 413; and its answer is plain text.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > MAX_BODY:
            answer = problems.problem(413, "too-large", TOO_LARGE, allowed="Send less.")
            await answer(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > MAX_BODY:
                raise HTTPException(413, TOO_LARGE)
            return message

        await self.app(scope, counted, send)


async def _guard_and_label(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
    """Check the Host header (a page elsewhere may have made its name point here) and set the headers."""
    host = request.headers.get("host", "").rsplit(":", 1)[0]
    if host not in _LOOPBACK_NAMES:
        answer: Response = problems.problem(
            421, "wrong-host", f"Found host {host[:80]!r}.", allowed="Allowed: 127.0.0.1, localhost, [::1]."
        )
    else:
        answer = await go_on(request)
    for name, value in SECURITY_HEADERS.items():
        answer.headers.setdefault(name, value)
    if not request.url.path.startswith("/static/"):
        answer.headers.setdefault("Cache-Control", "no-store")
    return answer


def routed() -> FastAPI:
    """The app with its routes and error answers, without the services behind them."""
    app = FastAPI(
        title="Runwright",
        version=__version__,
        description="Runbooks that run on real hosts, prove that the incident is over, and improve under review.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    problems.install(app, error_page)
    for module in (
        health,
        sessions,
        inventory,
        incidents,
        plans,
        external,
        questions,
        executions,
        runbooks,
        review,
        standing,
        system,
    ):
        app.include_router(module.router, prefix="/api")
    app.include_router(dashboard.router)
    app.mount("/static", StaticFiles(packages=[("runwright.surfaces.dashboard", "static")]), name="static")
    app.add_middleware(BodyLimit)
    app.middleware("http")(_guard_and_label)
    return app


def create_app(services: Services) -> FastAPI:
    """The whole web surface over these services."""
    app = routed()
    app.state.services = services
    return app
