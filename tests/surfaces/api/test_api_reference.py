"""The reference page says what the app does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runwright.access.permissions import Permission
from runwright.model.errors import InvalidInput
from runwright.surfaces.api.app import routed
from runwright.surfaces.api.problems import STATUS
from runwright.surfaces.api.reference import api_routes, renewed

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "api.md"


def test_the_page_is_up_to_date() -> None:
    text = PAGE.read_text()
    assert renewed(text) == text, "run: python -m runwright.surfaces.api.reference docs/reference/api.md"


def test_every_route_names_a_permission_and_is_in_the_table() -> None:
    routes = api_routes(routed())
    allowed = {permission.value for permission in Permission} | {"authenticated", "anonymous"}
    assert {route.rule for route in routes} <= allowed
    text = PAGE.read_text()
    for route in routes:
        assert f"| `{route.method} {route.path}` |" in text
    for kind in STATUS:
        assert f"| `{kind.code}` |" in text


def test_every_route_that_the_prose_names_exists() -> None:
    known = {f"{route.method} {route.path}" for route in api_routes(routed())}
    named = set(re.findall(r"`((?:GET|POST|DELETE) /api/[^`]*)`", PAGE.read_text()))
    assert named
    assert named <= known


def test_a_page_without_its_marks_is_refused() -> None:
    with pytest.raises(InvalidInput, match="routes"):
        renewed("# REST API\n")
