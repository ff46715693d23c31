"""The runbook's own `verify` entries, on this machine itself: real commands, a real web server, real ports."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from runwright.model.documents import ServiceState, Verify
from runwright.model.ports.clock import Clock
from runwright.model.ports.hosts import HostSession
from runwright.verification.checks import Host, observe
from runwright.verification.web import HTTP_PART


class Shop(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status = {"/": 200, "/moved": 302, "/broken": 500}.get(self.path, 404)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/")
        self.end_headers()
        self.wfile.write(b"open for business\nrw-status 999\n")

    do_HEAD = do_GET

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a web server of this test's own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def host(session: HostSession, clock: Clock, port: int) -> Host:
    values = {"port": port, "greeting": "open for business", "there": "/etc/passwd", "flag": True}
    environment = {name: str(value) for name, value in values.items()}
    return Host(session, clock, environment, values)


def entry(**kind: Any) -> Verify:
    return Verify.model_validate({"id": "check", **kind})


@pytest.mark.parametrize(
    ("command", "expected", "words"),
    [
        ("true", "passed", "status 0"),
        ('test "$greeting" = "open for business"', "passed", "status 0"),
        ("echo said >&2; false", "failed", "status 1; wanted: 0"),
        ("exit 125", "failed", "status 125"),
        ("exit 126", "unverifiable", "status 126"),
        ("no-such-command-here", "unverifiable", "status 127"),
        ("sh -c 'kill -9 $$'", "unverifiable", "could not be run to its end"),
    ],
)
async def test_run(host: Host, command: str, expected: str, words: str) -> None:
    found = await observe(entry(run=command), host)
    assert (found.outcome.value, words in found.reason) == (expected, True), found


async def test_run_that_does_not_end_is_no_evidence(host: Host) -> None:
    found = await observe(entry(run="sleep 60", timeout=0.3), host)
    assert (found.outcome.value, found.reason) == ("unverifiable", "The command did not end within 0.3 s.")


async def test_what_a_command_prints_is_evidence_with_hidden_characters_shown(host: Host) -> None:
    found = await observe(entry(run=r"printf 'a\033[2Jb\342\200\256c'; echo; echo second >&2; false"), host)
    assert found.evidence == "a<U+001B>[2Jb<U+202E>c\nsecond"


@pytest.mark.parametrize(
    ("check", "expected", "words"),
    [
        ({}, "passed", "answers 200"),
        ({"method": "HEAD"}, "passed", "answers 200"),
        ({"contains": "$greeting"}, "passed", "answers 200"),
        ({"contains": "closed"}, "failed", "without the text"),
        ({"path": "/broken"}, "failed", "answers 500; wanted: 200"),
        ({"path": "/moved", "status": 302}, "passed", "answers 302"),
        ({"path": "/moved"}, "failed", "answers 302; wanted: 200"),
        ({"port": 1}, "failed", "does not answer"),
        ({"scheme": "https"}, "failed", "does not answer"),
        ({"port": "$nothing"}, "unverifiable", "no value for the parameter $nothing"),
        ({"port": "$greeting"}, "unverifiable", "allowed: 1 to 65535"),
        ({"host": "$greeting"}, "unverifiable", "no http or https URL"),
    ],
)
async def test_http(host: Host, check: dict[str, Any], expected: str, words: str) -> None:
    found = await observe(entry(http={"port": "$port", **check}), host)
    assert (found.outcome.value, words in found.reason) == (expected, True), found


@pytest.mark.parametrize("hidden", [["curl"], ["curl", "python3"]], ids=["python3", "wget"])
async def test_http_with_other_tools(host: Host, hidden: list[str]) -> None:
    """Each tool gives the same answers; the ones named are taken away."""
    text = HTTP_PART
    for tool in hidden:
        text = text.replace(f"have {tool};", "false;")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runwright.verification.checks.HTTP_PART", text)
        found = [
            await observe(entry(http={"port": "$port", **check}), host)
            for check in ({"contains": "$greeting"}, {"path": "/broken"}, {"port": 1})
        ]
    assert [one.outcome.value for one in found] == ["passed", "failed", "failed"], found
    assert "answers 500" in found[1].reason
    assert "does not answer" in found[2].reason


@pytest.mark.parametrize(
    ("wait", "expected", "words"),
    [
        ({"port": "$port"}, "passed", "is listening"),
        ({"port": 1, "for": 2.0}, "failed", "Nothing listens on port 1. Waited 2.0 s of 2 s."),
        ({"path": "$there"}, "passed", "/etc/passwd exists"),
        ({"path": "/no/such/path", "for": 1.0}, "failed", "does not exist"),
        ({"run": "true"}, "passed", "status 0"),
        ({"run": "exit 127"}, "unverifiable", "status 127"),
    ],
)
async def test_wait_for(host: Host, wait: dict[str, Any], expected: str, words: str) -> None:
    found = await observe(entry(wait_for={"every": 0.5, **wait}), host)
    assert (found.outcome.value, words in found.reason) == (expected, True), found


async def test_wait_for_waits_until_it_comes_true(host: Host, tmp_path: Any) -> None:
    counting = f'echo . >>{tmp_path}/tries; [ "$(wc -l <{tmp_path}/tries)" -ge 3 ]'
    found = await observe(entry(wait_for={"run": counting, "every": 1.0, "for": 10.0}), host)
    assert found.outcome.value == "passed"
    assert host.clock.monotonic() == 2.0


async def test_wait_for_does_not_wait_again_after_the_hold_time(host: Host) -> None:
    found = await observe(entry(wait_for={"run": "false", "for": 60.0}), host, again=True)
    assert (found.outcome.value, host.clock.monotonic()) == ("failed", 0.0)


async def test_a_service_of_no_such_name_is_not_running(host: Host) -> None:
    found = await observe(entry(service={"name": "no-such-service", "state": ServiceState.STARTED}), host)
    assert found.outcome.value in ("failed", "unverifiable")
    found = await observe(entry(service={"name": "no*", "state": ServiceState.STARTED}), host)
    assert (found.outcome.value, "not the name of one unit" in found.reason) == ("unverifiable", True)
