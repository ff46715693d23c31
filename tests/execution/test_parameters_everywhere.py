"""Promise 3 on every kind of host: whatever a value is, it arrives as it was given, is nobody's command, and
stands in no process list.

The bytes come from hypothesis; each example goes through every kind that takes a value, on every kind of
connection, as root, as a plain user, and through sudo with and without a password.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import missing_part
from runwright.adapters.hosts.local import LocalConnector
from runwright.adapters.hosts.nspawn import NspawnConnector
from runwright.adapters.hosts.ssh import SshConnector
from runwright.execution.commands import NotPossible, step_command
from runwright.model.documents import HttpCheck, ServiceAction, ServiceState, Step, WaitFor
from runwright.model.executions import AttemptRecord
from runwright.model.hosts import Host, LocalConnection, NspawnConnection
from runwright.model.ports.hosts import HostSession
from runwright.runbooks.parameters import ResolvedParameters
from support.ssh_machine import ASKED, PLAIN, LabSecrets, SshMachine, secret, ssh_machine

MARK = "promise3"
"""Part of every value: what is searched for in the process lists."""
EVIL = (
    "$(touch /tmp/pwned)",
    "`touch /tmp/pwned`",
    "; touch /tmp/pwned #",
    "| touch /tmp/pwned",
    "&& touch /tmp/pwned",
    "'; touch /tmp/pwned; '",
    '"; touch /tmp/pwned; "',
    "\n touch /tmp/pwned \n",
    "-rf",
    "--help",
    "$HOME ${PATH} $((1+1)) *?[a-z]~ {a,b} !x \\ \\\\ %s %n",
    "}\ntouch /tmp/pwned\n{",
    "\r\n\t\v\f\b\a\x1b[31m\x7f",
    "END\nEOF\n.\n\x04",
    "".join(chr(byte) for byte in range(1, 256)),
)
VALUES = st.one_of(
    st.sampled_from(EVIL),
    st.text(st.characters(min_codepoint=1, exclude_categories=("Cs",)), max_size=40),
    st.lists(st.sampled_from([*"$`;|&<>(){}[]*?!#~='\"\\ \n\t\r-", "$(", "${", "x", "é"]), max_size=12).map("".join),
)

SERVER = r"""
import glob, http.server, os, sys, urllib.parse
class Echo(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        seen = [f for f in glob.glob("/proc/[0-9]*/cmdline") if sys.argv[1].encode() in self.look(f)]
        body = urllib.parse.unquote_to_bytes(self.path)
        self.send_response(500 if seen else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def look(self, file):
        try:
            return b"" if file == "/proc/%d/cmdline" % os.getpid() else open(file, "rb").read()
        except OSError:
            return b""
    def log_message(self, *_):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Echo)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


@dataclass(frozen=True)
class Place:
    """A host under test. `become`: whether its steps go through sudo."""

    session: HostSession
    http_port: int
    become: bool = False


@asynccontextmanager
async def echoing(session: HostSession) -> AsyncIterator[int]:
    """An HTTP server on the host that answers with the path it was asked for; its port."""
    known: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def told(stream: str, data: bytes) -> None:
        if stream == "stdout" and not known.done():
            known.set_result(int(data))

    step = run_step(f"exec python3 - {MARK} <<'END'\n{SERVER}\nEND", {}, timeout=250)
    name = f"echo.{secrets.token_hex(6)}"
    serving = asyncio.ensure_future(session.run_attempt(name, step, told))
    try:
        await asyncio.wait({serving, known}, return_when=asyncio.FIRST_COMPLETED, timeout=30)
        yield known.result()
    finally:
        await session.stop_attempt(name)
        with contextlib.suppress(asyncio.CancelledError):
            await serving
        await session.forget_attempts([name])


def run_step(text: str, values: dict[str, str], *, become: bool = False, timeout: float = 20):
    step = Step(id="step", run=text, timeout=timeout)
    return step_command(step, ResolvedParameters(dict(values)), become=become)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab() -> AsyncIterator[SshMachine | None]:
    """One machine for all; none where machines are not possible, and then no test asks for it."""
    if missing_part("lab") is not None:
        yield None
        return
    async with ssh_machine() as machine:
        yield machine


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=[
        "local",
        *(pytest.param(way, marks=pytest.mark.lab) for way in ("nspawn", "ssh", "plain", "sudo", "asked")),
    ],
)
async def place(
    request: pytest.FixtureRequest, lab: SshMachine | None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Place]:
    way: str = request.param
    async with contextlib.AsyncExitStack() as stack:
        opened: AbstractAsyncContextManager[HostSession]
        if way == "local":
            opened = LocalConnector(base=str(tmp_path_factory.mktemp("attempts"))).open(host(LocalConnection()))
        elif lab is None:
            raise AssertionError("tests of machines are skipped where there are none")
        elif way == "nspawn":
            opened = NspawnConnector().open(host(NspawnConnection(machine=lab.machine.name)))
        else:
            user = {"ssh": "root", "plain": PLAIN, "sudo": PLAIN, "asked": ASKED}[way]
            changes = {"become_password": secret("password")} if way == "asked" else {}
            ssh = SshConnector(secrets=LabSecrets())
            stack.push_async_callback(ssh.close)
            opened = ssh.open(lab.host(user, **changes))
        session = await stack.enter_async_context(opened)
        port = await stack.enter_async_context(echoing(session))
        yield Place(session, port, become=way in ("sudo", "asked"))


def host(connection: LocalConnection | NspawnConnection) -> Host:
    return Host(id="h", client_id="acme", hostname="under-test", connection=connection, created_at=datetime.now(UTC))


def listed(text: bytes) -> list[str]:
    """Processes of this machine, those of its containers among them, whose argument list holds the text."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            data = file.read_bytes()
            if text in data and b"serve_forever" not in data and b"python3\0-\0" not in data:
                found.append(f"{file.parent.name} {data!r}")
    return found


async def attempt(place: Place, step: Step, values: dict[str, str]) -> tuple[AttemptRecord, list[str]]:
    """Run a step; its record, and every process list entry with a value that was seen when it had begun."""
    name, seen = f"try.{secrets.token_hex(8)}", list[str]()

    async def look(_: str, __: bytes) -> None:
        seen.extend(listed(MARK.encode()))

    command = step_command(step, ResolvedParameters(dict(values)), become=place.become)
    record = await place.session.run_attempt(name, command, look)
    await place.session.forget_attempts([name])
    return record, seen


def with_mark(value: str) -> str:
    return value + MARK


@pytest.mark.asyncio(loop_scope="module")
@settings(
    max_examples=3,
    deadline=None,
    # one host for all examples is the point: nothing of one may be left for the next
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(drawn=st.lists(VALUES, min_size=6, max_size=12))
async def test_values_arrive_as_data_in_every_kind(place: Place, drawn: list[str]) -> None:
    values = [with_mark(value) for value in drawn]
    await _through_run(place, values)
    for value in values[:1]:
        await _through_wait_for(place, value)
        await _through_http(place, value)
        await _through_service(place, value)


@pytest.mark.asyncio(loop_scope="module")
async def test_every_known_trick_arrives_as_data(place: Place) -> None:
    values = [with_mark(value) for value in EVIL] + [value for value in EVIL if value.startswith("-")]
    await _through_run(place, values)
    for value in values[1::4]:
        await _through_wait_for(place, value)
        await _through_service(place, value)
        await _through_http(place, value)
    pwned = await place.session.probe(run_step("ls -d /tmp/pwned* 2>/dev/null", {}))
    assert pwned.stdout == ""


async def _through_run(place: Place, values: list[str]) -> None:
    """All at once: as a variable of the text, of a child, and of a command guard alike."""
    names = {f"p{number}": value for number, value in enumerate(values)}
    text = "echo begun\n" + "".join(
        f'printf %s "${name}" | od -An -v -tx1 | tr -d " \\n"; echo\n'
        f"sh -c 'printf %s \"${name}\"' | od -An -v -tx1 | tr -d ' \\n'; echo\n"
        for name in names
    )
    record, seen = await attempt(place, Step(id="step", run=text), names)
    assert record.exit_code == 0, record.stderr
    wanted = [value.encode().hex() for value in values for _ in range(2)]
    assert record.stdout.splitlines() == ["begun", *wanted]
    assert seen == []
    guard = await place.session.probe(run_step(text, names, become=place.become))
    assert guard.stdout.splitlines() == ["begun", *wanted]


async def _through_wait_for(place: Place, value: str) -> None:
    name = value.replace("/", "_").encode()[:200].decode("utf-8", "ignore")
    path = f"/tmp/rw-{secrets.token_hex(4)}/{name}"
    made = await place.session.probe(
        run_step('mkdir -p "${path%/*}" && : >"$path"', {"path": path}, become=place.become)
    )
    assert made.exit_code == 0, made.stderr
    step = Step(id="step", wait_for=WaitFor.model_validate({"path": "$path", "for": 1.0, "every": 0.1}))
    record, seen = await attempt(place, step, {"path": path})
    assert (record.exit_code, seen) == (0, []), record.stderr
    await place.session.probe(run_step('rm -rf -- "${path%/*}"', {"path": path}, become=place.become))


async def _through_http(place: Place, value: str) -> None:
    step = Step(id="step", http=HttpCheck(port=place.http_port, path="$path", contains="$wanted"))
    # a path is an address: its % and ? mean what they mean there
    record, seen = await attempt(place, step, {"path": "/" + value.replace("%", ""), "wanted": value.replace("%", "")})
    body_keeps = not value.endswith("\n")
    assert seen == []
    assert record.exit_code == 0 or not body_keeps, (record.stdout, record.stderr)
    wrong, _ = await attempt(place, step, {"path": "/", "wanted": value.replace("%", "")})
    assert wrong.exit_code == 1


async def _through_service(place: Place, value: str) -> None:
    """A manager knows no such unit and says so, or the name is refused before anything runs."""
    step = Step(id="step", service=ServiceAction(name="$unit", state=ServiceState.STARTED))
    try:
        record, _ = await attempt(place, step, {"unit": value})
    except NotPossible:
        return
    assert record.exit_code not in (0, None)
