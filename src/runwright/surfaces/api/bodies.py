"""Request bodies as strict records.

FastAPI validates parsed JSON as Python data, where strict records refuse a text for an enum or a date. Here
the bytes themselves are validated as JSON, and the schema is added to the OpenAPI document.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from runwright.model.errors import Fault, InvalidInput
from runwright.surfaces.api.forms import Problem

M = TypeVar("M", bound=BaseModel)

_MODELS: dict[str, type[BaseModel]] = {Problem.__name__: Problem}
_REFERENCE = "#/components/schemas/{model}"


def json_body(model: type[M]) -> Callable[[Request], Awaitable[M]]:
    """A dependency: the request's body as a record. Raises InvalidInput with every fault."""

    async def dependency(request: Request) -> M:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise HTTPException(415, f"Found content type {kind[:60]!r}; allowed: application/json.")
        try:
            return model.model_validate_json(await request.body())
        except ValidationError as error:
            faults = [
                Fault(message=item["msg"], path=".".join(str(part) for part in item["loc"]) or None)
                for item in error.errors()
            ]
            raise InvalidInput("The request was refused.", faults=faults) from error

    return dependency


def body_of(model: type[BaseModel]) -> dict[str, Any]:
    """The `openapi_extra` of a route whose body is this record."""
    _MODELS[model.__name__] = model
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": _REFERENCE.format(model=model.__name__)}}},
        }
    }


def openapi(app: FastAPI) -> dict[str, Any]:
    """The complete document: FastAPI's, and the bodies that `json_body` reads."""
    document: dict[str, Any] = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        license_info=app.license_info,
    )
    parts = document.setdefault("components", {})
    schemas = parts.setdefault("schemas", {})
    for name, model in sorted(_MODELS.items()):
        schema = model.model_json_schema(ref_template=_REFERENCE)
        for inner, definition in schema.pop("$defs", {}).items():
            schemas.setdefault(inner, definition)
        schemas[name] = schema
    parts["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "A session's secret, or a machine's token."}
    }
    document["security"] = [{"bearer": []}]
    return document
