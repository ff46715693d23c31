"""The callback plugin in the real ansible-core: everything that can happen in a play, and what must never be told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runwright.execution.external import receive
from runwright.learning.diagnosis import by_rules
from runwright.learning.evidence import Evidence
from runwright.model.executions import ExecutionResult, ExecutionStatus, Section
from support.external import TEXT

pytestmark = pytest.mark.peers

ROOT = Path(__file__).parents[2]
PEERS = ROOT / ".venv-peers" / "bin"
PLUGIN = ROOT / "src" / "runwright" / "surfaces" / "ansible"

SECRETS = ("canary-in-argument", "canary-in-item", "canary-in-message", "canary-in-retry")

PLAY = f"""
- hosts: all
  gather_facts: false
  vars: {{password: {SECRETS[0]}}}
  tasks:
    - name: fine
      command: echo hello
      changed_when: false
    - name: not here
      command: echo no
      when: false
    - name: loop
      command: "echo item-{{{{ item }}}}"
      loop: [a, b]
    - name: third time
      shell: |
        echo x >> "$HOME/tries-{{{{ inventory_hostname }}}}"
        test $(wc -l < "$HOME/tries-{{{{ inventory_hostname }}}}") -ge 3
      register: tried
      until: tried.rc == 0
      retries: 5
      delay: 0
    - name: "quiet {{{{ password }}}}"
      shell: "echo {{{{ password }}}}; echo {{{{ password }}}} >&2"
      no_log: true
      notify: told
    - name: quiet loop
      command: "echo {{{{ item }}}}"
      loop: [{SECRETS[1]}-1, {SECRETS[1]}-2]
      no_log: true
    - name: quiet failure
      fail: {{msg: {SECRETS[2]}}}
      no_log: true
      ignore_errors: true
    - name: quiet retry
      shell: "echo {SECRETS[3]}; exit 1"
      no_log: true
      register: never
      until: never.rc == 0
      retries: 1
      delay: 0
      ignore_errors: true
    - name: may fail
      command: "false"
      ignore_errors: true
    - block:
        - name: breaks
          command: "false"
      rescue:
        - name: rescues
          command: echo rescued
    - name: tried only
      command: echo nothing
      check_mode: true
    - name: some items fail
      command: "test {{{{ item }}}} = a"
      loop: [a, b]
      ignore_errors: true
    - name: ends it
      shell: |
        echo 'shopd: lock file /run/shopd.lock exists: another instance is running, refusing to start' >&2
        exit 4
      when: inventory_hostname == 'two'
    - name: answers
      command: "true"
      tags: [verify]
  handlers:
    - name: told
      command: echo handled
"""

INVENTORY = """
one ansible_connection=local
two ansible_connection=local
gone ansible_host=127.0.0.1 ansible_port=1 ansible_connection=ssh
[all:vars]
ansible_python_interpreter={python}
"""


def play(
    folder: Path, text: str, *options: str, check: bool = False, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run a playbook with the plugin enabled, and nothing of this machine's own configuration."""
    (folder / "play.yml").write_text(text)
    (folder / "hosts").write_text(INVENTORY.format(python=PEERS / "python"))
    environment = {
        "PATH": f"{PEERS}:{os.environ['PATH']}",
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_HOME": str(folder / ".ansible"),
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
        "ANSIBLE_CALLBACK_PLUGINS": str(PLUGIN),
        "ANSIBLE_CALLBACKS_ENABLED": "runwright",
        "ANSIBLE_PIPELINING": "true",
        "PYTHONDONTWRITEBYTECODE": "1",
        **settings,
    }
    command = [str(PEERS / "ansible-playbook"), "-i", str(folder / "hosts"), str(folder / "play.yml"), *options]
    return subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


def results(folder: Path) -> dict[str, ExecutionResult]:
    """Every kept result by its host, as the server would take it."""
    found = {}
    for path in folder.glob("*.json"):
        result = ExecutionResult.model_validate_json(path.read_text())
        receive(result, now=datetime.now(UTC))
        found[result.host.hostname] = result
    return found


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, ExecutionResult], str, str]:
    """Results, all that was written, and what Ansible said."""
    folder = tmp_path_factory.mktemp("ansible")
    (folder / "shop.yaml").write_text(TEXT)
    incident = {"id": "t-9", "incident_type": "backup_failure", "subject": {"job": "shop", "folder": "/srv/shop"}}
    done = play(
        folder,
        PLAY,
        "-e",
        json.dumps({"runwright_incident": incident}),
        RUNWRIGHT_SPOOL=str(folder / "out"),
        RUNWRIGHT_RUNBOOK=str(folder / "shop.yaml"),
        RUNWRIGHT_RUN_ID="run-7",
        RUNWRIGHT_CLIENT="acme",
    )
    assert done.returncode != 0, "one host failed and one was gone"
    written = "".join(path.read_text() for path in (folder / "out").iterdir())
    return results(folder / "out"), written, done.stdout + done.stderr


Played = tuple[dict[str, ExecutionResult], str, str]


def steps(result: ExecutionResult) -> dict[str, tuple[str, int]]:
    return {step.id: (step.status.value, len(step.attempts)) for step in result.steps}


def test_each_host_has_a_result(played: Played) -> None:
    found, _, _ = played
    assert set(found) == {"one", "two", "gone"}
    assert {result.execution_id for result in found.values()} == {"run-7:one", "run-7:two", "run-7:gone"}
    for result in found.values():
        assert (result.origin, result.client_id) == ("external:ansible", "acme")
        assert result.runbook.id == "RB-TEST-SHOP-001"
        assert result.runbook.text == TEXT
        assert (result.incident.id, result.incident.incident_type) == ("t-9", "backup_failure")


def test_what_happened_is_told_step_by_step(played: Played) -> None:
    one = played[0]["one"]
    assert steps(one) == {
        "fine": ("ok", 1),
        "not here": ("skipped", 0),
        "loop [a]": ("ok", 1),
        "loop [b]": ("ok", 1),
        "third time": ("ok", 3),
        "quiet {{ password }}": ("ok", 1),
        "quiet loop [item 1]": ("ok", 1),
        "quiet loop [item 2]": ("ok", 1),
        "quiet failure": ("failed", 1),
        "quiet retry": ("failed", 2),
        "may fail": ("failed", 1),
        "breaks": ("failed", 1),
        "rescues": ("ok", 1),
        "tried only": ("skipped", 0),
        "some items fail [a]": ("ok", 1),
        "some items fail [b]": ("failed", 1),
        "ends it": ("skipped", 0),
        "answers": ("ok", 1),
        "told": ("ok", 1),
    }
    known = {step.id: step for step in one.steps}
    assert known["fine"].attempts[0].stdout == "hello"
    assert known["third time"].attempts[0].exit_code == 1
    assert known["third time"].attempts[-1].exit_code == 0
    assert known["fine"].kind == "run"
    assert known["answers"].section is Section.VERIFY
    assert known["fine"].attempts[0].ended_at is not None
    assert "allowed to fail" in known["may fail"].reason
    assert known["fine"].extra["changed"] is False
    assert known["loop [a]"].extra["changed"] is True


def test_what_was_allowed_or_rescued_is_no_failure_of_the_run(played: Played) -> None:
    one = played[0]["one"]
    assert one.error is None
    assert one.status is ExecutionStatus.SUCCESS
    assert one.tags["rescued"] == "1"
    assert one.verification is not None
    assert (one.verification.method, one.verification.outcome.value) == ("reported", "passed")


def test_a_failure_names_its_step_and_is_understood(played: Played) -> None:
    two = played[0]["two"]
    assert two.status is ExecutionStatus.FAILURE
    assert two.error is not None
    assert (two.error.code, two.error.step) == ("step-failed", "ends it")
    assert two.steps[-1].attempts[0].exit_code == 4
    diagnosis = by_rules(Evidence.of(two), {})
    assert diagnosis is not None
    assert diagnosis.failure_type.value == "runbook_insufficient"
    assert any(signal.place.step == "ends it" for signal in diagnosis.signals)


def test_a_host_that_is_gone_is_told_as_such(played: Played) -> None:
    gone = played[0]["gone"]
    assert gone.status is ExecutionStatus.FAILURE
    assert gone.error is not None
    assert gone.error.code == "host-unreachable"
    assert len(gone.steps) == 1


def test_what_no_log_hides_is_written_nowhere(played: Played) -> None:
    _, written, said = played
    for secret in SECRETS:
        assert secret not in written
    assert "hidden by no_log" in written
    assert "runwright: " not in said, "the plugin had nothing to warn of"


def small(*tasks: str) -> str:
    return "- hosts: one\n  gather_facts: false\n  tasks:\n" + "".join(f"    - {task}\n" for task in tasks)


def test_a_whole_run_in_check_mode_and_one_without_a_place_tell_nothing(tmp_path: Path) -> None:
    done = play(tmp_path, small("command: echo x"), "--check", RUNWRIGHT_SPOOL=str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "out").exists()
    done = play(tmp_path, small("command: echo x"))
    assert done.returncode == 0
    assert "runwright" not in done.stdout + done.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {"play.yml", "hosts", ".ansible"}


def test_a_fault_of_the_plugin_never_breaks_a_play(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings: dict[str, Any] = {
        "RUNWRIGHT_SPOOL": str(tmp_path / "file" / "below"),
        "RUNWRIGHT_RUNBOOK": str(tmp_path / "none.yaml"),
        "RUNWRIGHT_INCIDENT": "{not json",
    }
    done = play(tmp_path, small("command: echo still"), "-v", **settings)
    assert done.returncode == 0, done.stderr
    assert "runwright: " in done.stdout + done.stderr
    assert "still" in done.stdout


def test_it_is_configured_in_ansible_cfg_and_keeps_what_the_server_cannot_take(tmp_path: Path) -> None:
    (tmp_path / "ansible.cfg").write_text(
        "[callback_runwright]\n"
        f"directory = {tmp_path / 'out'}\n"
        "url = http://127.0.0.1:9\n"
        "client = corner-shop\n"
        "source = tower\n"
        'incident = {"incident_type": "disk_full", "subject": {"mount": "/"}, "severity": "low"}\n'
        "verify_tag = proof\n"
    )
    done = play(tmp_path, small("{name: broken, command: 'false', tags: [proof]}"))
    assert "127.0.0.1:9 did not take them" in done.stdout + done.stderr
    result = results(tmp_path / "out")["one"]
    assert (result.origin, result.client_id) == ("external:tower", "corner-shop")
    assert result.incident.severity.value == "low"
    assert result.runbook.language == "ansible"
    assert result.runbook.text is None
    assert result.error is not None
    assert result.error.code == "verification-failed"
    assert result.verification is not None
    assert result.verification.outcome.value == "failed"
    for path in (tmp_path / "out").iterdir():
        assert path.stat().st_mode & 0o077 == 0


def test_the_command_line_finds_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "runwright", "ansible-plugin-path"], capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()) == PLUGIN
    assert (PLUGIN / "runwright.py").exists()
