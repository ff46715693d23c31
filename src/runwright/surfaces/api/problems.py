"""RFC 9457 problem details for every error, with a stable `type` per code."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from runwright.incidents.routing import NoRoute
from runwright.model import errors
from runwright.model.errors import Fault, RunwrightError
from runwright.surfaces.client import PROBLEM_PREFIX

log = logging.getLogger(__name__)

STATUS: dict[type[RunwrightError], int] = {
    errors.InvalidInput: 422,
    errors.UsageFault: 400,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Refused: 409,
    errors.GateRefused: 409,
    errors.Held: 409,
    NoRoute: 409,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.TooMany: 429,
    errors.Unavailable: 503,
    errors.HostUnreachable: 503,
    errors.HostKeyRefused: 503,
    errors.NoMachine: 503,
    errors.ModelUnavailable: 503,
    errors.StorageUnavailable: 503,
    errors.Tampered: 409,
    RunwrightError: 500,
}
"""One row per error class; a test fails on a class without one."""

MEDIA_TYPE = "application/problem+json"

ErrorPage = Callable[[Request, dict[str, Any]], Awaitable[Response]]
"""Request and problem -> a page."""


def status_of(error: RunwrightError) -> int:
    """The status of an error: its class's row, or that of the nearest base."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def problem(status: int, code: str, detail: str, **more: Any) -> JSONResponse:
    """One problem answer."""
    body = {
        "type": PROBLEM_PREFIX + code,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **{key: value for key, value in more.items() if value},
    }
    headers = {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else {}
    return JSONResponse(body, status_code=status, media_type=MEDIA_TYPE, headers=headers)


def error_problem(error: RunwrightError) -> JSONResponse:
    """The answer for an error of ours."""
    return problem(
        status_of(error),
        error.code,
        str(error),
        found=error.found,
        allowed=error.allowed,
        next_step=error.next_step,
        faults=[fault.model_dump(mode="json", exclude_none=True) for fault in error.faults],
    )


def _faults(found: list[Any]) -> list[dict[str, Any]]:
    return [
        Fault(
            message=str(item["msg"]).removeprefix("Value error, "), path=".".join(str(part) for part in item["loc"])
        ).model_dump(exclude_none=True)
        for item in found
    ]


async def _answer(request: Request, made: JSONResponse) -> Response:
    """The problem itself for programs; the same as a page for whoever asked for a page."""
    pages: ErrorPage | None = getattr(request.app.state, "error_page", None)
    if pages is None or request.url.path.startswith(("/api/", "/static/")):
        return made
    return await pages(request, json.loads(bytes(made.body)))


async def _ours(request: Request, error: Exception) -> Response:
    if not isinstance(error, RunwrightError):
        raise error
    return await _answer(request, error_problem(error))


async def _invalid(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError | ValidationError):
        raise error
    faults = _faults(list(error.errors()))
    return await _answer(request, problem(422, errors.InvalidInput.code, "The request was refused.", faults=faults))


async def _http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    codes = {404: errors.NotFound.code, 405: "method-not-allowed", 413: "too-large", 415: "unsupported-media-type"}
    code = codes.get(error.status_code, f"http-{error.status_code}")
    answer = await _answer(request, problem(error.status_code, code, str(error.detail)))
    answer.headers.update(error.headers or {})  # as Allow, which a 405 must have
    return answer


async def _unexpected(request: Request, error: Exception) -> Response:
    """A fault of ours: a reference for the log, nothing of the inside."""
    reference = secrets.token_hex(6)
    log.error("unexpected error, reference %s", reference, exc_info=error)
    text = f"Something went wrong here; the server's log has it under {reference}."
    return await _answer(request, problem(500, RunwrightError.code, text))


def install(app: FastAPI, error_page: ErrorPage | None = None) -> None:
    """Answer every error of the app with a problem, or with a page outside `/api`."""
    app.state.error_page = error_page
    app.add_exception_handler(RunwrightError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(ValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)
