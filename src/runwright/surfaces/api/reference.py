"""The tables of `docs/reference/api.md`, from the app itself.

    python -m runwright.surfaces.api.reference docs/reference/api.md

writes them between the marks in that file; a test fails while they are out of date.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.routing import Mount

from runwright.model.errors import InvalidInput
from runwright.surfaces.api.app import routed
from runwright.surfaces.api.bodies import openapi
from runwright.surfaces.api.problems import STATUS

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
"""In this order within one path."""


@dataclass(frozen=True)
class Route:
    """One route as the table shows it."""

    method: str
    path: str
    rule: str
    """The permission it takes, `authenticated` or `anonymous`."""
    body: str
    """The fields of its body, those with a default in brackets."""
    query: str
    answer: str
    """The status of success."""
    summary: str


def rule_of(dependant: Any) -> str:
    """What a route asks of its caller, from the first of its dependencies that says so."""
    if hasattr(dependant.call, "rule"):
        return str(dependant.call.rule)
    return next((found for inner in dependant.dependencies if (found := rule_of(inner))), "")


def served(app: FastAPI) -> Iterator[tuple[str, str, Any]]:
    """Method, path and dependencies of every route of the app."""
    for entry in app.routes:
        if isinstance(entry, Mount):
            continue
        for route in entry.effective_route_contexts():  # type: ignore[attr-defined]  # FastAPI's own router entry
            for method in route.methods:
                yield method, route.path, route.dependant


def api_routes(app: FastAPI) -> list[Route]:
    """The routes under `/api`, by path."""
    document = openapi(app)
    schemas = document["components"]["schemas"]
    found = []
    for method, path, dependant in served(app):
        operation = document["paths"].get(path, {}).get(method.lower())
        if operation is None:
            continue
        fields = [item for item in operation.get("parameters", []) if item["in"] in ("query", "header")]
        found.append(
            Route(
                method=method,
                path=path,
                rule=rule_of(dependant),
                body=_body(operation, schemas),
                query=", ".join(f"`{item['name']}`" for item in fields),
                answer=next(status for status in operation["responses"] if status.startswith("2")),
                summary=operation["summary"].rstrip("."),
            )
        )
    return sorted(found, key=lambda route: (route.path, METHODS.index(route.method)))


def _body(operation: dict[str, Any], schemas: dict[str, Any]) -> str:
    if "requestBody" not in operation:
        return ""
    name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    needed = schemas[name].get("required", [])
    fields = schemas[name].get("properties", {})
    return ", ".join(f"`{field}`" if field in needed else f"[`{field}`]" for field in fields)


def routes_table(app: FastAPI) -> str:
    """Every route in one table."""
    lines = [
        "| Route | Takes | Asks for | Success | What it does |",
        "|---|---|---|---|---|",
    ]
    for route in api_routes(app):
        asks = "; ".join(part for part in (route.body, route.query) if part)
        lines.append(f"| `{route.method} {route.path}` | {route.rule} | {asks} | {route.answer} | {route.summary} |")
    return "\n".join(lines)


def problems_table() -> str:
    """Every problem type with its status and meaning, from the error classes."""
    lines = ["| `type` ends in | Status | Meaning |", "|---|---|---|"]
    for kind, status in sorted(STATUS.items(), key=lambda item: (item[1], item[0].code)):
        meaning = (inspect.getdoc(kind) or "").split("\n")[0]
        if kind.code == "internal":
            meaning = "A fault of Runwright; the answer names a reference, and the server's log has it."
        lines.append(f"| `{kind.code}` | {status} {HTTPStatus(status).phrase} | {meaning} |")
    return "\n".join(lines)


def renewed(text: str) -> str:
    """The page with its tables as they are now. Raises InvalidInput where a mark is missing."""
    for name, table in (("routes", routes_table(routed())), ("problems", problems_table())):
        found = re.search(rf"<!-- {name}: made by .*? -->\n(.*?)<!-- end -->", text, re.DOTALL)
        if found is None:
            raise InvalidInput(f"Found no mark for the table of {name}.", allowed="Allowed: <!-- NAME: made by ... -->")
        text = f"{text[: found.start(1)]}{table}\n{text[found.end(1) :]}"
    return text


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(renewed(page.read_text()))
