"""A host over SSH on a running server, from the first key to a run whose connection is cut in the middle."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from runwright.model.executions import ExecutionResult, ExecutionStatus
from runwright.model.hosts import fingerprint
from runwright.model.incidents import NewIncident
from runwright.surfaces.client import RunwrightClient
from support.server import CLIENT, PASSWORD, Server, approve_runbook, finished, first_admin
from support.ssh_machine import PLAIN, LabSecrets, SshMachine, ssh_machine

pytestmark = pytest.mark.lab

RUNBOOK = """\
schema: runwright/v1
id: RB-TEST-SSH-001
name: Works over SSH
platform: linux
incident_types: [service_crash]
severity: high
steps:
  - id: first
    run: id -un >>/root/story; echo first >>/root/story
  - id: slow
    run: |
      echo begun >>/root/story
      until test -e /root/go; do sleep 0.05; done
      echo done | tee -a /root/story
    timeout: 60s
  - id: last
    run: echo last >>/root/story
verify:
  - id: told
    run: test "$(wc -l </root/story)" = 5
"""
CUT = "kill -KILL $(pgrep -f '^sshd: [a-z]+(@notty| \\[priv\\])')"


@pytest_asyncio.fixture
async def lab() -> AsyncIterator[SshMachine]:
    async with ssh_machine() as machine:
        yield machine


def register(server: Server, lab: SshMachine) -> RunwrightClient:
    """As a person would: register, accept the key by its fingerprint, check."""
    admin = first_admin(server)
    server.run("user", "login", "ada", "--password-stdin", given=PASSWORD + "\n")
    folder = server.folder / "data" / "secrets" / CLIENT
    folder.mkdir(parents=True, mode=0o700)
    (folder / "ssh-key").touch(0o600)
    (folder / "ssh-key").write_text(LabSecrets().values["key"])
    where = f"ssh://{PLAIN}@{lab.address}:{lab.port}"
    options = ("--connection", where, "--login", "key", "--credential", "ssh-key", "--become")
    added = server.run("host", "add", "web-1", "--client", CLIENT, *options)
    assert added.returncode == 0, added.stderr
    unknown = server.run("host", "check", "web-1")
    assert unknown.returncode == 1
    assert "runwright host trust web-1" in unknown.stdout
    wrong = server.run("host", "trust", "web-1", "--fingerprint", fingerprint(lab.host_keys[0])[:-1] + "x")
    assert wrong.returncode == 1
    trusted = server.run("host", "trust", "web-1", "--fingerprint", fingerprint(lab.host_keys[0]))
    assert trusted.returncode == 0, trusted.stderr
    checked = server.run("host", "check", "web-1")
    assert checked.returncode == 0, checked.stdout
    assert "web-1: ready" in checked.stdout
    return admin


def run_to_its_end(admin: RunwrightClient) -> ExecutionResult:
    approve_runbook(admin, RUNBOOK)
    incident = admin.report_incident(
        NewIncident(
            client_id=CLIENT, host="web-1", incident_type="service_crash", subject={"service": "shopd"}, source="t"
        )
    )
    end = time.monotonic() + 60
    while not (found := admin.executions(incident_id=incident.id)):
        assert time.monotonic() < end
    return finished(admin, found[0].id)


async def test_from_the_first_key_to_a_run_that_survives_a_cut(server: Server, lab: SshMachine) -> None:
    await lab.run("systemd-run -q --unit=shopd sleep infinity")
    admin = await asyncio.to_thread(register, server, lab)
    running = asyncio.ensure_future(asyncio.to_thread(run_to_its_end, admin))
    await lab.run("until grep -qs begun /root/story; do sleep 0.05; done", 70)
    await lab.run(CUT)
    await lab.run("touch /root/go")
    result = await running
    assert result.status is ExecutionStatus.SUCCESS, result.error
    assert (await lab.run("cat /root/story")).split() == ["root", "first", "begun", "done", "last"]
    assert [(step.id, step.status.value, len(step.attempts)) for step in result.steps] == [
        ("first", "ok", 1),
        ("slow", "ok", 1),
        ("last", "ok", 1),
    ]
    slow = result.steps[1].attempts[0]
    assert (slow.stdout, slow.adopted) == ("done\n", True)
