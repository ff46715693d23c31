"""The how-to pages of other executors and of evidence, done as written against a real server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from runwright.model.diagnoses import Analysis
from runwright.model.errors import NotFound
from runwright.model.executions import ExecutionResult
from runwright.surfaces.client import RunwrightClient
from support.server import Server, approve_runbook, finished, first_admin, report

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "how-to"
PEERS = ROOT / ".venv-peers" / "bin"

SHOP = """\
schema: runwright/v1
id: RB-TEST-SHOP-001
name: Open the shop
platform: linux
incident_types: [backup_failure]
severity: high
controls: ["HIPAA 164.312(b)"]
parameters:
  folder: {type: string, pattern: '/[A-Za-z0-9._/-]+', from: incident.subject.folder}
steps:
  - id: start
    run: touch -- "$folder/open"
verify:
  - id: is-open
    run: test -e "$folder/open"
    hold: 0s
"""


def block(page: str, language: str) -> str:
    """The first code block of a language on a page, without the list's indentation."""
    text = (PAGES / page).read_text()
    found = re.search(rf"^( *)```{language}\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    assert found is not None, (page, language)
    return "".join(line.removeprefix(found[1]) for line in found[2].splitlines(keepends=True))


@dataclass
class Running:
    server: Server
    admin: RunwrightClient
    token: str
    folder: Path


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("server")
    server = Server(folder)
    server.start()
    try:
        admin = first_admin(server)
        made = server.run("user", "login", "ada", "--password-stdin", given="correct horse battery staple\n")
        assert made.returncode == 0, made.stderr
        made = server.run("token", "create", "my-jobs", "--role", "reporter:default", "--days", "365", "--json")
        assert made.returncode == 0, made.stderr
        yield Running(server, admin, json.loads(made.stdout)["secret"], folder)
    finally:
        server.close()


def analysis_of(admin: RunwrightClient, execution_id: str) -> Analysis:
    deadline = time.monotonic() + 60
    while True:
        try:
            return admin.analysis(execution_id)
        except NotFound:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_the_script_of_the_page_leads_to_an_analysis(running: Running, tmp_path: Path) -> None:
    page = "feed-your-own-executor.md"
    (tmp_path / "free-space.yaml").write_text(block(page, "yaml"))
    (tmp_path / "job.py").write_text(block(page, "python").replace("answers()", "True"))
    environment = {**os.environ, "RUNWRIGHT_SPOOL": str(tmp_path / "results"), "PYTHONDONTWRITEBYTECODE": "1"}
    for name in ("RUNWRIGHT_URL", "RUNWRIGHT_TOKEN"):
        environment.pop(name, None)
    job = [sys.executable, "job.py"]
    subprocess.run(job, cwd=tmp_path, env=environment, check=True)
    (kept,) = (tmp_path / "results").glob("*.json")
    assert ExecutionResult.model_validate_json(kept.read_text()).origin == "external:nightly"
    looked = running.server.run("learn", "diagnose", str(kept), "--engine", "rules", "--json")
    assert looked.returncode == 0, looked.stdout + looked.stderr

    connected = {**environment, "RUNWRIGHT_URL": running.server.url, "RUNWRIGHT_TOKEN": running.token}
    subprocess.run(job, cwd=tmp_path, env=connected, check=True)
    assert not list((tmp_path / "results").rglob("*.json")), "what was kept went with it"
    rows = running.admin.external_executions(source="nightly")
    assert len(rows) == 2
    wanted = json.loads(looked.stdout)["failure_type"]
    analyses = [analysis_of(running.admin, row.id) for row in rows]
    assert {item.diagnosis.failure_type.value for item in analyses} == {wanted}
    assert running.admin.version("RB-NIGHTLY-DISK-001-v1").scope == "client:default"
    result = running.admin.result(rows[0].id)
    assert result.verification is not None
    assert result.verification.method == "reported"
    assert running.admin.kpis()["success_rate"]["denominator"] == 0
    assert running.admin.kpis()["external"]["executions"]["failure"] == 2


@pytest.mark.peers
def test_the_playbook_of_the_page_leads_to_an_analysis(running: Running, tmp_path: Path) -> None:
    page = "use-with-ansible.md"
    found = running.server.run("ansible-plugin-path")
    assert found.returncode == 0
    settings = block(page, "ini")
    settings = settings.replace("/usr/share/runwright/ansible", found.stdout.strip())
    (tmp_path / "ansible.cfg").write_text(settings.replace("/var/spool/runwright", str(tmp_path / "spool")))
    (tmp_path / "restart.yml").write_text(block(page, "yaml"))
    python = f"ansible_python_interpreter={PEERS / 'python'}"
    (tmp_path / "hosts").write_text(f"shop-1 ansible_connection=local {python}\n")
    command = block(page, "sh").replace("ansible-playbook", f"{PEERS}/ansible-playbook -i hosts")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("RUNWRIGHT_", "ANSIBLE_"))},
        "PATH": f"{PEERS}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "LC_ALL": "C.UTF-8",
        "RUNWRIGHT_URL": running.server.url,
        "RUNWRIGHT_TOKEN": running.token,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert "runwright: " not in done.stdout + done.stderr
    (row,) = running.admin.external_executions(source="ansible")
    assert (row.hostname, row.incident_type, row.status.value) == ("shop-1", "service_crash", "failure")
    analysis = analysis_of(running.admin, row.id)
    assert analysis.diagnosis.failure_type.value == "runbook_insufficient"
    assert analysis.refused is not None, "a playbook is explained, not edited"
    assert not (tmp_path / "spool").exists()


def test_evidence_is_exported_and_checked_as_the_page_says(running: Running, tmp_path: Path) -> None:
    server, admin = running.server, running.admin
    approve_runbook(admin, SHOP)
    (tmp_path / "shop").mkdir()
    incident = report(admin, {"job": "shop", "folder": str(tmp_path / "shop")}, "backup_failure")
    run = finished(admin, admin.executions(incident_id=incident.id)[0].id)
    file = tmp_path / "evidence.jsonl"
    done = server.run("execution", "export", run.execution_id, "-o", str(file), "--json")
    assert done.returncode == 0, done.stderr
    assert run.evidence_bundle_id == "evb_" + run.execution_id.removeprefix("exe_")
    assert file.read_bytes() == admin.evidence(run.execution_id)

    here = server.run("evidence", "verify", str(file), "--json")
    assert here.returncode == 0, here.stdout
    told = json.loads(here.stdout)
    assert (told["verdict"], told["bundle_id"], told["findings"]) == ("intact", run.evidence_bundle_id, [])
    assert told["runbook"] == "RB-TEST-SHOP-001-v1"
    (key,) = (running.folder / "data" / "public-keys").glob("*.pub")

    def elsewhere(*options: str) -> subprocess.CompletedProcess[str]:
        """On a machine that knows nothing of the server."""
        bare = {name: value for name, value in os.environ.items() if not name.startswith("RUNWRIGHT_")}
        command = [sys.executable, "-m", "runwright", "evidence", "verify", *options]
        settings = {**bare, "RUNWRIGHT_DATA_DIR": str(tmp_path / "none")}
        return subprocess.run(command, env=settings, capture_output=True, text=True, check=False)

    unknown = elsewhere(str(file))
    assert unknown.returncode == 3
    assert f"intact, signer unknown: {told['signers'][0]}" in unknown.stdout
    assert elsewhere(str(file), "--key", str(key)).returncode == 0
    data = bytearray(file.read_bytes())
    data[data.index(b"HIPAA")] ^= 1
    file.write_bytes(bytes(data))
    changed = elsewhere(str(file), "--key", str(key))
    assert changed.returncode == 1
    assert "runbook" in changed.stdout or "controls" in changed.stdout
