"""Sessions on hosts: supervised attempts that outlive the connection, and read-only round trips."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Protocol

from pydantic import Field

from runwright.model.base import Moment, Record
from runwright.model.executions import AttemptRecord
from runwright.model.hosts import Host, HostIdentity, SecretRef

OutputSink = Callable[[str, bytes], Awaitable[None]]
"""Called with `stdout` or `stderr` and a chunk as it comes; live display only."""


class Look(Record):
    """Read-only POSIX sh that the supervisor runs in its own shell right before and right after an attempt.

    Not a part of the step: it is run as the session's user, sees none of the step's environment, and cannot change
    its exit status. `look_when` is `before` or `after`; what it leaves in `look_saw` is handed back, on one line.
    """

    text: str
    parameters: Mapping[str, str] = Field(default_factory=dict)


class Command(Record):
    """POSIX sh text with its parameters beside it (promise 3).

    The values become environment variables of the text. They travel on a side channel (standard
    input or a 0600 file), never in an argument list, and are encoded after `become`.
    """

    text: str
    parameters: Mapping[str, str] = Field(default_factory=dict)
    secrets: Mapping[str, SecretRef] = Field(default_factory=dict)
    """Resolved by the adapter at the moment of use; their values are masked in all output."""
    timeout: float = Field(gt=0)
    """Seconds until the whole process tree is ended."""
    become: bool = False
    """Through sudo, where the session's user is not root."""
    output_limit: int = 1_000_000
    """Bytes kept of each stream: the first and the last half of it, with a line naming the cut."""
    look: Look | None = None
    """For supervised attempts. The answer is `extra["looked"]` of the outcome, `<before> / <after>`."""


class AttemptState(StrEnum):
    UNKNOWN = "unknown"
    """The supervisor never saw this attempt id: nothing of it was started."""
    RUNNING = "running"
    FINISHED = "finished"
    BURIED = "buried"
    """It had not begun when it was given up, and no request that is still on its way can start it."""


class AttemptStatus(Record):
    """What the supervisor on the host says of an attempt id."""

    state: AttemptState
    outcome: AttemptRecord | None = None
    """Set when finished. Its `attempt` number is 1; the caller renumbers it."""


class StopReport(Record):
    """What came of ending a process tree. Never assumed: what still runs is named."""

    ended: int
    survivors: tuple[int, ...] = ()
    method: str
    """`cgroup`, `session+environment` or `none`."""


class ProbeResult(Record):
    """The answer of a read-only round trip."""

    exit_code: int | None
    """None when it ran out of time."""
    stdout: str
    stderr: str
    seconds: float
    ended_at: Moment


class HostSession(Protocol):
    """An open way to one host. Raises HostUnreachable where the way is lost; never guesses an outcome."""

    @property
    def identity(self) -> HostIdentity: ...

    @property
    def directory(self) -> str:
        """Where the supervisor keeps its files on the host; empty where that is not known yet."""
        ...

    def hide(self, secrets: Iterable[SecretRef]) -> None:
        """Mask the values of these in all that comes from the host from now on, whichever command shows them:
        a service may print in its journal what an earlier step told it."""
        ...

    async def run_attempt(
        self, attempt_id: str, command: Command, on_output: OutputSink | None = None
    ) -> AttemptRecord:
        """Start the command under the supervisor by this id, wait, and return what came of it.

        An id that is known already is never started again: its run is waited for, or its outcome
        adopted. On timeout, or when this call is cancelled, the whole tree is ended first.
        Raises Conflict for an id that was buried meanwhile.
        """
        ...

    async def attempt_status(self, attempt_id: str, *, bury: bool = False) -> AttemptStatus:
        """Ask the supervisor about an id; for recovery after a crash of this side.

        With `bury`, an id that it does not know is taken, so that a request of an earlier worker which
        is still on its way, or sent by one that was only stalled, never starts it: the answer is then BURIED.
        """
        ...

    async def wait_attempt(self, attempt_id: str, timeout: float) -> AttemptRecord:
        """Wait for a running attempt, at most `timeout` seconds, then end its tree."""
        ...

    async def stop_attempt(self, attempt_id: str) -> StopReport:
        """End the whole process tree of an attempt, by cgroup where there is one."""
        ...

    async def forget_attempt(self, attempt_id: str) -> None:
        """Remove the supervisor's files of a finished attempt whose outcome is stored. Raises Refused while it runs."""
        ...

    async def forget_attempts(self, attempt_ids: Sequence[str]) -> tuple[str, ...]:
        """The same for many in one round trip; the ids of those that still run, whose files stay."""
        ...

    async def probe(self, command: Command) -> ProbeResult:
        """One unsupervised round trip that must not change the host: state capture, guards, checks."""
        ...


class HostConnector(Protocol):
    """Opens sessions. One adapter per connection kind."""

    def open(self, host: Host) -> AbstractAsyncContextManager[HostSession]:
        """A session for as long as the block lasts. Raises HostUnreachable saying what to check."""
        ...
