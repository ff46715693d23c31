"""`runwright.record`: what automation of others did, told truly, and never at the cost of the job."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from runwright.execution.external import receive
from runwright.model.executions import ExecutionResult, ExecutionStatus
from runwright.record import NotDelivered, Run, deliver, local_state, main, record, send_kept
from runwright.surfaces import delivery
from support.external import TEXT

INCIDENT = {"id": "t-1", "incident_type": "backup_failure", "subject": {"job": "shop", "folder": "/srv"}}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause between two tries, and nothing from the caller's environment."""
    monkeypatch.setattr(delivery.time, "sleep", lambda _: None)
    for name in ("RUNWRIGHT_URL", "RUNWRIGHT_TOKEN", "RUNWRIGHT_SPOOL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def arguments(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "shop.yaml").write_text(TEXT)
    return {"runbook": tmp_path / "shop.yaml", "incident": INCIDENT, "host": "shop-1", "directory": tmp_path / "out"}


def kept(arguments: dict[str, Any]) -> ExecutionResult:
    """The one result in the directory, as the server would take it."""
    (path,) = Path(arguments["directory"]).glob("*.json")
    assert path.stat().st_mode & 0o077 == 0
    result = ExecutionResult.model_validate_json(path.read_text())
    receive(result, now=datetime.now(UTC))
    return result


def test_a_run_that_went_well_is_told_as_it_was(arguments: dict[str, Any]) -> None:
    with record(**arguments, source="nightly", tags={"team": "shop"}) as run:
        run.before(local_state())
        with run.step("start") as step:
            done = step.command(["sh", "-c", "echo out; echo err >&2"])
            step.changed("services.shop.active", "failed", "active")
        with run.step("nothing", kind="mail") as step:
            step.skip("Nobody is on call.")
        run.after(local_state())
        run.verified(True, "The shop answers.")
    assert done.stdout == b"out\n"
    result = kept(arguments)
    assert result.status is ExecutionStatus.SUCCESS
    assert (result.origin, result.host.hostname, result.tags) == ("external:nightly", "shop-1", {"team": "shop"})
    assert result.runbook.text == TEXT
    start, nothing = result.steps
    assert (start.attempts[0].exit_code, start.attempts[0].stdout, start.attempts[0].stderr) == (0, "out\n", "err\n")
    assert start.state_changes[0].text == "services.shop.active: failed -> active"
    assert (nothing.status.value, nothing.reason) == ("skipped", "Nobody is on call.")
    assert result.state_before is not None
    assert result.state_before.memory is not None
    assert result.state_before.disks[0].mount == "/"
    assert result.completed_at is not None
    assert result.completed_at >= start.attempts[0].started_at >= result.started_at


def test_without_a_check_nobody_knows(arguments: dict[str, Any]) -> None:
    with record(**arguments) as run, run.step("start") as step:
        step.command(["true"])
    assert kept(arguments).status is ExecutionStatus.PARTIAL


def test_a_failed_step_fails_the_run_and_the_job_goes_on(arguments: dict[str, Any]) -> None:
    with record(**arguments) as run:
        with run.step("start") as step:
            assert step.command(["sh", "-c", "exit 3"]).returncode == 3
            step.command(["sh", "-c", "exit 4"], success_exit_codes=(0, 5))
        with run.step("after") as step:
            step.result(0, "done")
    result = kept(arguments)
    assert result.status is ExecutionStatus.FAILURE
    assert [attempt.exit_code for attempt in result.steps[0].attempts] == [3, 4]
    assert result.error is not None
    assert (result.error.code, result.error.step) == ("step-failed", "start")


def test_the_last_attempt_decides(arguments: dict[str, Any]) -> None:
    with record(**arguments) as run, run.step("start") as step:
        step.result(1, "", "not yet")
        step.result(0)
    result = kept(arguments)
    assert (result.steps[0].status.value, len(result.steps[0].attempts)) == ("ok", 2)
    assert result.error is None


def test_an_exception_is_recorded_and_raised_on(arguments: dict[str, Any]) -> None:
    with pytest.raises(FileNotFoundError), record(**arguments) as run, run.step("start"):
        Path("/nonexistent/file").read_text()
    result = kept(arguments)
    assert result.status is ExecutionStatus.FAILURE
    assert result.error is not None
    assert (result.error.code, result.error.step) == ("exception", "start")
    assert "FileNotFoundError" in result.steps[0].attempts[0].stderr
    assert result.steps[0].attempts[0].exit_code is None


def test_check_raises_what_subprocess_would(arguments: dict[str, Any]) -> None:
    with pytest.raises(subprocess.CalledProcessError), record(**arguments) as run, run.step("start") as step:
        step.command(["sh", "-c", "echo broken >&2; exit 9"], check=True)
    assert [attempt.exit_code for attempt in kept(arguments).steps[0].attempts] == [9]


@pytest.mark.parametrize(("raised", "status"), [(KeyboardInterrupt(), "cancelled"), (SystemExit(3), "failure")])
def test_who_stops_the_job_is_told(arguments: dict[str, Any], raised: BaseException, status: str) -> None:
    with pytest.raises(type(raised)), record(**arguments) as run, run.step("start"):
        raise raised
    assert kept(arguments).status.value == status


def test_a_plain_exit_is_no_failure(arguments: dict[str, Any]) -> None:
    def job() -> None:
        with record(**arguments) as run:
            run.verified(True)
            sys.exit(0)

    with pytest.raises(SystemExit):
        job()
    assert kept(arguments).status is ExecutionStatus.SUCCESS


def test_a_timeout_ends_the_whole_session(arguments: dict[str, Any], tmp_path: Path) -> None:
    mark = tmp_path / "child"
    with record(**arguments) as run, run.step("start") as step:
        step.command(["sh", "-c", f"sleep 30 & echo $! > {mark}; wait"], timeout=0.3)
    result = kept(arguments)
    assert result.status is ExecutionStatus.TIMED_OUT
    assert result.steps[0].attempts[0].timed_out
    assert result.steps[0].attempts[0].exit_code is None
    state = Path(f"/proc/{mark.read_text().strip()}/stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"


def test_secrets_and_odd_bytes_and_long_output(arguments: dict[str, Any]) -> None:
    with record(**arguments, secrets=["swordfish"]) as run, run.step("start") as step:
        step.command(["sh", "-c", r"printf 'swordfish \377'; head -c 3000000 /dev/zero | tr '\0' x >&2; exit 1"])
        step.result(1, "lone \udcff surrogate")
    result = kept(arguments)
    attempt = result.steps[0].attempts[0]
    assert attempt.stdout == "[masked] \ufffd"
    assert len(attempt.stderr) < 70_000
    assert result.steps[0].attempts[1].stdout == "lone ? surrogate"


def test_many_long_outputs_still_fit_the_server(arguments: dict[str, Any]) -> None:
    with record(**arguments) as run:
        for number in range(40):
            with run.step(f"s{number}") as step:
                step.result(0, "é" * 60_000)
    (path,) = Path(arguments["directory"]).glob("*.json")
    assert path.stat().st_size <= delivery.BODY_LIMIT
    assert len(kept(arguments).steps) == 40


def test_facts_that_cannot_be_read_are_named() -> None:
    state = local_state(units=["no-such-unit-7"], mounts=["/", "/no/such/mount"])
    assert "disks./no/such/mount" in {item["fact"] for item in state["missing"]}
    assert state["disks"][0]["size_kb"] > 0


@pytest.mark.parametrize(
    "change",
    [{"incident": {"subject": {}}}, {"runbook": {"id": "X"}}, {"runbook": "/no/such/file.yaml"}],
)
def test_wrong_arguments_raise_before_anything_ran(arguments: dict[str, Any], change: dict[str, Any]) -> None:
    with pytest.raises((ValueError, OSError)), record(**{**arguments, **change}):
        pytest.fail("the job began")


@dataclass
class Server:
    """Answers as told; remembers what came."""

    answers: list[int] = field(default_factory=list)
    got: list[dict[str, Any]] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)
    url: str = ""


@pytest.fixture
def server() -> Iterator[Server]:
    told = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.got.append(json.loads(body))
            told.tokens.add(self.headers.get("Authorization"))
            status = told.answers.pop(0) if told.answers else 201
            self.send_response(status)
            if status in (302, 307):
                self.send_header("Location", "http://127.0.0.1:9/")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        told.url = f"http://127.0.0.1:{listening.server_port}"
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield told
        listening.shutdown()
        thread.join()


def test_it_is_posted_with_its_token_and_tried_again(arguments: dict[str, Any], server: Server) -> None:
    server.answers = [503, 429, 201]
    with record(**arguments, url=server.url, token="rwt_x", execution_id="job-1", strict=True) as run:
        run.verified(True)
    assert [body["execution_id"] for body in server.got] == ["job-1"] * 3
    assert server.got[0] == server.got[2]
    assert server.tokens == {"Bearer rwt_x"}
    assert not list(Path(arguments["directory"]).glob("*"))


def test_while_the_server_is_away_results_are_kept_and_sent_later(arguments: dict[str, Any], server: Server) -> None:
    with record(**arguments, url="http://127.0.0.1:9", execution_id="early"):
        pass
    assert len(list(Path(arguments["directory"]).glob("*.json"))) == 1
    with record(**arguments, url=server.url, execution_id="late"):
        pass
    assert [body["execution_id"] for body in server.got] == ["late", "early"]
    assert not list(Path(arguments["directory"]).glob("*.json"))


def test_what_is_refused_is_kept_apart_with_its_reason(arguments: dict[str, Any], server: Server) -> None:
    server.answers = [422]
    with record(**arguments, url=server.url, execution_id="job-1"):
        pass
    refused = Path(arguments["directory"]) / "refused"
    assert {path.suffix for path in refused.iterdir()} == {".json", ".reason"}
    assert "422" in next(refused.glob("*.reason")).read_text()


def test_a_token_is_carried_to_no_other_address(arguments: dict[str, Any], server: Server) -> None:
    server.answers = [302, 307]
    for number in range(2):
        with record(**arguments, url=server.url, token="rwt_x", execution_id=f"job-{number}"):
            pass
    assert len(list((Path(arguments["directory"]) / "refused").glob("*.json"))) == 2


def test_delivery_never_ends_the_job_unless_asked(arguments: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    nowhere = {**arguments, "directory": tmp_path / "file" / "below"}
    with record(**nowhere):
        pass
    with record(**{**arguments, "directory": None}):
        pass
    with pytest.raises(NotDelivered), record(**nowhere, strict=True):
        pass
    with pytest.raises(ZeroDivisionError), record(**nowhere, strict=True):
        raise ZeroDivisionError
    with pytest.raises(NotDelivered, match="RUNWRIGHT_SPOOL"):
        deliver({"execution_id": "x"})
    with pytest.raises(NotDelivered, match="http://"):
        deliver({"execution_id": "x", "steps": []}, url="file:///etc/passwd")


def test_a_spool_can_be_sent_by_hand(
    arguments: dict[str, Any], server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spool = str(arguments["directory"])
    for number in range(3):
        with record(**arguments, execution_id=f"job-{number}"):
            pass
    assert main([spool]) == 2, "no server is named"
    monkeypatch.setenv("RUNWRIGHT_URL", server.url)
    server.answers = [201, 422, 201]
    assert main([spool]) == 1
    assert capsys.readouterr().out == "2 sent, 0 left, 1 refused\n"
    assert send_kept(spool, url="http://127.0.0.1:9") == 0


def test_it_needs_the_standard_library_alone(tmp_path: Path) -> None:
    """In a Python that has none of our dependencies."""
    code = (
        "import sys; from runwright.record import record\n"
        "foreign = {n.partition('.')[0] for n in sys.modules} - set(sys.stdlib_module_names) - {'runwright'}\n"
        "assert not {n for n in foreign if not n.startswith(('_', 'sitecustomize'))}, foreign\n"
        f"runbook, incident = {{'id': 'X', 'text': 'x', 'language': 'sh'}}, {INCIDENT!r}\n"
        "with record(runbook=runbook, incident=incident, directory='.') as run:\n"
        "    run.verified(True)\n"
    )
    source = Path(__file__).parents[2] / "src"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": str(source), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("*.json"))) == 1


def test_a_run_can_be_followed_from_its_parts(arguments: dict[str, Any]) -> None:
    with record(**arguments, execution_id="job-7") as run:
        assert isinstance(run, Run)
        assert run.id == "job-7"
        run.tag(shift="night")
        run.verified(None, "Nobody looked.")
        run.verified(False, "It is down.")
    result = kept(arguments)
    assert result.verification is not None
    assert result.verification.outcome.value == "failed"
    assert result.status is ExecutionStatus.FAILURE
    assert result.tags == {"shift": "night"}
