"""The verdict of a run: the incident type's verifier and the runbook's own checks, held over the hold time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from runwright.model.documents import ParameterValue, RunbookDocument, Verify
from runwright.model.hosts import SecretRef
from runwright.model.incidents import IncidentBrief, Subject
from runwright.model.ports.clock import Clock
from runwright.model.ports.hosts import HostSession
from runwright.model.states import HostState
from runwright.model.verdicts import Check, Verification, VerificationOutcome, combine
from runwright.verification import checks
from runwright.verification.confidence import explain
from runwright.verification.findings import FAILED, PASSED, Finding, NoEvidence, unverifiable
from runwright.verification.registry import verifier_for
from runwright.verification.sections import ask
from runwright.verification.text import clip
from runwright.verification.verifier import Verifier

HOLD = 3.0
"""Seconds that a verdict must stay true where nothing else is said."""

SETTLE = 5.0
"""Seconds in which a service that is starting may come up before its verifier judges."""

_SETTLE_STEP = 0.5

_MOST_LOOKS = 5
"""Looks of one verifier, the first included."""

OnCheck = Callable[[Check], Awaitable[None]]


async def verify(
    session: HostSession,
    brief: IncidentBrief,
    document: RunbookDocument | None,
    environment: Mapping[str, str],
    values: Mapping[str, ParameterValue],
    clock: Clock,
    on_check: OnCheck | None = None,
    *,
    before: HostState | None = None,
    hold: float = HOLD,
    settle: float = SETTLE,
    secrets: Mapping[str, SecretRef] | None = None,
    become: bool = False,
) -> Verification:
    """Observe on the host whether the incident is over, now and again after the hold time.

    Args:
        document: its `verify` entries are checked too; None judges by the verifier alone.
        environment: the run's parameters as its commands see them. `values`: the same, typed, for `$name`.
        before: the state before the run, for what may not have been weakened.
        hold: seconds, for the verifier and for entries that name no hold of their own.
        settle: seconds that a starting service is given before the verifier's first look counts.

    Raises HostUnreachable where the way to the host is lost: then there is no verdict at all.
    """
    host = checks.Host(session, clock, environment, values, secrets or {}, become)
    verifier = verifier_for(brief.incident_type)
    watched: list[_Watch] = [_VerifierWatch(verifier, brief.typed_subject, before, host, hold, settle)]
    watched += [_OwnWatch(entry, host, hold) for entry in (document.verify if document else ())]
    held = [await _first(watch, clock) for watch in watched]
    if all(one.finding.outcome is not VerificationOutcome.FAILED for one in held):
        for one in sorted(held, key=lambda one: one.first_seen + one.watch.hold):
            await _again(one, clock)
    made = []
    for one in held:
        made.append(one.check())
        if on_check is not None:
            await on_check(made[-1])
    outcome = combine(check.outcome for check in made)
    confidence, explanation = explain(outcome, [(one.finding, one.held_for) for one in held], before is not None)
    return Verification(
        outcome=outcome,
        method="+".join(dict.fromkeys(check.kind for check in made)),
        confidence=confidence,
        explanation=explanation,
        checks=tuple(made),
    )


async def own_checks(
    session: HostSession,
    document: RunbookDocument,
    environment: Mapping[str, str],
    values: Mapping[str, ParameterValue],
    clock: Clock,
    *,
    hold: float = HOLD,
    secrets: Mapping[str, SecretRef] | None = None,
    become: bool = False,
) -> tuple[Check, ...]:
    """The runbook's `verify` entries alone, held over their time, without a verifier of the incident.

    Raises HostUnreachable.
    """
    host = checks.Host(session, clock, environment, values, secrets or {}, become)
    held = [await _first(_OwnWatch(entry, host, hold), clock) for entry in document.verify]
    if all(one.finding.outcome is not VerificationOutcome.FAILED for one in held):
        for one in sorted(held, key=lambda one: one.first_seen + one.watch.hold):
            await _again(one, clock)
    return tuple(one.check() for one in held)


class _Watch(Protocol):
    """One check that is looked at, and looked at again."""

    id: str
    kind: str
    hold: float

    @property
    def may_change(self) -> bool:
        """Whether a look after the hold time can tell anything new."""
        ...

    async def look(self) -> Finding: ...

    async def again(self) -> Finding: ...


class _VerifierWatch:
    """The verifier of the incident's type, on the incident's own subject."""

    def __init__(
        self,
        verifier: Verifier[Any, Any],
        subject: Subject,
        before: HostState | None,
        host: checks.Host,
        hold: float,
        settle: float,
    ) -> None:
        self.id = f"verifier-{verifier.incident_type.replace('_', '-')}"
        self.kind = f"verifier:{verifier.incident_type}"
        self.hold = hold
        self._verifier, self._subject, self._host = verifier, subject, host
        self._before = verifier.before(before)
        self._settle = settle
        self._first: Any = None
        self._last: Any = None
        self._wanted = hold
        self._found = unverifiable("Nothing was looked at.")

    async def look(self) -> Finding:
        """The first look; what may still come true by itself is given `settle` seconds."""
        clock = self._host.clock
        started = clock.monotonic()
        while True:
            self._found = finding = await self._judged(())
            if not finding.settling or clock.monotonic() - started + _SETTLE_STEP > self._settle:
                return finding
            await clock.sleep(_SETTLE_STEP)

    @property
    def may_change(self) -> bool:
        return self._first is not None and self._found.outcome is not FAILED

    async def again(self) -> Finding:
        """The look after the hold time. What gave no evidence at first cannot pass by it, but it can fail."""
        found = await self._judged((self._first,))
        looks = [self._first, self._last]
        while found.outcome is PASSED and len(looks) < _MOST_LOOKS:
            seconds = self._verifier.more(self._subject, self._before, looks)
            if seconds is None:
                break
            await self._host.clock.sleep(seconds)
            found = await self._judged(tuple(looks))
            looks.append(self._last)
        return found if self._found.outcome is PASSED or found.outcome is FAILED else self._found

    async def _judged(self, earlier: tuple[Any, ...]) -> Finding:
        try:
            question = self._verifier.question_after(self._subject, self._before)
            if not question.parts:
                return self._verifier.judge(self._subject, self._before, earlier)
            answer = await ask(self._host.session, question, self._host.clock, become=self._host.become)
            try:
                facts = self._verifier.read(self._subject, answer.sections)
            except NoEvidence as reason:
                problem = f" ({answer.problem})" if answer.problem else ""
                return unverifiable(f"No evidence: {reason}{problem}.")
        except NoEvidence as reason:
            return unverifiable(f"No evidence: {reason}.")
        if not earlier:
            self._first = facts
            self.hold = self._verifier.hold(facts, self._wanted, self._before)
        self._last = facts
        return self._verifier.judge(self._subject, self._before, (*earlier, facts))


class _OwnWatch:
    """One `verify` entry of the runbook."""

    def __init__(self, entry: Verify, host: checks.Host, hold: float) -> None:
        self.id = entry.id
        self.kind = next(kind for kind in ("run", "service", "http", "wait_for") if getattr(entry, kind) is not None)
        self.hold = hold if entry.hold is None else entry.hold
        self._entry, self._host = entry, host
        self._found = unverifiable("Nothing was looked at.")

    async def look(self) -> Finding:
        self._found = await checks.observe(self._entry, self._host)
        return self._found

    @property
    def may_change(self) -> bool:
        return self._found.outcome is PASSED

    async def again(self) -> Finding:
        return await checks.observe(self._entry, self._host, again=True)


@dataclass
class _Held:
    """A check on its way: what was found so far and how long it has held."""

    watch: _Watch
    finding: Finding
    first_seen: float
    seconds: float
    held_for: float | None = None
    """None: looked at once only."""

    def check(self) -> Check:
        reason = self.finding.reason
        if self.finding.outcome is PASSED:
            if self.held_for is None:
                reason += " Seen once; not held, because another check failed." if self.watch.hold else " Seen once."
            else:
                reason += f" Still so after {self.held_for:.1f} s."
        elif self.held_for is not None and self.finding.outcome is FAILED:
            reason += f" Seen after {self.held_for:.1f} s; it had not failed at first."
        return Check(
            id=self.watch.id,
            kind=self.watch.kind,
            outcome=self.finding.outcome,
            reason=reason,
            evidence=clip(self.finding.evidence, 4000),
            seconds=round(self.seconds, 3),
        )


async def _first(watch: _Watch, clock: Clock) -> _Held:
    started = clock.monotonic()
    finding = await watch.look()
    now = clock.monotonic()
    return _Held(watch, finding, first_seen=now, seconds=now - started)


async def _again(one: _Held, clock: Clock) -> None:
    """Look again once the hold time is over."""
    if not one.watch.may_change or one.watch.hold <= 0:
        return
    left = one.first_seen + one.watch.hold - clock.monotonic()
    if left > 0:
        await clock.sleep(left)
    started = clock.monotonic()
    one.finding = await one.watch.again()
    one.held_for = started - one.first_seen
    one.seconds += clock.monotonic() - started
