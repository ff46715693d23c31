"""Rendering: templates with autoescape, filters that make hostile text visible, the frame around each page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from runwright import __version__
from runwright.access.permissions import Permission, allows, clients_of
from runwright.model.errors import StorageUnavailable
from runwright.model.ports.store import EVERY_CLIENT
from runwright.model.reviews import StopSwitch
from runwright.runbooks.visible import visible
from runwright.surfaces.api.guard import Caller, known_caller, services

_environment = Environment(
    loader=PackageLoader("runwright.surfaces.dashboard"),
    autoescape=select_autoescape(default=True, default_for_string=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

_LINKS = (
    ("/", "Overview", None),
    ("/queue", "Review", Permission.READ_REVIEWS),
    ("/incidents", "Incidents", Permission.READ_INCIDENTS),
    ("/executions", "Executions", Permission.READ_EXECUTIONS),
    ("/hosts", "Hosts", Permission.READ_HOSTS),
    ("/runbooks", "Runbooks", Permission.READ_RUNBOOKS),
    ("/audit", "Audit", Permission.READ_AUDIT),
)
_UNDER = {"/review": "/queue"}
"""Pages that belong to another link than their path says."""

_TITLES = {
    400: "That call is wrong",
    401: "Not logged in",
    403: "Not allowed",
    404: "Not found",
    405: "Not possible here",
    409: "Not possible now",
    413: "Too large",
    415: "Not readable",
    421: "Wrong address",
    422: "Not accepted",
    429: "Too many attempts",
    503: "Something does not answer",
}


def _shown(value: object) -> str:
    """Text from outside: control, bidi and zero-width characters as visible marks. Escaped by the template."""
    return visible(str(value))


def _moment(value: datetime | None) -> str | Markup:
    """A time in UTC, machine-readable too."""
    if value is None:
        return "-"
    at = value.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(at.isoformat(), at.strftime("%Y-%m-%d %H:%M:%S"))


def _words(value: object) -> str:
    """`runbook_insufficient` -> `runbook insufficient`."""
    return str(getattr(value, "value", value)).replace("_", " ")


def _brief(subject: Mapping[str, Any]) -> str:
    return visible(", ".join(f"{key} {value}" for key, value in subject.items()))


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 120 else f"{value / 60:.0f} min"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _several(count: int, one: str, many: str | None = None) -> str:
    """`1 path`, `2 paths`."""
    return f"{count} {one if count == 1 else many or one + 's'}"


_environment.filters.update(
    shown=_shown,
    moment=_moment,
    words=_words,
    brief=_brief,
    seconds=_seconds,
    percent=_percent,
    several=_several,
)


def render(template: str, /, **values: Any) -> str:
    """A template as text."""
    return _environment.get_template(template).render(**values)


async def page(
    request: Request, template: str, /, caller: Caller | None = None, status: int = 200, **values: Any
) -> HTMLResponse:
    """A whole page within the frame."""
    return HTMLResponse(render(template, frame=await _frame(request, caller), **values), status_code=status)


async def error_page(request: Request, problem: dict[str, Any]) -> Response:
    """An error for a person; who is not logged in goes to the login page, and from there to where they wanted."""
    status = int(problem["status"])
    if status == 401 and request.method == "GET":
        back = request.url.path
        return RedirectResponse("/login" if back == "/" else f"/login?next={back}", status_code=303)
    return await page(
        request,
        "error.html",
        known_caller(request),
        status=status,
        title=_TITLES.get(status, "Something went wrong"),
        problem={"found": None, "allowed": None, "next_step": None, "faults": [], **problem},
        back=_back(request),
    )


def _back(request: Request) -> str | None:
    """The page that a refused form stood on: one level up."""
    if request.method == "GET" or request.url.path.count("/") < 3:
        return None
    return request.url.path.rsplit("/", 1)[0]


async def _frame(request: Request, caller: Caller | None) -> dict[str, Any]:
    """What stands around every page: who, where to, and whether anything is stopped."""
    path = request.url.path
    under = next((link for start, link in _UNDER.items() if path.startswith(start)), path)
    stops: tuple[StopSwitch, ...] | None = ()
    if caller is not None:
        try:
            stops = await _stops(request, caller)
        except StorageUnavailable:
            # This may be the very page that says so. The frame says that it does not know.
            stops = None
    return {
        "version": __version__,
        "who": caller.principal if caller else None,
        "csrf": caller.session.csrf_token if caller and caller.session else "",
        "learning": services(request).engine(),
        "links": [
            (href, label, href == under or (href != "/" and under.startswith(href)))
            for href, label, needed in _LINKS
            if caller is not None and (needed is None or clients_of(caller.principal, needed) != frozenset())
        ],
        "stops": stops,
        "may_release": caller is not None and allows(caller.principal, Permission.RESUME, None),
    }


async def _stops(request: Request, caller: Caller) -> tuple[StopSwitch, ...]:
    """The switches that hold something the caller may see."""
    async with services(request).store.reading() as tx:
        found = await tx.switches.page(client=EVERY_CLIENT, limit=20)
    return tuple(
        switch
        for switch in found.items
        if not switch.id.startswith("client:")
        or allows(caller.principal, Permission.READ_EXECUTIONS, switch.id.removeprefix("client:"))
    )
