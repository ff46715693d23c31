"""Runs on this machine, described as data: `tests/cases/execution/*.yaml`."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from execution.conftest import MakeRun

CASES = sorted((Path(__file__).parents[1] / "cases" / "execution").glob("*.yaml"))


class Page(http.server.BaseHTTPRequestHandler):
    """Answers / with a page and everything else with 503."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/" else 503)
        self.end_headers()
        self.wfile.write(b"it works \xff\n")

    def log_message(self, *_: object) -> None:
        return None


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a small web server on this machine."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
async def test_case(path: Path, make_run: MakeRun, tmp_path: Path, port: int) -> None:
    case = YAML(typ="safe", pure=True).load(path.read_text())
    places = {"TMP": str(tmp_path), "PORT": str(port)}
    given = {"log": str(tmp_path / "log")}
    for name, value in case.get("given", {}).items():
        given[name] = _filled(value, places)
    called = {name: _filled(text, places) for name, text in case.get("called", {}).items()}
    run = make_run(_filled(case["runbook"], places), incident=case.get("incident"), given=given, called=called)
    result = await run.go()
    expected = case["expect"]
    said = result.model_dump_json(indent=1, exclude={"state_before", "state_after"})
    assert result.status.value == expected["status"], said
    assert (result.error.code if result.error else None) == expected.get("error"), said
    assert (result.error.step if result.error else None) == expected.get("step"), said
    steps = {step.id: step.status.value for step in result.steps}
    assert steps == expected["steps"], said
    for step_id, texts in expected.get("says", {}).items():
        record = next(step for step in result.steps if step.id == step_id)
        spoken = record.reason + "".join(attempt.stdout + attempt.stderr for attempt in record.attempts)
        for text in [texts] if isinstance(texts, str) else texts:
            assert text in spoken, said
    for step_id, count in expected.get("attempts", {}).items():
        record = next(step for step in result.steps if step.id == step_id)
        assert [attempt.attempt for attempt in record.attempts] == list(range(1, count + 1)), said
    assert run.log() == [_filled(line, places) for line in expected.get("log", [])], said
    assert (result.verification_after_rollback is not None) == expected.get("verified_again", False), said


def _filled(value: Any, places: dict[str, str]) -> Any:
    if not isinstance(value, str):
        return value
    for name, text in places.items():
        value = value.replace(f"@{name}@", text)
    return value


def test_there_are_cases_for_every_kind_of_step() -> None:
    texts = [path.read_text() for path in CASES]
    for kind in ("run:", "service:", "http:", "wait_for:", "call:", "ask:"):
        assert any(kind in text for text in texts), kind
