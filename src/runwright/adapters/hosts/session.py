"""A session on a host that has a POSIX shell, over any transport.

What runs on the host is in `sh/`: constant programs that get their values by standard input. This
side adds time limits, live output, masking and records.
"""

from __future__ import annotations

import asyncio
import secrets as randomness
from collections.abc import Mapping
from dataclasses import dataclass, field

from runwright.adapters.clock import SystemClock
from runwright.adapters.hosts.attempts import Answer, answered, parse_status, parse_stop
from runwright.adapters.hosts.output import HeadTail, Marked, Masker, mask, secret_lines
from runwright.adapters.hosts.quoting import check_attempt_id, payload, script
from runwright.adapters.hosts.transport import Channel, Transport
from runwright.model.errors import HostUnreachable, NotFound, Refused
from runwright.model.executions import AttemptRecord
from runwright.model.hosts import HostIdentity, SecretRef
from runwright.model.ports.clock import Clock
from runwright.model.ports.hosts import AttemptState, AttemptStatus, Command, OutputSink, ProbeResult, StopReport
from runwright.model.ports.secrets import SecretSource

SHELL = ("/bin/sh",)
SUDO_SHELL = ("/usr/bin/sudo", "-n", "--", "/bin/sh")
ANSWER_SECONDS = 30.0
"""How long the supervisor may take to answer a question that it need not wait for."""
WAIT_SECONDS = 20
"""Longest single wait on the host, so that a dead connection is noticed."""
BLOCK = 512


@dataclass(frozen=True)
class Place:
    """Where the supervisor keeps its things on this host."""

    base: str
    cgroup: str
    uid: int


@dataclass
class Streams:
    """Both output streams of one program on their way here: cut at their marker, masked, bounded."""

    nonce: str
    limit: int
    secrets: Mapping[str, str]
    sink: OutputSink | None
    kept: dict[str, HeadTail] = field(init=False)

    def __post_init__(self) -> None:
        self.kept = {name: HeadTail(self.limit) for name in ("stdout", "stderr")}
        self._marked = {name: Marked(self.nonce.encode()) for name in self.kept}
        self._masker = {name: Masker(self.secrets) for name in self.kept}

    async def feed(self, name: str, data: bytes) -> None:
        await self._pass(name, self._masker[name].feed(self._marked[name].feed(data)))

    async def flush(self) -> None:
        for name in self.kept:
            rest = self._masker[name].feed(self._marked[name].flush()) + self._masker[name].flush()
            await self._pass(name, rest)

    async def _pass(self, name: str, data: bytes) -> None:
        if data:
            self.kept[name].feed(data)
            if self.sink is not None:
                await self.sink(name, data)

    @property
    def complete(self) -> bool:
        return all(marked.found for marked in self._marked.values()) and self.code is not None

    @property
    def code(self) -> int | None:
        """The exit code behind the marker of standard error, once its line is whole."""
        line, newline, _ = self._marked["stderr"].after.partition(b"\n")
        return int(line) if newline else None


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
    ) -> None:
        self._identity = identity
        self._transport = transport
        self._base = base
        self._secrets = secrets
        self._clock: Clock = clock or SystemClock()
        self._place: Place | None = None

    @property
    def identity(self) -> HostIdentity:
        return self._identity

    async def prepare(self) -> None:
        """Make the supervisor's directory. Raises HostUnreachable saying what is in the way."""
        answer = await self._ask("prepare", base=self._base)
        if answer.words[:1] == ["E"]:
            raise HostUnreachable(
                f"The supervisor cannot work on {self._identity.host_id}: {answer.line.removeprefix('E ')}."
            )
        uid, cgroup, base = answer.line.split(" ", 2)
        self._place = Place(base=base, cgroup="" if cgroup == "-" else cgroup, uid=int(uid))

    async def run_attempt(
        self, attempt_id: str, command: Command, on_output: OutputSink | None = None
    ) -> AttemptRecord:
        check_attempt_id(attempt_id)
        place = self._ready()
        values, known = self._values(command)
        nonce = randomness.token_hex(16)
        request = script(
            "start",
            id=attempt_id,
            base=place.base,
            nonce=nonce,
            cgroup=place.cgroup,
            become="yes" if self._becomes(command) else "",
            blocks=str(max(command.output_limit // BLOCK, 1)),
            secrets=secret_lines((name, ref.client_id, ref.name) for name, ref in command.secrets.items()),
            step=payload(command.text, values, attempt_id),
        )
        started_at, begun = self._clock.now(), self._clock.monotonic()
        streams = Streams(nonce, command.output_limit, known, on_output)
        channel = await self._transport.spawn(SHELL, request)
        timed_out, notes = False, ""
        try:
            async with asyncio.timeout(command.timeout):
                greeting, problem = await self._greeting(channel, nonce, streams)
                if greeting == "S":
                    await self._drain(channel, streams)
        except TimeoutError:
            timed_out = True
            notes = await self._end_tree(attempt_id, channel, streams)
            greeting, problem = "S", ""
        except asyncio.CancelledError:
            await asyncio.shield(self._end_tree(attempt_id, channel, streams))
            raise
        finally:
            await channel.close()
        if greeting == "E":
            raise HostUnreachable(f"The supervisor on {self._identity.host_id} could not start the step: {problem}.")
        if not timed_out and not streams.complete:
            # known already, or the way was lost: nothing is started again, its own run is asked for
            left = max(command.timeout - (self._clock.monotonic() - begun), 0.1)
            return await self._adopt(attempt_id, left, known, problem, on_output if greeting == "K" else None)
        await streams.flush()
        return AttemptRecord(
            attempt=1,
            exit_code=None if timed_out else streams.code,
            stdout=streams.kept["stdout"].text(),
            stderr=streams.kept["stderr"].text() + notes,
            started_at=started_at,
            ended_at=self._clock.now(),
            timed_out=timed_out,
        )

    async def attempt_status(self, attempt_id: str) -> AttemptStatus:
        return await self._status(attempt_id, 0, None)

    async def wait_attempt(self, attempt_id: str, timeout: float) -> AttemptRecord:
        return await self._wait(attempt_id, timeout, None)

    async def stop_attempt(self, attempt_id: str) -> StopReport:
        place = self._ready()
        report = parse_stop(await self._ask("stop", id=check_attempt_id(attempt_id), base=place.base))
        if not report.survivors or place.uid == 0:
            return report
        # what runs as another user is out of this user's reach: once more, through sudo where it is allowed
        try:
            again = parse_stop(
                await self._ask("stop", argv=("sudo", "-n", "--", *SHELL), id=attempt_id, base=place.base)
            )
        except HostUnreachable:
            return report
        return again.model_copy(update={"ended": report.ended + again.ended})

    async def forget_attempt(self, attempt_id: str) -> None:
        status = await self._status(check_attempt_id(attempt_id), 0, {})
        if status.state is AttemptState.RUNNING:
            raise Refused(
                f"Attempt {attempt_id} is still running on {self._identity.host_id}.",
                next_step="Wait for it or stop it before its files are removed.",
            )
        if status.state is AttemptState.FINISHED:
            await self._ask("forget", id=attempt_id, base=self._ready().base)

    async def probe(self, command: Command) -> ProbeResult:
        values, known = self._values(command)
        nonce = randomness.token_hex(16)
        marker = f"probe-{randomness.token_hex(8)}"
        request = script(
            "probe",
            nonce=nonce,
            become="yes" if self._becomes(command) else "",
            step=payload(command.text, values, marker),
        )
        begun = self._clock.monotonic()
        streams = Streams(nonce, command.output_limit, known, None)
        channel = await self._transport.spawn(SHELL, request)
        timed_out = False
        try:
            async with asyncio.timeout(command.timeout):
                await self._drain(channel, streams)
        except (TimeoutError, asyncio.CancelledError) as problem:
            channel.kill()
            await asyncio.shield(self._ask("stop", id=marker, base=""))
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

    def _becomes(self, command: Command) -> bool:
        return command.become and (self._place is None or self._place.uid != 0)

    def _resolve(self, references: Mapping[str, SecretRef]) -> dict[str, str]:
        if not references:
            return {}
        if self._secrets is None:
            names = ", ".join(sorted(ref.name for ref in references.values()))
            raise NotFound(f"No secrets are configured here, and the step needs {names}.")
        return {name: self._secrets.resolve(ref) for name, ref in references.items()}

    def _values(self, command: Command) -> tuple[dict[str, str], dict[str, str]]:
        """The variables of the command, and which of their values are secret."""
        known = self._resolve(command.secrets)
        return {**command.parameters, **known}, {command.secrets[name].name: value for name, value in known.items()}

    async def _greeting(self, channel: Channel, nonce: str, streams: Streams) -> tuple[str, str]:
        """The supervisor's first word, S, K or E with its reason; empty where it never came."""
        first = b""
        while b"\n" not in first:
            chunk = await channel.read()
            if chunk is None:
                return "", first.decode("utf-8", "replace").strip()
            name, data = chunk
            if name == "stdout":
                await streams.feed(name, data)
            else:
                first += data
        line, _, rest = first.partition(b"\n")
        word, _, reason = line.decode("utf-8", "replace").removeprefix(f"{nonce} ").partition(" ")
        if not line.startswith(nonce.encode()):
            return "", first.decode("utf-8", "replace").strip()
        await streams.feed("stderr", rest)
        return word, reason

    async def _drain(self, channel: Channel, streams: Streams) -> None:
        while not streams.complete:
            chunk = await channel.read()
            if chunk is None:
                return
            await streams.feed(*chunk)

    async def _end_tree(self, attempt_id: str, channel: Channel, streams: Streams) -> str:
        """Stop the attempt, take its last output, and say what still runs, if anything does."""
        report = await self.stop_attempt(attempt_id)
        if report.survivors:
            return _survivors(report)
        try:
            async with asyncio.timeout(2):
                await self._drain(channel, streams)
        except TimeoutError:
            pass  # the supervisor has more to drain than is worth waiting for; what came is kept
        return ""

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

    async def _status(self, attempt_id: str, seconds: int, known: Mapping[str, str] | None) -> AttemptStatus:
        answer = await self._ask(
            "status", patience=seconds, id=check_attempt_id(attempt_id), base=self._ready().base, seconds=str(seconds)
        )
        status = parse_status(answer, lambda refs: known if known is not None else self._resolve_names(refs), mask)
        if status.state is AttemptState.RUNNING and known is None:
            return status.model_copy(update={"outcome": None})
        return status

    def _resolve_names(self, references: Mapping[str, SecretRef]) -> dict[str, str]:
        return {references[name].name: value for name, value in self._resolve(references).items()}

    async def _ask(self, program: str, *, argv: tuple[str, ...] = SHELL, patience: float = 0, **values: str) -> Answer:
        """One question to the supervisor. Raises HostUnreachable where no whole answer came."""
        nonce = randomness.token_hex(16)
        channel = await self._transport.spawn(argv, script(program, nonce=nonce, **values))
        received = {"stdout": bytearray(), "stderr": bytearray()}
        try:
            async with asyncio.timeout(ANSWER_SECONDS + patience):
                while (chunk := await channel.read()) is not None:
                    received[chunk[0]] += chunk[1]
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
