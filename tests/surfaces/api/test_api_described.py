"""The API against its own description: generated calls, right and wrong, as an admin and as a viewer.

Everything runs in this process, on a house with history. The seed is fixed, so a failure comes again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.python import asgi
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.types import ASGIApp, Receive, Scope, Send

from runwright.model.principals import Grant, Role
from support.house import grant, open_house
from surfaces import seed as story
from surfaces.conftest import History

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    allow_header_conformance,
    negative_data_rejection,
]

ENDLESS_OR_LAST = {
    ("GET", "/api/executions/{execution_id}/events"): "a stream; test_api_events.py reads it",
    ("DELETE", "/api/hosts/{host_id}"): "it would remove the host that other calls need",
    ("DELETE", "/api/sessions/current"): "it would end the session that all these calls need",
}

SHOWN_ELSEWHERE = {
    "/api/plans/{plan_id}": "test_client_contract.py makes a plan and reads it",
    "/api/executions/external/{execution_id}": "test_client_contract.py reports one and reads it",
    "/api/executions/{execution_id}/artefacts/{digest}": "test_api_artefacts.py keeps one and reads it",
}
"""The story has none of these, so every call of theirs is refused here, as described."""

CALLS = {Role.ADMIN: 8, Role.VIEWER: 3}
"""Generated calls of each operation."""


@dataclass
class InProcess:
    """The app, its house opened in whichever event loop the tool runs it in."""

    folder: Path
    grants: tuple[Grant, ...]
    secret: str = ""
    real: dict[str, str] = field(default_factory=dict)
    """Path parameter -> the id of something that exists."""
    app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            assert self.app is not None
            await self.app(scope, receive, send)
            return
        async with AsyncExitStack() as stack:
            assert (await receive())["type"] == "lifespan.startup"
            house = await stack.enter_async_context(open_house(self.folder))
            self.secret = await house.person("ada", *self.grants)
            self.app = house.app
            await send({"type": "lifespan.startup.complete"})
            assert (await receive())["type"] == "lifespan.shutdown"
        await send({"type": "lifespan.shutdown.complete"})


@pytest.fixture(params=[Role.ADMIN, Role.VIEWER])
def caller(request: pytest.FixtureRequest, history: History, tmp_path: Path) -> Iterator[tuple[Role, InProcess]]:
    role: Role = request.param
    seeded = history.seeded
    real = {
        "execution_id": seeded.execution_id,
        "incident_id": seeded.incident_id,
        "subject_id": seeded.candidate,
        "version_id": seeded.candidate,
        "runbook_id": story.RUNBOOK,
        "chain": story.CLIENT,
        "scope": "global",
        "host_id": seeded.host_id,
        "check_id": seeded.check_id,
    }
    yield role, InProcess(history.copy(tmp_path / "data"), (grant(role),), real=real)
    asgi.shutdown_lifespans()


def _described(app: InProcess) -> Any:
    with asgi.get_client(app) as client:
        client.headers["Host"] = "127.0.0.1"
        answer = client.get("/api/openapi.json", headers={"Authorization": f"Bearer {app.secret}"})
    assert answer.status_code == 200, answer.text
    found = schemathesis.openapi.from_dict(answer.json())
    found.app = app
    return found


def _try(operation: Any, app: InProcess, calls: int) -> int:
    """Call one operation so often; how many of the answers were a success."""
    succeeded = 0

    @seed(20260105)
    @settings(
        max_examples=calls,
        deadline=None,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), known=st.booleans())
    def check(case: Any, known: bool) -> None:
        nonlocal succeeded
        if known:
            for name in set(case.path_parameters or {}) & app.real.keys():
                case.path_parameters[name] = app.real[name]
        headers = {"Authorization": f"Bearer {app.secret}", "Host": "127.0.0.1"}
        answer = case.call(base_url="http://127.0.0.1", headers=headers)
        case.validate_response(answer, checks=CHECKS)
        succeeded += answer.status_code < 300

    check()
    return succeeded


def test_every_answer_is_a_described_one(caller: tuple[Role, InProcess]) -> None:
    role, app = caller
    silent = []
    for result in _described(app).get_all_operations():
        operation = result.ok()
        place = (operation.method.upper(), operation.path)
        if place not in ENDLESS_OR_LAST and not _try(operation, app, CALLS[role]):
            silent.append(place)
    if role is Role.ADMIN:
        unshown = {path for method, path in silent if method == "GET"}
        assert unshown <= SHOWN_ELSEWHERE.keys(), "never succeeded, so nothing was shown"
