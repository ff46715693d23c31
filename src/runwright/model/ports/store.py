"""The store: transactions over typed collections. Every collection is scoped by client where records are.

One change is one transaction; its audit entries are written in it or nothing is (promise 8).
Each stage asks for the collections it needs by taking the narrow Protocol, not the whole store.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from runwright.model.audit import AuditEntry, AuditEvent
from runwright.model.clients import Client
from runwright.model.diagnoses import Analysis
from runwright.model.executions import (
    AttemptRecord,
    Event,
    Execution,
    ExecutionResult,
    JournalEntry,
    StepIntent,
    StepStatus,
)
from runwright.model.external import ExternalExecution
from runwright.model.hosts import Host, HostCheck
from runwright.model.incidents import Escalation, Incident
from runwright.model.lab import Trial
from runwright.model.plans import RunPlan
from runwright.model.principals import Session, Token, User
from runwright.model.proposals import Proposal
from runwright.model.questions import Question
from runwright.model.reviews import Activation, Approval, ReviewItem, RoutingRule, StopSwitch
from runwright.model.versions import RunbookVersion

R = TypeVar("R")

EVERY_CLIENT = "*"
"""Passed as `client` by code that acts for the whole system (the gate, the loop, an admin)."""


@dataclass(frozen=True)
class Page(Generic[R]):
    """A slice of a list, newest first, and the cursor of the next one."""

    items: tuple[R, ...]
    next_cursor: str | None


class Collection(Protocol[R]):
    """Records of one kind, by id.

    `client` is the client whose records are visible, or EVERY_CLIENT. A record of another client
    is not found: the two look the same.
    """

    async def add(self, record: R) -> None:
        """Raises Conflict if the id is taken."""
        ...

    async def get(self, key: str, *, client: str) -> R:
        """Raises NotFound."""
        ...

    async def find(self, key: str, *, client: str) -> R | None: ...

    async def replace(self, was: R, now: R) -> None:
        """Compare and swap on the whole record. Raises Conflict if it is no longer `was`."""
        ...

    async def page(
        self, *, client: str, where: Mapping[str, Any] | None = None, cursor: str | None = None, limit: int = 50
    ) -> Page[R]:
        """Newest first. `where` names indexed columns; a tuple value means any of them.

        Raises InvalidInput on an unknown column or a cursor that this list did not give.
        """
        ...

    async def count(self, *, client: str, where: Mapping[str, Any] | None = None) -> int: ...


class Incidents(Collection[Incident], Protocol):
    """Columns: client_id, host_id, status, incident_type, fingerprint, severity."""


class Versions(Collection[RunbookVersion], Protocol):
    """Columns: runbook_id, scope, digest, number, parent. Clients see `all` and their own scope."""

    async def next_number(self, runbook_id: str) -> int:
        """The number a new version of this line gets; serialised, never reused."""
        ...


class Reviews(Collection[ReviewItem], Protocol):
    """Columns: client_id (None for the library), kind, status, priority, author_id."""

    async def pending(self, *, client: str, cursor: str | None = None, limit: int = 50) -> Page[ReviewItem]:
        """Undecided and submitted items, by priority, then oldest first."""
        ...

    async def stats(self, *, client: str) -> Mapping[str, int]:
        """Items per status; every status is named."""
        ...


class Activations(Collection[Activation], Protocol):
    """Columns: runbook_id, scope, state, version_id, approval_id. At most one live per runbook and scope,
    by a unique index."""

    async def live(self, runbook_id: str, scope: str) -> Activation | None: ...


class Routes(Collection[RoutingRule], Protocol):
    """Columns: scope, incident_type, active, runbook_id."""


class Executions(Collection[Execution], Protocol):
    """Columns: client_id, host_id, incident_id, status, runbook_id, version_id."""

    async def put_result(self, result: ExecutionResult) -> None:
        """Store or renew the telemetry of an execution (`execution_results`)."""
        ...

    async def result(self, execution_id: str, *, client: str) -> ExecutionResult | None: ...


class JournalTable(Protocol):
    """Intents and outcomes (`step_journal`)."""

    async def intend(self, intent: StepIntent) -> None:
        """Append. Raises Conflict if the execution's epoch is newer than the intent's, or the attempt is known."""
        ...

    async def finish(
        self, intent: StepIntent, outcome: AttemptRecord | None, step_status: StepStatus | None, reason: str
    ) -> None:
        """Raises Conflict if the execution's epoch is newer than the intent's."""
        ...

    async def entries(self, execution_id: str) -> tuple[JournalEntry, ...]: ...

    async def newest_epoch(self, execution_id: str) -> int | None:
        """The greatest epoch of any worker that journaled an intent; None where none did."""
        ...


class Events(Protocol):
    """What pages and terminals watch; trimmed, never the source of truth."""

    async def append(self, event: Event) -> None: ...

    async def since(
        self, sequence: int, *, client: str, subject_id: str | None = None, limit: int = 200
    ) -> tuple[Event, ...]:
        """Events with a greater sequence, oldest first."""
        ...


class Audit(Protocol):
    """Append-only, hash-chained."""

    async def append(self, event: AuditEvent) -> AuditEntry:
        """Adds to the chain's head, under a lock of that chain. Raises StorageUnavailable."""
        ...

    async def entries(self, chain: str, *, after: int = 0, limit: int = 1000) -> tuple[AuditEntry, ...]: ...

    async def chains(self) -> tuple[str, ...]: ...


class Transaction(Protocol):
    """All collections within one transaction. Committed when its block ends, rolled back if it raises."""

    @property
    def clients(self) -> Collection[Client]: ...
    @property
    def hosts(self) -> Collection[Host]:
        """Columns: client_id, hostname."""
        ...

    @property
    def host_checks(self) -> Collection[HostCheck]:
        """Columns: client_id, host_id."""
        ...

    async def remove_host(self, host_id: str) -> None:
        """Take a host off the inventory, with its checks; what ran on it stays. Raises NotFound."""
        ...

    async def trim_host_checks(self, host_id: str, *, keep: int) -> None:
        """Keep the newest checks of a host."""
        ...

    @property
    def incidents(self) -> Incidents: ...
    @property
    def escalations(self) -> Collection[Escalation]:
        """Columns: client_id, incident_id, reason."""
        ...

    @property
    def versions(self) -> Versions: ...
    @property
    def reviews(self) -> Reviews: ...
    @property
    def approvals(self) -> Collection[Approval]:
        """Columns: subject_id, scope."""
        ...

    @property
    def activations(self) -> Activations: ...
    @property
    def routes(self) -> Routes: ...
    @property
    def executions(self) -> Executions: ...
    @property
    def externals(self) -> Collection[ExternalExecution]:
        """Columns: client_id, source, status, runbook_id, learning. Their telemetry: `executions.result`."""
        ...

    @property
    def questions(self) -> Collection[Question]:
        """Columns: client_id, execution_id, status."""
        ...

    @property
    def journal(self) -> JournalTable: ...
    @property
    def events(self) -> Events: ...
    @property
    def analyses(self) -> Collection[Analysis]:
        """Columns: client_id, execution_id, failure_fingerprint."""
        ...

    @property
    def proposals(self) -> Collection[Proposal]:
        """Columns: client_id, execution_id, candidate, parent."""
        ...

    @property
    def trials(self) -> Collection[Trial]:
        """Columns: version_id, digest."""
        ...

    @property
    def plans(self) -> Collection[RunPlan]:
        """Columns: client_id, incident_id."""
        ...

    @property
    def users(self) -> Collection[User]:
        """Columns: name."""
        ...

    @property
    def sessions(self) -> Collection[Session]:
        """Columns: user_id, secret_digest."""
        ...

    @property
    def tokens(self) -> Collection[Token]:
        """Columns: name, secret_digest."""
        ...

    @property
    def switches(self) -> Collection[StopSwitch]: ...

    async def remove_switch(self, switch_id: str) -> None:
        """Raises NotFound."""
        ...

    @property
    def audit(self) -> Audit: ...

    async def lock(self, name: str) -> None:
        """Wait until no other transaction holds this name, and hold it until this one ends.

        For rules over several records, which no row lock keeps on PostgreSQL: no two open incidents with one
        fingerprint (lock it before looking for duplicates), a maximum of concurrent runs (lock before counting).
        """
        ...


class Store(Protocol):
    """Opens transactions on one database."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Serialised writes: on SQLite BEGIN IMMEDIATE, on PostgreSQL read committed with row locks.

        Raises StorageUnavailable when the database cannot be reached or written.
        """
        ...

    def reading(self) -> AbstractAsyncContextManager[Transaction]:
        """A read-only view; writing in it is an error."""
        ...

    async def close(self) -> None: ...
