"""A small world on a real database: two clients with a host each, three approvers, versions, rules and runs."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from runwright.adapters.keys import EnvironmentSigner
from runwright.adapters.storage import open_store
from runwright.model.clients import Client
from runwright.model.executions import Execution, ExecutionStatus, Section, StepIntent
from runwright.model.hosts import ExecutionPolicy, Host, LocalConnection, PolicyMode
from runwright.model.ids import ALL, version_id
from runwright.model.incidents import Incident
from runwright.model.ports.store import EVERY_CLIENT, Store
from runwright.model.principals import ENGINE, AuthMethod, Grant, Principal, PrincipalKind, Role, User
from runwright.model.reviews import Activation, Approval, ReviewItem, RoutingRule
from runwright.model.risk import RiskReport
from runwright.model.versions import Author, RunbookVersion
from runwright.review.gate import ApprovalGate
from runwright.review.queue import submit
from runwright.review.service import ReviewService
from runwright.review.settings import ReviewSettings
from runwright.review.subjects import new_rule
from runwright.review.switches import StopSwitches
from runwright.runbooks.load import load_runbook

RUNBOOK = "RB-TEST-001"

TEXT = """\
schema: runwright/v1
id: {runbook}
name: Version {number}
incident_types: [service_crash]
steps:
  - id: say
    run: echo {number}  # a comment counts as well
"""


def person(name: str, *roles: Role, client: str | None = None) -> Principal:
    return Principal(
        id=f"usr-{name}",
        kind=PrincipalKind.PERSON,
        name=name.title(),
        method=AuthMethod.PASSWORD,
        grants=tuple(Grant(role=role, client_id=client) for role in roles),
    )


class Ring:
    """Public keys by id; more can be added."""

    def __init__(self, *signers: EnvironmentSigner) -> None:
        self.keys = {signer.key_id: signer.public_key for signer in signers}

    def public_keys(self) -> dict[str, bytes]:
        return self.keys


class World:
    """What the tests of this room stand on. Everything goes through the real store and the real services."""

    runbook = RUNBOOK
    ann = person("ann", Role.APPROVER, Role.OPERATOR)
    ben = person("ben", Role.APPROVER)
    eve = person("eve", Role.APPROVER, client="other")
    vic = person("vic", Role.VIEWER)
    machine = Principal(
        id="tok-1",
        kind=PrincipalKind.MACHINE,
        name="ci",
        method=AuthMethod.TOKEN,
        grants=(Grant(role=Role.ADMIN),),
    )

    def __init__(self, store: Store, clock: Any, path: Path) -> None:
        self.store, self.clock, self.path = store, clock, path
        self.signer = EnvironmentSigner(Ed25519PrivateKey.generate())
        self.ring = Ring(self.signer)
        self.reviews = self.service()
        self.gate = ApprovalGate(store, self.ring, clock)
        self.switches = StopSwitches(store, clock)

    def service(self, *, signer: EnvironmentSigner | None = None, **settings: Any) -> ReviewService:
        return ReviewService(self.store, signer or self.signer, self.ring, self.clock, ReviewSettings(**settings))

    async def start(self) -> None:
        async with self.store.transaction() as tx:
            for name in ("acme", "other"):
                await tx.clients.add(Client(id=name, name=name, created_at=self.clock.now()))
                await tx.hosts.add(self.host(name))
                await tx.incidents.add(self.incident(name))
            for who in (self.ann, self.ben, self.eve, self.vic):
                user = User(
                    id=who.id,
                    name=who.name.lower(),
                    password_hash="none",
                    grants=who.grants,
                    created_at=self.clock.now(),
                )
                await tx.users.add(user)

    def host(self, client: str, mode: PolicyMode = PolicyMode.AUTO) -> Host:
        return Host(
            id=f"host-{client}",
            client_id=client,
            hostname=client,
            connection=LocalConnection(),
            policy=ExecutionPolicy(mode=mode),
            created_at=self.clock.now(),
        )

    def incident(self, client: str, incident_type: str = "service_crash") -> Incident:
        return Incident(
            id=f"inc-{client}",
            client_id=client,
            host_id=f"host-{client}",
            incident_type=incident_type,
            subject={"service": "shopd"},
            occurred_at=self.clock.now(),
            received_at=self.clock.now(),
        )

    def version(
        self, number: int = 1, scope: str = ALL, runbook: str = RUNBOOK, author: Principal = ENGINE
    ) -> RunbookVersion:
        loaded = load_runbook(TEXT.format(number=number, runbook=runbook))
        return RunbookVersion(
            id=version_id(runbook, number),
            runbook_id=runbook,
            number=number,
            scope=scope,
            text=loaded.text,
            digest=loaded.digest,
            raw_digest=loaded.raw_digest,
            parent=version_id(runbook, number - 1) if number > 1 else None,
            author=Author.of(author),
            created_at=self.clock.now(),
        )

    async def queue(
        self, version: RunbookVersion | None = None, author: Principal = ENGINE, **fields: Any
    ) -> ReviewItem:
        given: dict[str, Any] = {"title": "A title", "reason": "A reason.", "priority": 2, "added_risk": RiskReport()}
        if version is not None or "rule" not in fields:
            given["version"] = version or self.version()
        async with self.store.transaction() as tx:
            return await submit(tx, author=author, clock=self.clock, **{**given, **fields})

    async def approved(
        self, version: RunbookVersion | None = None, by: Principal | None = None, **how: Any
    ) -> Activation:
        """A version queued, approved by Ann and live."""
        item = await self.queue(version, scope=how.pop("scope", None))
        await self.reviews.approve(by or self.ann, item.id, digest=item.subject.digest, **how)
        return await self.live(item.subject.scope, (version or self.version()).runbook_id)

    async def live(self, scope: str = ALL, runbook: str = RUNBOOK) -> Activation:
        found = await self.find_live(scope, runbook)
        assert found is not None
        return found

    async def find_live(self, scope: str = ALL, runbook: str = RUNBOOK) -> Activation | None:
        async with self.store.reading() as tx:
            return await tx.activations.live(runbook, scope)

    async def rule(self, scope: str = ALL, incident_type: str = "service_crash", runbook: str = RUNBOOK) -> RoutingRule:
        """A routing rule queued, approved by Ann and active."""
        rule = new_rule(self.clock, scope=scope, incident_type=incident_type, runbook_id=runbook)
        item = await self.queue(rule=rule)
        await self.reviews.approve(self.ann, item.id, digest=item.subject.digest)
        return await self.get("routes", rule.id)

    async def run(
        self, activation: Activation, *, client: str = "acme", rule: RoutingRule | None = None, **fields: Any
    ) -> Execution:
        """An execution of what is live, asked for by Ann unless a rule chose it."""
        execution = Execution(
            **{
                "id": self.clock.new_id("exe"),
                "client_id": client,
                "host_id": f"host-{client}",
                "incident_id": f"inc-{client}",
                "runbook_id": activation.runbook_id,
                "version_id": activation.version_id,
                "digest": activation.digest,
                "activation_id": activation.id,
                "approval_id": activation.approval_id,
                "routing_id": rule.id if rule else None,
                "requested_by": "engine" if rule else self.ann.id,
                "status": ExecutionStatus.RUNNING,
                "epoch": 1,
                "created_at": self.clock.now(),
                **fields,
            }
        )
        async with self.store.transaction() as tx:
            await tx.executions.add(execution)
        return execution

    def intent(self, execution: Execution, attempt: int = 1, epoch: int = 1, **fields: Any) -> StepIntent:
        return StepIntent(
            **{
                "execution_id": execution.id,
                "epoch": epoch,
                "section": Section.STEPS,
                "step_id": "say",
                "attempt": attempt,
                "attempt_id": self.clock.new_id("att"),
                "idempotent": True,
                "at": self.clock.now(),
                **fields,
            }
        )

    async def get(self, table: str, key: str) -> Any:
        async with self.store.reading() as tx:
            return await getattr(tx, table).get(key, client=EVERY_CLIENT)

    async def put(self, table: str, was: Any, **fields: Any) -> Any:
        """Change a record through the store."""
        now = was.model_copy(update=fields)
        async with self.store.transaction() as tx:
            await getattr(tx, table).replace(was, now)
        return now

    async def approval(self, activation: Activation) -> Approval:
        found = await self.get("approvals", activation.approval_id)
        assert isinstance(found, Approval)
        return found

    async def audited(self, chain: str = "system") -> list[Any]:
        async with self.store.reading() as tx:
            return [entry.event for entry in await tx.audit.entries(chain, limit=100_000)]

    def attack(self, *statements: str, **values: Any) -> int:
        """Edit the database by hand, triggers and the unique index dropped first; how many rows changed last."""
        with sqlite3.connect(self.path) as raw:
            for (trigger,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                raw.execute(f"DROP TRIGGER {trigger}")
            raw.execute("DROP INDEX IF EXISTS uq_activations_live")
            raw.execute("PRAGMA foreign_keys = OFF")
            changed = 0
            for statement in statements:
                changed = raw.execute(statement, values).rowcount
        raw.close()
        return changed


@pytest.fixture
def make_world() -> Callable[..., Any]:
    """For tests that open and close worlds themselves."""

    async def make(clock: Any, path: Path) -> World:
        world = World(await open_store(f"sqlite+aiosqlite:///{path}"), clock, path)
        await world.start()
        return world

    return make


@pytest.fixture
async def world(make_world: Callable[..., Any], clock: Any, tmp_path: Path) -> AsyncIterator[World]:
    made = await make_world(clock, tmp_path / "review.db")
    yield made
    await made.store.close()
