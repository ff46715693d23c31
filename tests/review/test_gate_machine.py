"""A state machine over review, time and the gate: no execution is ever admitted without a live matching approval.

Two reviewers, leases, decisions, expiry, revocation, suspension, stop switches, crashes in the middle of an approval.
An oracle kept in plain Python says after every step what must be live; the gate must say the same, both ways.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from runwright.model.errors import Conflict, GateReason, GateRefused, Held, RunwrightError
from runwright.model.principals import ENGINE
from runwright.model.reviews import ReviewStatus

T = TypeVar("T")

SCOPES = st.sampled_from(["all", "client:acme"])
PICK = st.integers(0, 1000)
LIFETIME = timedelta(days=30)
LEASE = timedelta(minutes=30)

COUNTED: Counter[str] = Counter()
REASONS: Counter[str] = Counter()


@dataclass
class Item:
    """What the oracle knows of a queued version."""

    id: str
    digest: str
    scope: str
    author: str
    status: ReviewStatus = ReviewStatus.PENDING_REVIEW
    assignee: str = ""
    lease_until: datetime | None = None


@dataclass
class Grant:
    """What the oracle knows of an approval that a person gave."""

    version: str
    scope: str
    until: datetime
    fallback: str | None
    revoked: bool = False


@dataclass
class Live:
    """What the oracle holds to run in a scope."""

    activation: str
    approval: str
    version: str


@dataclass
class Oracle:
    items: list[Item] = field(default_factory=list)
    approvals: dict[str, Grant] = field(default_factory=dict)
    live: dict[str, Live] = field(default_factory=dict)
    runs: list[tuple[Any, str, str]] = field(default_factory=list)
    """Executions with the activation and the scope they were made from."""
    stopped: bool = False


class CrashingSigner:
    """The process dies while it signs, in the middle of the transaction."""

    key_id = "none"

    def sign(self, message: bytes) -> bytes:
        raise KeyboardInterrupt


class GateMachine(RuleBasedStateMachine):
    """Every example has a runbook line of its own in one shared database."""

    world: Any
    loop: Callable[[Coroutine[Any, Any, Any]], Any]
    lines = 0

    @initialize()
    def begin(self) -> None:
        GateMachine.lines += 1
        self.runbook = f"RB-LINE-{GateMachine.lines}"
        self.oracle = Oracle()
        self.number = 0
        self.people = {"ann": self.world.ann, "ben": self.world.ben}

    def do(self, what: Coroutine[Any, Any, T]) -> T:
        result: T = self.loop(what)
        return result

    def tries(self, name: str, what: Coroutine[Any, Any, T], *, expected: bool) -> T | None:
        """Do it; it must succeed or be refused as the oracle expects."""
        COUNTED[name if expected else f"{name} refused"] += 1
        try:
            result = self.do(what)
        except RunwrightError:
            if expected:
                raise
            return None
        assert expected, f"{name} should have been refused"
        return result

    @property
    def now(self) -> datetime:
        moment: datetime = self.world.clock.now()
        return moment

    def item(self, pick: int) -> Item:
        return self.oracle.items[-1 - pick % min(4, len(self.oracle.items))]

    def claimable(self, item: Item, who: str) -> bool:
        if item.status is ReviewStatus.IN_REVIEW:
            return item.assignee == who or item.lease_until is None or self.now >= item.lease_until
        return item.status is ReviewStatus.PENDING_REVIEW

    @rule(scope=SCOPES, author=st.sampled_from(["engine", "ann"]))
    def submit(self, scope: str, author: str) -> None:
        self.number += 1
        by = ENGINE if author == "engine" else self.world.ann
        version = self.world.version(self.number, scope=scope, runbook=self.runbook, author=by)
        made = self.do(self.world.queue(version, author=by))
        self.oracle.items.append(Item(made.id, made.subject.digest, scope, author))
        COUNTED["submit"] += 1

    @precondition(lambda self: self.oracle.items)
    @rule(pick=PICK, who=st.sampled_from(["ann", "ben"]))
    def claim(self, pick: int, who: str) -> None:
        item = self.item(pick)
        if self.tries("claim", self.world.reviews.claim(self.people[who], item.id), expected=self.claimable(item, who)):
            item.status, item.assignee, item.lease_until = ReviewStatus.IN_REVIEW, who, self.now + LEASE

    @precondition(lambda self: any(item.status is ReviewStatus.IN_REVIEW for item in self.oracle.items))
    @rule(pick=PICK, who=st.sampled_from(["ann", "ben"]))
    def release(self, pick: int, who: str) -> None:
        taken = [item for item in self.oracle.items if item.status is ReviewStatus.IN_REVIEW]
        item = taken[pick % len(taken)]
        mine = item.status is ReviewStatus.IN_REVIEW and item.assignee == who
        if self.tries("release", self.world.reviews.release(self.people[who], item.id), expected=mine):
            item.status, item.assignee, item.lease_until = ReviewStatus.PENDING_REVIEW, "", None

    @precondition(lambda self: self.oracle.items)
    @rule(pick=PICK, who=st.sampled_from(["ann", "ben"]), fallback=st.booleans())
    def approve(self, pick: int, who: str, fallback: bool) -> None:
        item = self.item(pick)
        expected = self.claimable(item, who) and item.author != who
        call = self.world.reviews.approve(self.people[who], item.id, digest=item.digest, fallback=fallback)
        if self.tries("approve", call, expected=expected) is None:
            return
        item.status = ReviewStatus.APPROVED
        live = self.do(self.world.live(item.scope, self.runbook))
        assert live.version_id == item.id
        before = self.oracle.live.get(item.scope)
        still = before is not None and self.now < self.oracle.approvals[before.approval].until
        named = before.version if fallback and before is not None and still else None
        self.oracle.approvals[live.approval_id] = Grant(item.id, item.scope, self.now + LIFETIME, named)
        self.oracle.live[item.scope] = Live(live.id, live.approval_id, item.id)

    @rule(scope=SCOPES)
    def a_better_version_goes_live(self, scope: str) -> None:
        self.submit(scope, "engine")
        self.approve(0, "ben", fallback=True)

    @precondition(lambda self: self.oracle.items)
    @rule(pick=PICK)
    def both_approve_at_once(self, pick: int) -> None:
        item = self.item(pick)
        if item.status is not ReviewStatus.PENDING_REVIEW or item.author != "engine":
            return

        async def both() -> list[Any]:
            calls = (self.world.reviews.approve(w, item.id, digest=item.digest) for w in self.people.values())
            return await asyncio.gather(*calls, return_exceptions=True)

        done = self.do(both())
        assert sorted(isinstance(result, Conflict) for result in done) == [False, True]
        COUNTED["both approve at once"] += 1
        live = self.do(self.world.live(item.scope, self.runbook))
        before = self.oracle.live.get(item.scope)
        still = before is not None and self.now < self.oracle.approvals[before.approval].until
        named = before.version if before is not None and still else None
        self.oracle.approvals[live.approval_id] = Grant(item.id, item.scope, self.now + LIFETIME, named)
        self.oracle.live[item.scope] = Live(live.id, live.approval_id, item.id)
        item.status = ReviewStatus.APPROVED

    @precondition(lambda self: self.oracle.items)
    @rule(pick=PICK, who=st.sampled_from(["ann", "ben"]))
    def crash_while_approving(self, pick: int, who: str) -> None:
        item = self.item(pick)
        if not self.claimable(item, who) or item.author == who:
            return
        dying = self.world.service(signer=CrashingSigner())
        COUNTED["crash"] += 1
        try:
            self.do(dying.approve(self.people[who], item.id, digest=item.digest))
        except KeyboardInterrupt:
            stored = self.do(self.world.reviews.item(self.world.vic, item.id))
            assert stored.status is item.status
            return
        raise AssertionError("it should have crashed")

    @precondition(lambda self: self.oracle.items)
    @rule(pick=PICK, who=st.sampled_from(["machine", "vic", "eve", "engine"]))
    def those_without_the_right_try(self, pick: int, who: str) -> None:
        item = self.item(pick)
        principal = ENGINE if who == "engine" else getattr(self.world, who)
        call = self.world.reviews.approve(principal, item.id, digest=item.digest)
        self.tries("approve without the right", call, expected=False)

    @precondition(lambda self: self.oracle.items)
    @rule(pick=PICK, who=st.sampled_from(["ann", "ben"]), how=st.sampled_from(["reject", "changes", "withdraw"]))
    def decide_otherwise(self, pick: int, who: str, how: str) -> None:
        item, by = self.item(pick), self.people[who]
        if how == "withdraw":
            open_states = (ReviewStatus.PENDING_REVIEW, ReviewStatus.IN_REVIEW, ReviewStatus.NEEDS_CHANGES)
            done = self.tries(how, self.world.reviews.withdraw(by, item.id), expected=item.status in open_states)
        elif how == "reject":
            call = self.world.reviews.reject(by, item.id, digest=item.digest, reason="no")
            done = self.tries(how, call, expected=self.claimable(item, who))
        else:
            call = self.world.reviews.request_changes(by, item.id, digest=item.digest, note="other")
            done = self.tries(how, call, expected=self.claimable(item, who))
        if done is not None:
            item.status = done.status

    @precondition(lambda self: self.oracle.approvals)
    @rule(pick=PICK)
    def revoke(self, pick: int) -> None:
        key = list(self.oracle.approvals)[pick % len(self.oracle.approvals)]
        granted = self.oracle.approvals[key]
        call = self.world.reviews.revoke(self.world.ben, key, reason="bad")
        if self.tries("revoke", call, expected=not granted.revoked):
            granted.revoked = True
            live = self.oracle.live.get(granted.scope)
            if live is not None and live.approval == key:
                del self.oracle.live[granted.scope]

    @precondition(lambda self: self.oracle.live)
    @rule(pick=PICK)
    def suspend(self, pick: int) -> None:
        scope = sorted(self.oracle.live)[pick % len(self.oracle.live)]
        live = self.oracle.live[scope]
        self.tries("suspend", self.world.reviews.suspend(ENGINE, live.activation, reason="harm"), expected=True)
        del self.oracle.live[scope]
        named = self.oracle.approvals[live.approval].fallback
        for key, granted in self.oracle.approvals.items():
            fits = (granted.version, granted.scope) == (named, scope)
            if fits and not granted.revoked and self.now < granted.until:
                found = self.do(self.world.live(scope, self.runbook))
                assert (found.version_id, found.approval_id) == (named, key)
                self.oracle.live[scope] = Live(found.id, key, granted.version)
                COUNTED["fall back"] += 1
                return
        assert self.do(self.world.find_live(scope, self.runbook)) is None

    @precondition(lambda self: self.oracle.items)
    @rule(seconds=st.sampled_from([60, 1800, 86400]))
    def time_passes(self, seconds: int) -> None:
        self.world.clock.advance(seconds)
        COUNTED["time passes"] += 1

    @precondition(lambda self: self.oracle.live)
    @rule(ages=st.booleans())
    def what_expired_is_swept(self, ages: bool) -> None:
        self.world.clock.advance(LIFETIME.total_seconds() if ages else 0)
        self.do(self.world.reviews.expire_due())
        for scope, live in list(self.oracle.live.items()):
            if self.now >= self.oracle.approvals[live.approval].until:
                del self.oracle.live[scope]
                COUNTED["expired"] += 1

    @precondition(lambda self: self.oracle.runs)
    @rule()
    def stop_or_release(self) -> None:
        switch = f"runbook:{self.runbook}"
        if self.oracle.stopped:
            self.do(self.world.switches.release(self.world.ann, switch))
        else:
            self.do(self.world.switches.stop(self.world.ann, switch, "outage"))
        self.oracle.stopped = not self.oracle.stopped
        COUNTED["switch"] += 1

    @precondition(lambda self: self.oracle.live)
    @rule(pick=PICK, client=st.sampled_from(["acme", "acme", "other"]))
    def start_a_run(self, pick: int, client: str) -> None:
        scope = sorted(self.oracle.live)[pick % len(self.oracle.live)]
        live = self.oracle.live[scope]
        activation = self.do(self.world.get("activations", live.activation))
        execution = self.do(self.world.run(activation, client=client))
        self.oracle.runs.append((execution, live.activation, scope))
        COUNTED["start"] += 1

    def ask_the_gate(self, execution: Any, activation: str, scope: str, *, step: bool) -> None:
        live = self.oracle.live.get(scope)
        current = live is not None and live.activation == activation
        granted = self.oracle.approvals[execution.approval_id]
        approved = current and not granted.revoked and self.now < granted.until
        allowed = approved and scope in ("all", f"client:{execution.client_id}")
        intent = self.world.intent(execution, attempt_id=self.world.clock.new_id("att")) if step else None
        try:
            admitted = self.do(self.world.gate.admit(execution.id, intent))
        except Held:
            assert allowed
            assert self.oracle.stopped
            REASONS["held"] += 1
        except GateRefused as refused:
            if allowed or refused.reason.tampering:
                raise
            REASONS[refused.reason.value] += 1
        else:
            assert allowed
            assert not self.oracle.stopped
            assert admitted.approval_id == execution.approval_id
            assert admitted.version_id == granted.version
            item = next(item for item in self.oracle.items if item.id == granted.version)
            assert admitted.digest == item.digest
            assert item.status is ReviewStatus.APPROVED
            REASONS["admitted"] += 1

    @invariant()
    def the_gate_says_what_the_oracle_says(self) -> None:
        """About the newest runs, the start of one and a step of the others."""
        for place, known in enumerate(reversed(self.oracle.runs[-3:])):
            self.ask_the_gate(*known, step=place > 0)

    @invariant()
    def what_is_live_is_what_the_oracle_says(self) -> None:
        for scope in ("all", "client:acme"):
            stored = self.do(self.world.find_live(scope, self.runbook))
            live = self.oracle.live.get(scope)
            assert (stored.id if stored else None) == (live.activation if live else None)

    def teardown(self) -> None:
        if getattr(self, "oracle", None) is not None and self.oracle.stopped:
            self.do(self.world.switches.release(self.world.ann, f"runbook:{self.runbook}"))


def test_nothing_is_admitted_without_a_live_matching_approval(
    make_world: Callable[..., Any], clock: Any, tmp_path: Path
) -> None:
    COUNTED.clear()
    REASONS.clear()
    with asyncio.Runner() as runner:
        world = runner.run(make_world(clock, tmp_path / "machine.db"))
        world.reviews = world.service(approval_days=LIFETIME.days)
        GateMachine.world, GateMachine.loop, GateMachine.lines = world, staticmethod(runner.run), 0
        for repeated in range(5):
            # The same walk every time; where it misses an edge, further walks look for it.
            config = settings(
                max_examples=50 if repeated == 0 else 20,
                stateful_step_count=50,
                deadline=None,
                derandomize=repeated == 0,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            run_state_machine_as_test(GateMachine, settings=config)
            if not missed():
                break
        runner.run(world.store.close())
    assert sum(COUNTED.values()) + sum(REASONS.values()) > 2000
    assert missed() == set()


def missed() -> set[str]:
    """Edges and refusals that no walk has reached yet."""
    reviewed = {"claim", "claim refused", "release", "approve", "approve refused", "reject", "changes", "withdraw"}
    enforced = {"revoke", "suspend", "fall back", "expired", "crash", "both approve at once"}
    refused = {GateReason.SUSPENDED, GateReason.SUPERSEDED, GateReason.ACTIVATION_EXPIRED, GateReason.OUT_OF_SCOPE}
    answered = {reason.value for reason in refused} | {"admitted", "held"}
    return (reviewed | enforced) - set(COUNTED) | answered - set(REASONS)
