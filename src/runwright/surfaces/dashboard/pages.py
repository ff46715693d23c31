"""Rendering: templates with autoescape, filters that make hostile text visible, the frame around each page."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from runwright import __version__
from runwright.runbooks.visible import visible
from runwright.surfaces.api.guard import Caller, services

_environment = Environment(
    loader=PackageLoader("runwright.surfaces.dashboard"),
    autoescape=select_autoescape(default=True, default_for_string=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def _shown(value: object) -> str:
    """Text from outside: control, bidi and zero-width characters as visible marks. Escaped by the template."""
    return visible(str(value))


def _moment(value: datetime | None) -> str:
    return value.strftime("%Y-%m-%d %H:%M:%S") if value else "-"


def _words(value: object) -> str:
    """`runbook_insufficient` -> `runbook insufficient`."""
    return str(getattr(value, "value", value)).replace("_", " ")


def _brief(subject: dict[str, Any]) -> str:
    return visible(", ".join(f"{key} {value}" for key, value in subject.items()))


_environment.filters.update(shown=_shown, moment=_moment, words=_words, brief=_brief)


def render(template: str, /, **values: Any) -> str:
    """A template as text."""
    return _environment.get_template(template).render(**values)


def page(
    request: Request, template: str, /, caller: Caller | None = None, status: int = 200, **values: Any
) -> HTMLResponse:
    """A whole page within the frame."""
    found = services(request)
    frame = {
        "version": __version__,
        "path": request.url.path,
        "who": caller.principal if caller else None,
        "csrf": caller.session.csrf_token if caller and caller.session else "",
        "learning": found.engine(),
    }
    return HTMLResponse(render(template, frame=frame, **values), status_code=status)


def error_page(request: Request, status: int, code: str, detail: str) -> Response:
    """An error for a person; who is not logged in goes to the login page."""
    if status == HTTPStatus.UNAUTHORIZED and request.method == "GET":
        return RedirectResponse("/login", status_code=303)
    return page(request, "error.html", status=status, title=HTTPStatus(status).phrase, code=code, detail=detail)
