"""What typed steps become: constant sh text, values beside it; and that the text works with each tool."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runwright.execution.commands import NotPossible, script, step_command
from runwright.execution.kill_points import KillPoint, install, install_from, reached
from runwright.model.documents import Step
from runwright.model.hosts import SecretRef
from runwright.runbooks.parameters import ResolvedParameters

RESOLVED = ResolvedParameters(
    {"service": "nginx; rm -rf .", "port": 8080, "where": "/a b", "rw_for": "9999"},
    {"token": SecretRef(client_id="acme", name="api")},
)


def step(**fields: Any) -> Step:
    return Step.model_validate_json(json.dumps({"id": "it", **fields}))


def test_values_never_enter_the_text() -> None:
    command = step_command(step(service={"name": "$service", "state": "restarted"}), RESOLVED, become=True)
    assert command.text == script("service")
    assert command.parameters == {"rw_unit": "nginx; rm -rf .", "rw_state": "restart", "rw_enabled": ""}
    assert (command.become, command.secrets) == (True, {})


def test_a_step_decides_for_itself_whether_it_becomes_root() -> None:
    assert not step_command(step(run="true", become=False), RESOLVED, become=True).become
    assert step_command(step(run="true", become=True), RESOLVED, become=False).become


def test_the_authors_text_gets_parameters_and_secret_references() -> None:
    command = step_command(step(run='echo "$token"', timeout="5s"), RESOLVED, become=False)
    assert (command.text, command.timeout) == ('echo "$token"', 5)
    assert command.parameters["port"] == "8080"
    assert command.secrets == {"token": SecretRef(client_id="acme", name="api")}


def test_a_wait_has_time_to_say_that_it_waited_in_vain() -> None:
    command = step_command(step(wait_for={"run": "true", "for": "90s"}), RESOLVED, become=False)
    assert command.timeout > 90
    assert command.parameters["rw_for"] == "90", "a parameter of that name does not take its place"
    assert command.parameters["service"] == "nginx; rm -rf ."


@pytest.mark.parametrize(
    "fields",
    [
        {"http": {"port": "$service"}},
        {"http": {"host": "$service"}},
        {"http": {"path": "$service"}},
        {"http": {"scheme": "$where"}},
        {"wait_for": {"port": "$where"}},
        {"call": {"runbook": "RB-X-001", "version": 1, "digest": "sha256:" + "0" * 64}},
        {"ask": {"question": "Really?", "parameter": "sure"}},
    ],
)
def test_what_does_not_fit_is_refused_before_anything_runs(fields: dict[str, Any]) -> None:
    with pytest.raises(NotPossible):
        step_command(step(**fields), RESOLVED, become=False)


@pytest.mark.parametrize(
    "name", ["*", "nginx*", "ngin?", "[a-z]*", "../../tmp/evil", "/tmp/evil", "-H", "a\nb", "a\x1bb", ""]
)
def test_a_service_is_one_service_and_no_file(name: str) -> None:
    """`systemctl stop -- '*'` stops every unit, and SysV's `service ../../tmp/evil` runs that file."""
    resolved = ResolvedParameters({"service": name})
    for fields in ({"service": {"name": "$service", "state": "stopped"}}, {"wait_for": {"service": "$service"}}):
        with pytest.raises(NotPossible, match="not the name of one unit"):
            step_command(step(**fields), resolved, become=True)


@pytest.mark.parametrize("name", ["nginx", "getty@tty1.service", "dev-disk-by\\x2duuid.swap", "a:b_c.socket"])
def test_names_of_services_pass(name: str) -> None:
    given = step_command(
        step(service={"name": "$service", "state": "started"}), ResolvedParameters({"service": name}), become=True
    )
    assert given.parameters["rw_unit"] == name


def test_a_value_cannot_leave_its_place_in_the_clients_configuration() -> None:
    resolved = ResolvedParameters({"path": '/"\noutput = "/etc/passwd'})
    command = step_command(step(http={"path": "$path"}), resolved, become=False)
    lines = command.parameters["rw_curl"].splitlines()
    assert lines[0] == 'url = "http://127.0.0.1:80/%22%0Aoutput%20=%20%22/etc/passwd"'
    assert not any(line.startswith("output") for line in lines)


TOOLS = ("head", "grep", "date", "sleep", "sh")


@pytest.fixture
def run_script(tmp_path: Path) -> Any:
    """Run a script with only some programs on the PATH."""

    def run(name: str, programs: dict[str, str], values: dict[str, str]) -> subprocess.CompletedProcess[str]:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        for tool, target in {**{tool: shutil.which(tool) or tool for tool in TOOLS}, **programs}.items():
            if not (folder / tool).exists():
                (folder / tool).symlink_to(target)
        return subprocess.run(
            ["/bin/sh", "-c", script(name)],
            env={"PATH": str(folder), **values},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=30,
            check=False,
        )

    return run


@pytest.fixture
def page(tmp_path: Path) -> Any:
    """A web server in a process of its own."""
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "index.html").write_text("it works\n")
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "-d", str(tmp_path / "www")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdout is not None
        yield int(server.stdout.readline().split(" port ")[1].split()[0])
        server.kill()


@pytest.mark.parametrize("client", ["curl", "wget", "python3", None])
def test_http_works_with_whatever_client_there_is(client: str | None, page: int, run_script: Any) -> None:
    programs = {}
    if client is not None:
        found = sys.executable if client == "python3" else shutil.which(client)
        if found is None:
            pytest.skip(f"{client} is not installed here")
        programs = {client: found}
    good = step_command(step(http={"port": page, "contains": "works"}), RESOLVED, become=False)
    bad = step_command(step(http={"port": page, "path": "/none"}), RESOLVED, become=False)
    answered = run_script("http", programs, dict(good.parameters))
    if client is None:
        assert (answered.returncode, "No HTTP client" in answered.stderr) == (127, True)
        return
    assert (answered.returncode, answered.stdout.splitlines()[:2]) == (0, ["HTTP 200", "it works"]), answered.stderr
    refused = run_script("http", programs, dict(bad.parameters))
    assert (refused.returncode, "answered 404; wanted 200" in refused.stderr) == (1, True)


@pytest.mark.parametrize(
    ("manager", "said"),
    [("rc-service", "rc -- nginx; rm -rf . restart"), ("service", "sysv nginx; rm -rf . restart")],
)
def test_a_host_without_systemd_is_spoken_to_in_its_own_way(
    manager: str, said: str, run_script: Any, tmp_path: Path
) -> None:
    fake = tmp_path / "manager"
    fake.write_text(f'#!/bin/sh\necho {said.split()[0]} "$@"\n')
    fake.chmod(0o755)
    command = step_command(step(service={"name": "$service", "state": "restarted"}), RESOLVED, become=False)
    answered = run_script("service", {manager: str(fake)}, dict(command.parameters))
    assert (answered.returncode, answered.stdout.strip()) == (0, said), answered.stderr


def test_a_host_without_any_service_manager_says_so(run_script: Any) -> None:
    command = step_command(step(service={"name": "x", "state": "started"}), RESOLVED, become=False)
    answered = run_script("service", {}, dict(command.parameters))
    assert (answered.returncode, "No service manager" in answered.stderr) == (127, True)


def test_kill_points_tell_their_hook_and_no_other_name_is_known() -> None:
    seen: list[tuple[str, ...]] = []
    install(lambda *told: seen.append(told))
    try:
        reached(KillPoint.AFTER_INTENT, "exe_1", "steps:first")
    finally:
        install(None)
    reached(KillPoint.BEFORE_VERDICT)
    assert seen == [(KillPoint.AFTER_INTENT, "exe_1", "steps:first")]
    with pytest.raises(ValueError, match="no-such-place"):
        install_from("no-such-place")
