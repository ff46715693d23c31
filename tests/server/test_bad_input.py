"""What goes wrong outside: one clear sentence, a stable code, the right exit status, and nothing lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from runwright.model.hosts import NewHost, NspawnConnection
from runwright.surfaces.client import RunwrightClient
from support.server import CLIENT, HOST, Server, approve_runbook, first_admin

GOOD = """\
schema: runwright/v1
id: RB-TEST-001
name: A test
platform: linux
incident_types: [high_cpu]
severity: low
steps:
  - id: nothing
    run: "true"
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, RunwrightClient]]:
    server = Server(tmp_path_factory.mktemp("bad-input"))
    server.start()
    admin = first_admin(server)
    admin.add_host(NewHost(client_id=CLIENT, hostname="gone", connection=NspawnConnection(machine="no-such-machine")))
    approve_runbook(admin, GOOD)
    server.run("user", "login", "ada", "--password-stdin", given="correct horse battery staple\n")
    yield server, admin
    server.close()


def files(folder: Path) -> dict[str, str]:
    texts = {
        "broken.yaml": "schema: runwright/v1\nid: [RB\n",
        "unknown.yaml": GOOD + "colour: red\n",
        "anchor.yaml": GOOD.replace("name: A test", "name: &a A test"),
        "binary.yaml": "",
        "good.yaml": GOOD,
        "result.json": '{"execution_id": 7}',
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    (folder / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    return {name: str(folder / name) for name in texts}


@pytest.mark.parametrize(
    ("words", "status", "code", "says"),
    [
        ("runbook lint {broken.yaml}", 3, "invalid-input", "broken.yaml"),
        ("runbook lint {unknown.yaml}", 3, "invalid-input", "colour"),
        ("runbook lint {anchor.yaml}", 3, "invalid-input", "anchor"),
        ("runbook lint {binary.yaml}", 3, "invalid-input", "UTF-8"),
        ("runbook lint /nowhere/x.yaml", 3, "invalid-input", "/nowhere/x.yaml"),
        ("runbook add {unknown.yaml}", 3, "invalid-input", "colour"),
        ("runbook show RB-NOTHING-v1", 1, "not-found", "RB-NOTHING-v1"),
        ("runbook show ../../etc/passwd", 1, "not-found", "Found no"),
        ("incident report service_crash --host nowhere --set service=x", 3, "invalid-input", "host add"),
        ("incident report no_such_type --host here --set service=x", 3, "invalid-input", "allowed"),
        ("incident report service_crash --host here --set service", 2, "usage", "NAME=VALUE"),
        ("incident report disk_full --host here --set mount=", 3, "invalid-input", "mount"),
        ("incident show inc_nothing", 1, "not-found", "inc_nothing"),
        ("execution watch exe_nothing", 1, "not-found", "exe_nothing"),
        ("review approve RB-LINUX-SERVICE-001-v1", 2, "usage", "--digest"),
        ("review approve RB-LINUX-SERVICE-001-v1 --digest sha256:0", 1, "conflict", "digest"),
        ("host add x --connection teleport", 2, "usage", "nspawn:MACHINE"),
        ("host add here", 1, "conflict", "here"),
        ("user add eve", 2, "usage", "--role"),
        ("user add eve --role king --password-stdin", 2, "usage", "approver"),
        ("user add eve --admin --password-stdin", 1, "refused", "users"),
        ("release global", 1, "not-found", "global"),
        ("learn diagnose {result.json}", 3, "invalid-input", "result.json"),
        ("learn improve {result.json}", 2, "usage", "--runbook"),
        ("lab trial {good.yaml} {broken.yaml}", 3, "invalid-input", "broken.yaml"),
        ("serve --host 0.0.0.0", 1, "refused", "loopback"),
        ("--no-such-option", 2, "", "No such option"),
        ("no-such-command", 2, "", "No such command"),
    ],
)
def test_a_wrong_call_is_one_sentence_and_the_right_status(
    house: tuple[Server, RunwrightClient], tmp_path: Path, words: str, status: int, code: str, says: str
) -> None:
    server, _ = house
    known = files(tmp_path)
    arguments = [known.get(word.strip("{}"), word) if word.startswith("{") else word for word in words.split()]
    answer = server.run(*arguments, given="a long enough password\n")
    assert answer.returncode == status, answer.stdout + answer.stderr
    assert "Traceback" not in answer.stdout + answer.stderr
    assert says in answer.stderr
    if code:
        assert f"error [{code}]" in answer.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("runbook lint {unknown.yaml} --json", "invalid-input"),
        ("host add here --json", "conflict"),
        ("user add eve --json", "usage"),
    ],
)
def test_errors_are_json_for_programs(
    house: tuple[Server, RunwrightClient], tmp_path: Path, words: str, code: str
) -> None:
    known = files(tmp_path)
    arguments = [known.get(word.strip("{}"), word) if word.startswith("{") else word for word in words.split()]
    assert json.loads(house[0].run(*arguments).stderr)["code"] == code


def test_an_incident_that_no_runbook_answers_goes_to_a_person(house: tuple[Server, RunwrightClient]) -> None:
    server, admin = house
    answer = server.run("run", "cert_expiry", "--host", HOST, "--set", "path=/etc/ssl/x.pem", "--json")
    assert answer.returncode == 1, answer.stderr
    said = json.loads(answer.stdout)
    assert said["incident"]["status"] == "escalated"
    assert "approved" in said["escalations"][0]
    assert admin.escalations(said["incident"]["id"])[0].reason.value == "no_runbook"


def test_a_host_that_cannot_be_reached_fails_the_run_and_says_so(house: tuple[Server, RunwrightClient]) -> None:
    server, admin = house
    answer = server.run("run", "high_cpu", "--host", "gone", "--set", "process=x", "--json")
    assert answer.returncode == 1, answer.stderr
    result = json.loads(answer.stdout)
    assert result["status"] == "failure"
    assert result["error"]["code"] == "host-unreachable"
    assert "no-such-machine" in result["error"]["message"]
    assert admin.incident(result["incident"]["id"]).status.value == "escalated"


def test_without_a_server_the_sentence_says_how_to_start_one(house: tuple[Server, RunwrightClient]) -> None:
    server, _ = house
    server.environment["RUNWRIGHT_TOKEN"] = "rwt_nothing"
    kept, server.url = server.url, "http://127.0.0.1:9"
    try:
        answer = server.run("incident", "list")
    finally:
        server.url = kept
        del server.environment["RUNWRIGHT_TOKEN"]
    assert answer.returncode == 3
    assert "runwright serve" in answer.stderr
