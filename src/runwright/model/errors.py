"""Errors that reach a person: what was found, what is allowed, what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import ClassVar

from runwright.model.base import Record


class Fault(Record):
    """One thing wrong with an input, with its place. Line and column count from 1."""

    message: str
    """A sentence: what was found and what is allowed."""
    file: str | None = None
    line: int | None = None
    column: int | None = None
    path: str | None = None
    """Where in the document, as `steps[2].timeout`."""

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        where = f" ({self.path})" if self.path else ""
        return f"{place}: {self.message}{where}" if place else f"{self.message}{where}"


class RunwrightError(Exception):
    """Base of every error this package raises on purpose.

    `code` is stable and is the last part of the problem type of RFC 9457 answers.
    `exit_status` is that of the command line: 1 negative, 2 usage, 3 no verdict.
    """

    code: ClassVar[str] = "internal"
    exit_status: ClassVar[int] = 1

    def __init__(self, found: str, *, allowed: str = "", next_step: str = "", faults: Sequence[Fault] = ()) -> None:
        self.found = found
        self.allowed = allowed
        self.next_step = next_step
        self.faults = tuple(faults)
        super().__init__(" ".join(part for part in (found, allowed, next_step) if part))


class InvalidInput(RunwrightError):
    """An input was refused whole; every fault is listed."""

    code = "invalid-input"
    exit_status = 3


class UsageFault(RunwrightError):
    """The call itself is wrong: an unknown option, two that exclude each other."""

    code = "usage"
    exit_status = 2


class NotFound(RunwrightError):
    """No such record, or one of another client: the two look the same."""

    code = "not-found"


class Conflict(RunwrightError):
    """The record is no longer in the state that the call expected."""

    code = "conflict"


class Refused(RunwrightError):
    """A guard said no. Nothing was changed."""

    code = "refused"


class GateReason(StrEnum):
    """What did not hold when the gate said no: one member per cause."""

    UNKNOWN_EXECUTION = "unknown_execution"
    FINISHED = "finished"
    UNKNOWN_HOST = "unknown_host"
    UNKNOWN_INCIDENT = "unknown_incident"
    POLICY = "policy"
    NO_ACTIVATION = "no_activation"
    SUSPENDED = "suspended"
    SUPERSEDED = "superseded"
    ACTIVATION_EXPIRED = "activation_expired"
    NOT_YET = "not_yet"
    OUT_OF_SCOPE = "out_of_scope"
    UNKNOWN_VERSION = "unknown_version"
    NO_APPROVAL = "no_approval"
    REVOKED = "revoked"
    APPROVAL_EXPIRED = "approval_expired"
    NO_ROUTE = "no_route"
    CALL = "call"
    """A called runbook is not the one that is named, not for this client or platform, or called too deep."""
    STOPPED = "stopped"
    SIGNATURE = "signature"
    CONTENT = "content"
    MISMATCH = "mismatch"
    UNREADABLE = "unreadable"

    @property
    def tampering(self) -> bool:
        """Whether it means that someone edited the store by hand."""
        return self in (GateReason.SIGNATURE, GateReason.CONTENT, GateReason.MISMATCH, GateReason.UNREADABLE)


class GateRefused(Refused):
    """The approval gate did not admit an execution or one of its steps; `reason` says which check failed."""

    code = "gate-refused"

    def __init__(
        self,
        found: str,
        *,
        reason: GateReason = GateReason.NO_APPROVAL,
        allowed: str = "",
        next_step: str = "",
        faults: Sequence[Fault] = (),
    ) -> None:
        super().__init__(found, allowed=allowed, next_step=next_step, faults=faults)
        self.reason = reason


class Held(GateRefused):
    """A stop switch covers the execution: it waits, and goes on when the switch is released."""

    code = "held"


class Unauthenticated(RunwrightError):
    """Nobody is logged in, or the session or token is no longer good."""

    code = "unauthenticated"


class Forbidden(RunwrightError):
    """The principal is known and lacks the right."""

    code = "forbidden"


class TooMany(RunwrightError):
    """Rate limited; try again later."""

    code = "too-many-requests"


class Unavailable(RunwrightError):
    """Something outside this process did not answer; trying again may help."""

    code = "unavailable"
    exit_status = 3


class HostUnreachable(Unavailable):
    """The host could not be reached or refused the session."""

    code = "host-unreachable"


class HostKeyRefused(HostUnreachable):
    """The server's SSH host key is not one that was accepted for it. Nothing was sent to it but the handshake.

    `offered` is the key as in a `.pub` file, `fingerprint` its `SHA256:...`; `changed` tells a key that replaced an
    accepted one from a server whose key nobody has accepted yet. `jump` is set where it is the jump host's.
    """

    code = "host-key-refused"

    def __init__(
        self, found: str, *, offered: str, fingerprint: str, changed: bool, jump: bool = False, next_step: str = ""
    ) -> None:
        super().__init__(found, next_step=next_step)
        self.offered = offered
        self.fingerprint = fingerprint
        self.changed = changed
        self.jump = jump


class NoMachine(Unavailable):
    """The lab cannot make disposable machines here."""

    code = "no-machine"


class ModelUnavailable(Unavailable):
    """The language model did not give a usable answer."""

    code = "model-unavailable"


class StorageUnavailable(Unavailable):
    """The database cannot be read or written; nothing was changed."""

    code = "storage-unavailable"


class Tampered(RunwrightError):
    """A signature, digest or chain does not match: something was edited by hand."""

    code = "tampered"
