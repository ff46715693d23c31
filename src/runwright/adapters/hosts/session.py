"""A session on a host that has a POSIX shell, over any transport.

What runs on the host is in `sh/`: constant programs that get their values by standard input. This
side adds time limits, live output, masking and records.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets as randomness
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from runwright.adapters.clock import SystemClock
from runwright.adapters.hosts.attempts import Answer, answered, parse_status, parse_stop
from runwright.adapters.hosts.become import AWAIT, WITH_PASSWORD, WITHOUT_PASSWORD, check, lead, one_line
from runwright.adapters.hosts.output import mask, secret_lines
from runwright.adapters.hosts.quoting import assignments, check_attempt_id, payload, script
from runwright.adapters.hosts.streams import KNOWN, REFUSED, Streams
from runwright.adapters.hosts.transport import Channel, Transport, undisturbed
from runwright.model.errors import Conflict, HostUnreachable, NotFound, Refused
from runwright.model.executions import AttemptRecord
from runwright.model.hosts import HostIdentity, SecretRef
from runwright.model.ports.clock import Clock
from runwright.model.ports.hosts import AttemptState, AttemptStatus, Command, OutputSink, ProbeResult, StopReport
from runwright.model.ports.secrets import SecretSource

SHELL = ("/bin/sh",)
ANSWER_SECONDS = 30.0
"""How long the supervisor may take to answer a question that it need not wait for."""
DRAIN_SECONDS = 2.0
"""How long the last output of an ended attempt is waited for."""
WAIT_SECONDS = 20
"""Longest single wait on the host, so that a dead connection is noticed."""
NO_PLACE = "the attempt's file"
"""How the supervisor begins to say that it has no directory; nothing was started then, and no id taken."""
BLOCK = 512
CANNOT_RUN = 126
"""Exit status of a round trip that could not become root, as of a program that cannot be run."""
MOST_ANSWERED = 16 * 1024 * 1024
"""Bytes of an answer; the kept output of an attempt is the longest, and a part of this."""
MOST_FORGOTTEN = 200
"""Attempts whose files one request removes; their names are arguments of one `rm`."""
KEPT_DAYS = 7
"""How long the files of an attempt that nobody came back for stay on the host."""


@dataclass(frozen=True)
class Place:
    """Where the supervisor keeps its things on this host."""

    base: str
    cgroup: str
    uid: int


class ShellSession:
    """`HostSession` for any host with sh. Made by connectors, after `prepare`."""

    def __init__(
        self,
        identity: HostIdentity,
        transport: Transport,
        *,
        base: str = "",
        secrets: SecretSource | None = None,
        clock: Clock | None = None,
        become_password: SecretRef | None = None,
        client_id: str | None = None,
    ) -> None:
        """`become_password`: of this session's user, for a sudo that asks for one; without it sudo must not ask.

        `client_id`: whose host this is. The host names the secrets of an attempt that is adopted, and is believed
        about this client's alone: by what is masked it would learn another's.
        """
        self._identity = identity
        self._transport = transport
        self._base = base
        self._secrets = secrets
        self._clock: Clock = clock or SystemClock()
        self._place: Place | None = None
        self._borrowed = False
        self._client_id = client_id
        self._become_password = become_password
        self._may_become = False
        self._hidden: tuple[SecretRef, ...] = () if become_password is None else (become_password,)

    @property
    def identity(self) -> HostIdentity:
        return self._identity

    @property
    def directory(self) -> str:
        return self._place.base if self._place is not None else self._base

    def hide(self, secrets: Iterable[SecretRef]) -> None:
        self._hidden = tuple(dict.fromkeys((*self._hidden, *secrets)))

    @property
    def place(self) -> Place | None:
        """Where the supervisor keeps its things, once `prepare` found out."""
        return self._place

    async def prepare(self, known: Place | None = None) -> None:
        """Make the supervisor's directory. Raises HostUnreachable saying what is in the way.

        With the place that a session on this host was given a moment ago nothing is asked; where it is gone
        meanwhile, it is made again by the first attempt.
        """
        self._place, self._borrowed = known, known is not None
        if known is not None:
            return
        answer = await self._ask("prepare", base=self._base, days=str(KEPT_DAYS))
        if answer.words[:1] == ["E"]:
            raise HostUnreachable(
                f"The supervisor cannot work on {self._identity.host_id}: {answer.line.removeprefix('E ')}."
            )
        with self._understanding():
            uid, cgroup, base = answer.line.split(" ", 2)
            self._place = Place(base=base, cgroup="" if cgroup == "-" else cgroup, uid=int(uid))

    async def run_attempt(
        self, attempt_id: str, command: Command, on_output: OutputSink | None = None
    ) -> AttemptRecord:
        values, known = self._values(command)
        nonce = randomness.token_hex(16)
        become = await self._become(command)
        request = self._start(check_attempt_id(attempt_id), nonce, command, values, become)
        started_at, begun = self._clock.now(), self._clock.monotonic()
        streams = Streams(nonce, command.output_limit, known, on_output)
        channel = await self._transport.spawn(SHELL, request)
        report: StopReport | None = None
        try:
            async with asyncio.timeout(command.timeout):
                await self._drain(channel, streams)
        except TimeoutError:
            report = await undisturbed(self._end_tree(attempt_id, channel, streams))
        except BaseException:  # cancelled, or the display broke: never leave a tree that nobody watches
            await undisturbed(self._end_tree(attempt_id, channel, streams))
            raise
        finally:
            await channel.close()
        if streams.greeting == REFUSED and self._borrowed and streams.reason.startswith(NO_PLACE):
            await self.prepare()
            return await self.run_attempt(attempt_id, command, on_output)
        if streams.greeting == REFUSED:
            raise HostUnreachable(f"The supervisor on {self._identity.host_id} could not start it: {streams.reason}.")
        await streams.flush()
        if report is None and not streams.complete:
            # known already, or the way was lost: nothing is started again, its own run is asked for
            left = max(command.timeout - (self._clock.monotonic() - begun), 0.1)
            sink = on_output if streams.greeting == KNOWN else None
            return await self._adopt(attempt_id, left, known, streams.kept["stderr"].text(), sink)
        # it may have ended by itself in the very moment of its time running out
        timed_out = report is not None and not (streams.complete and report.ended == 0)
        return AttemptRecord(
            attempt=1,
            exit_code=None if timed_out else streams.code,
            stdout=streams.kept["stdout"].text(),
            stderr=streams.kept["stderr"].text() + (_survivors(report) if report else ""),
            started_at=started_at,
            ended_at=self._clock.now(),
            timed_out=timed_out,
            extra={"looked": mask(streams.looked.encode(), known).decode()} if streams.looked else {},
        )

    def _start(
        self,
        attempt_id: str,
        nonce: str,
        command: Command,
        values: Mapping[str, str],
        become: Mapping[str, str | bytes],
    ) -> bytes:
        place = self._ready()
        return script(
            "start",
            id=attempt_id,
            base=place.base,
            nonce=nonce,
            cgroup=place.cgroup,
            **become,
            most=str(max(command.output_limit // BLOCK, 1) * BLOCK),
            secrets=secret_lines((name, ref.client_id, ref.name) for name, ref in command.secrets.items()),
            step=payload(command.text, values, attempt_id),
            look=assignments(command.look.parameters) + command.look.text.encode() if command.look else "",
        )

    async def attempt_status(self, attempt_id: str, *, bury: bool = False) -> AttemptStatus:
        return await self._status(attempt_id, 0, None, bury="yes" if bury else "")

    async def wait_attempt(self, attempt_id: str, timeout: float) -> AttemptRecord:
        return await self._wait(attempt_id, timeout, None)

    async def stop_attempt(self, attempt_id: str) -> StopReport:
        return await self._stop(attempt_id, bury="")

    async def _stop(self, attempt_id: str, *, bury: str) -> StopReport:
        """`bury`: an attempt that has not begun never will."""
        place = self._ready()
        uid = str(place.uid)
        answer = await self._ask("stop", id=check_attempt_id(attempt_id), base=place.base, uid=uid, bury=bury, also="")
        with self._understanding():
            report = parse_stop(answer)
        if not report.survivors or place.uid == 0:
            return report
        # what runs as another user is out of this user's reach: once more, through sudo where it is allowed
        try:
            left = " ".join(str(pid) for pid in report.survivors)
            password = self._sudo_password()
            argv = WITHOUT_PASSWORD if password is None else WITH_PASSWORD
            first = b"" if password is None else lead(password)
            answer = await self._ask(
                "stop", argv=argv, first=first, id=attempt_id, base=place.base, uid=uid, bury="", also=left
            )
            with self._understanding():
                again = parse_stop(answer)
        except (HostUnreachable, NotFound, Refused):
            return report
        return again.model_copy(update={"ended": report.ended + again.ended})

    async def forget_attempt(self, attempt_id: str) -> None:
        running = await self.forget_attempts((attempt_id,))
        if running:
            raise Refused(
                f"Attempt {attempt_id} is still running on {self._identity.host_id}.",
                next_step="Wait for it or stop it before its files are removed.",
            )

    async def forget_attempts(self, attempt_ids: Sequence[str]) -> tuple[str, ...]:
        running: list[str] = []
        for start in range(0, len(attempt_ids), MOST_FORGOTTEN):
            ids = " ".join(check_attempt_id(one) for one in attempt_ids[start : start + MOST_FORGOTTEN])
            answer = await self._ask("forget", ids=ids, base=self._ready().base)
            running += answer.words[1:]
        return tuple(running)

    async def probe(self, command: Command) -> ProbeResult:
        values, known = self._values(command)
        try:
            become = await self._become(command)
        except Refused as refused:
            # a guard or a check that cannot be asked has no answer; that of a step is told before it starts
            return ProbeResult(
                exit_code=CANNOT_RUN, stdout="", stderr=f"{refused}\n", seconds=0.0, ended_at=self._clock.now()
            )
        nonce = randomness.token_hex(16)
        marker = f"probe-{randomness.token_hex(8)}"
        request = script(
            "probe",
            nonce=nonce,
            **become,
            step=payload(command.text, values, marker),
        )
        begun = self._clock.monotonic()
        streams = Streams(nonce, command.output_limit, known)
        channel = await self._transport.spawn(SHELL, request)
        timed_out = False
        try:
            async with asyncio.timeout(command.timeout):
                await self._drain(channel, streams)
        except (TimeoutError, asyncio.CancelledError) as problem:
            channel.kill()
            await undisturbed(self._ask("stop", id=marker, base="", uid="", bury="", also=""))
            if isinstance(problem, asyncio.CancelledError):
                raise
            timed_out = True
        finally:
            await channel.close()
        await streams.flush()
        if not timed_out and not streams.complete:
            raise self._lost(streams.kept["stderr"].text())
        return ProbeResult(
            exit_code=None if timed_out else streams.code,
            stdout=streams.kept["stdout"].text(),
            stderr=streams.kept["stderr"].text(),
            seconds=self._clock.monotonic() - begun,
            ended_at=self._clock.now(),
        )

    def _ready(self) -> Place:
        if self._place is None:
            raise HostUnreachable(f"The session on {self._identity.host_id} is not open.")
        return self._place

    async def _become(self, command: Command) -> dict[str, str | bytes]:
        """What a program is told of becoming root. Raises Refused where sudo does not let it, NotFound."""
        if not command.become or (self._place is not None and self._place.uid == 0):
            return {"become": ""}
        password = self._sudo_password()
        mode = "yes" if password is None else "password"
        if not self._may_become:
            answer = await self._ask("become", become=mode, sudo_sh=AWAIT, password=password or "")
            name = None if self._become_password is None else self._become_password.name
            check(answer, self._identity.host_id, name)
            self._may_become = True
        return {"become": mode, "sudo_sh": AWAIT, "lead": b"" if password is None else lead(password)}

    def _sudo_password(self) -> str | None:
        """Raises NotFound, Refused for a secret that is no password."""
        if self._become_password is None:
            return None
        return one_line(self._resolve({"password": self._become_password})["password"], self._become_password.name)

    def _resolve(self, references: Mapping[str, SecretRef]) -> dict[str, str]:
        if not references:
            return {}
        if self._secrets is None:
            names = ", ".join(sorted(ref.name for ref in references.values()))
            raise NotFound(f"No secrets are configured here, and the step needs {names}.")
        return {name: self._secrets.resolve(ref) for name, ref in references.items()}

    def _values(self, command: Command) -> tuple[dict[str, str], dict[str, str]]:
        """The variables of the command, and which of their values are secret."""
        given = self._resolve(command.secrets)
        known = {command.secrets[name].name: value for name, value in given.items()}
        return {**command.parameters, **given}, self._hidden_values() | known

    def _hidden_values(self) -> dict[str, str]:
        """By name; those that cannot be read are of no use to any step either."""
        found: dict[str, str] = {}
        if self._secrets is None:
            return found
        for reference in self._hidden:
            with contextlib.suppress(NotFound, Refused):
                found[reference.name] = self._secrets.resolve(reference)
        return found

    async def _drain(self, channel: Channel, streams: Streams) -> None:
        while not streams.over:
            chunk = await channel.read()
            if chunk is None:
                return
            await streams.feed(*chunk)

    async def _end_tree(self, attempt_id: str, channel: Channel, streams: Streams) -> StopReport:
        """Stop the attempt and take its last output, for as long as that is worth waiting for."""
        report = await self._stop(attempt_id, bury="yes")
        if not report.survivors:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_SECONDS):
                    await self._drain(channel, streams)
        return report

    async def _adopt(
        self, attempt_id: str, left: float, known: Mapping[str, str], problem: str, sink: OutputSink | None
    ) -> AttemptRecord:
        try:
            record = await self._wait(attempt_id, left, known)
        except NotFound as unknown:
            raise self._lost(problem) from unknown
        if sink is not None:
            for name, text in (("stdout", record.stdout), ("stderr", record.stderr)):
                if text:
                    await sink(name, text.encode())
        return record

    async def _wait(self, attempt_id: str, timeout: float, known: Mapping[str, str] | None) -> AttemptRecord:
        end = self._clock.monotonic() + timeout
        while True:
            left = end - self._clock.monotonic()
            status = await self._status(attempt_id, min(max(round(left), 1), WAIT_SECONDS) if left > 0 else 0, known)
            if status.state is AttemptState.BURIED:
                raise Conflict(
                    f"Found attempt {attempt_id} given up before it began, by a worker that took over.",
                    allowed="Nothing was started.",
                )
            if status.state is AttemptState.UNKNOWN:
                raise NotFound(f"The supervisor on {self._identity.host_id} knows no attempt {attempt_id}.")
            if status.outcome is not None and status.state is AttemptState.FINISHED:
                return status.outcome
            if left <= 0:
                break
        report = await self.stop_attempt(attempt_id)
        status = await self._status(attempt_id, 2, known)
        if status.outcome is None:
            raise NotFound(f"The supervisor on {self._identity.host_id} no longer knows attempt {attempt_id}.")
        return status.outcome.model_copy(
            update={"exit_code": None, "timed_out": True, "stderr": status.outcome.stderr + _survivors(report)}
        )

    async def _status(
        self, attempt_id: str, seconds: int, known: Mapping[str, str] | None, bury: str = ""
    ) -> AttemptStatus:
        base, wait = self._ready().base, str(seconds)
        answer = await self._ask(
            "status", patience=seconds, id=check_attempt_id(attempt_id), base=base, seconds=wait, bury=bury
        )
        if answer.words[:1] == ["E"]:
            raise self._lost(answer.line.removeprefix("E "))
        with self._understanding():
            status = parse_status(answer, lambda refs: known if known is not None else self._resolve_names(refs), mask)
        if status.state is AttemptState.RUNNING and known is None:
            return status.model_copy(update={"outcome": None})
        return status

    @contextlib.contextmanager
    def _understanding(self) -> Iterator[None]:
        """Raises HostUnreachable where the host answers what no supervisor does."""
        try:
            yield
        except (ValueError, OverflowError, OSError) as problem:
            raise self._lost(f"an answer that makes no sense: {str(problem)[:100]}") from problem

    def _resolve_names(self, references: Mapping[str, SecretRef]) -> dict[str, str]:
        if self._client_id is not None:
            references = {name: ref for name, ref in references.items() if ref.client_id == self._client_id}
        named = {references[name].name: value for name, value in self._resolve(references).items()}
        return self._hidden_values() | named

    async def _ask(
        self,
        program: str,
        *,
        argv: tuple[str, ...] = SHELL,
        first: bytes = b"",
        patience: float = 0,
        **values: str | bytes,
    ) -> Answer:
        """One question to the supervisor. `first`: what `argv` reads before it. Raises HostUnreachable where no whole
        answer came."""
        nonce = randomness.token_hex(16)
        channel = await self._transport.spawn(argv, first + script(program, nonce=nonce, **values))
        received = {"stdout": bytearray(), "stderr": bytearray()}
        try:
            async with asyncio.timeout(ANSWER_SECONDS + patience):
                while (chunk := await channel.read()) is not None:
                    received[chunk[0]] += chunk[1]
                    if sum(len(each) for each in received.values()) > MOST_ANSWERED:
                        channel.kill()
                        raise self._lost("an answer without end")
        except TimeoutError as problem:
            channel.kill()
            raise self._lost(f"no answer within {ANSWER_SECONDS + patience:.0f} s") from problem
        finally:
            await channel.close()
        answer = answered(nonce, bytes(received["stdout"]))
        if answer is None:
            raise self._lost(bytes(received["stderr"]).decode("utf-8", "replace"))
        return answer

    def _lost(self, problem: str) -> HostUnreachable:
        why = " ".join(problem.split())[-300:]
        return HostUnreachable(
            f"The way to {self._identity.host_id} was lost before the supervisor answered{': ' + why if why else ''}.",
            next_step="Check that the host is up and has /bin/sh; the attempt's own outcome stays on the host.",
        )


def _survivors(report: StopReport) -> str:
    if not report.survivors:
        return ""
    names = ", ".join(str(pid) for pid in report.survivors)
    return f"\n[runwright: these processes of the attempt could not be ended: {names}]\n"
