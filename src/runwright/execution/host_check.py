"""Can a host be reached and worked on? Looks only: one harmless attempt under the supervisor, two round trips.

What is checked is what runs need: the connection with its host key, the supervisor and whether a step gets a control
group of its own, becoming root, the programs that the supervisor and state capture use, the clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from runwright.execution.facts import system
from runwright.execution.facts.fact import Fact, Unreadable, read
from runwright.model.errors import HostKeyRefused, RunwrightError
from runwright.model.hosts import CheckStatus, Host, HostCheck, HostFacts, KeyStanding, SeenKey, endpoints, fingerprint
from runwright.model.ports.clock import Clock
from runwright.model.ports.hosts import Command, HostConnector, HostSession
from runwright.model.ports.store import EVERY_CLIENT, Store
from runwright.model.redaction import redact
from runwright.verification.sections import Question, ask
from runwright.verification.text import first_line, visible

TIMEOUT = 20.0
"""Seconds for each look; a healthy host answers in some tens of milliseconds."""
SKEW_WORTH_TELLING = 5.0
"""Seconds. Times of a run are those of the worker; a host's own logs and certificates go by the host's."""
_LONGEST = 500

SUPERVISOR_TOOLS = ("date", "grep", "head", "id", "mkdir", "mkfifo", "rm", "rmdir", "sleep", "tee", "wc")
"""Without one of these no step runs."""
STATE_TOOLS = (
    *("awk", "cat", "df", "find", "getconf", "journalctl", "openssl", "sed", "ss", "stat", "systemctl", "tar"),
    "timeout",
)
"""Without one of these facts are missing, each named in the captured state, or a verifier has no evidence."""

_TOOLS = 'for rw_tool in TOOLS; do have "$rw_tool" || printf \'%s\\n\' "$rw_tool"; done'
_CLOCK = "date +%s.%N"
_PLACE = "cat /proc/self/cgroup 2>/dev/null; echo rw-ran"


@dataclass(frozen=True)
class HostChecker:
    """The worker's part of a check: by id, safe to call again after any crash."""

    store: Store
    connector: HostConnector
    clock: Clock

    async def check(self, check_id: str) -> HostCheck | None:
        """Look at the host and store what came of it; None where the check or its host is gone meanwhile."""
        async with self.store.reading() as tx:
            check = await tx.host_checks.find(check_id, client=EVERY_CLIENT)
            host = await tx.hosts.find(check.host_id, client=check.client_id) if check is not None else None
        if check is None or host is None or check.status is CheckStatus.DONE:
            return check
        done = await check_host(check, host, self.connector, self.clock)
        async with self.store.transaction() as tx:
            if await tx.host_checks.find(check_id, client=EVERY_CLIENT) != check:
                return None
            await tx.host_checks.replace(check, done)
        return done


async def check_host(check: HostCheck, host: Host, connector: HostConnector, clock: Clock) -> HostCheck:
    """The check with what came of it. Never raises for what is wrong with the host: that is the answer."""
    accepted = tuple(_accepted(host))
    try:
        async with connector.open(host) as session:
            facts, hints = await _look(session, check, clock)
        found: dict[str, Any] = {
            "reachable": True,
            "ready": _ready(host, facts),
            "facts": facts,
            "hints": (*hints, *_hints(host, facts)),
        }
    except HostKeyRefused as refused:
        standing = KeyStanding.CHANGED if refused.changed else KeyStanding.UNKNOWN
        offered = SeenKey(key=refused.offered, fingerprint=refused.fingerprint, standing=standing, jump=refused.jump)
        accepted = (*accepted, offered)
        found = _failed(refused)
    except RunwrightError as error:
        found = _failed(error)
    return check.model_copy(update={"status": CheckStatus.DONE, "completed_at": clock.now(), "keys": accepted, **found})


def _failed(error: RunwrightError) -> dict[str, Any]:
    """What was in the way. A server's own words may be in it: visible, without secrets, not endless."""
    return {
        "reachable": False,
        "ready": False,
        "code": error.code,
        "problem": _told(" ".join(part for part in (error.found, error.allowed) if part)),
        "next_step": _told(error.next_step),
    }


def _told(text: str) -> str:
    return visible(redact(text).text)[:_LONGEST]


def _accepted(host: Host) -> Iterator[SeenKey]:
    """The accepted keys on the way to the host, with their fingerprints."""
    for number, server in enumerate(endpoints(host.connection)):
        for key in server.host_keys:
            try:
                shown = fingerprint(key)
            except ValueError:
                shown = "not a key"
            yield SeenKey(key=key, fingerprint=shown, standing=KeyStanding.ACCEPTED, jump=number == 1)


async def _look(session: HostSession, check: HostCheck, clock: Clock) -> tuple[HostFacts, tuple[str, ...]]:
    """Ask the host, then run one harmless attempt. Raises HostUnreachable."""
    facts: dict[str, Any] = dict(await _timed(session, clock))
    tools = _TOOLS.replace("TOOLS", " ".join((*SUPERVISOR_TOOLS, *STATE_TOOLS)))
    parts = [(fact.name, fact.script) for fact in (system.OS, system.INIT, _USER)] + [("tools", tools)]
    answer = await ask(session, Question(parts, timeout=TIMEOUT), clock)
    hints = [f"Not all was read: {answer.problem}."] if answer.problem else []
    for fact in (system.OS, system.INIT, _USER):
        try:
            facts |= read(fact, answer.sections.get(fact.name), answer.problem)
        except Unreadable as reason:
            hints.append(f"Not read: {fact.name}: {_told(str(reason))}.")
    if (lacking := answer.sections.get("tools")) is not None and lacking.ended:
        known = {*SUPERVISOR_TOOLS, *STATE_TOOLS}
        facts["missing_tools"] = tuple(name for name in lacking.text.split() if name in known)
    facts |= await _supervised(session, check)
    if facts.get("uid") != 0:
        facts |= await _become(session)
    return HostFacts(**facts), tuple(hints)


async def _timed(session: HostSession, clock: Clock) -> Mapping[str, Any]:
    """How long one round trip takes, and how the host's clock stands to ours within that time."""
    began = clock.now()
    told = await session.probe(Command(text=_CLOCK, timeout=TIMEOUT))
    ended = clock.now()
    return {"round_trip_ms": round(told.seconds * 1000, 1), "clock_skew_seconds": skew(told.stdout, began, ended)}


def skew(text: str, began: datetime, ended: datetime) -> float | None:
    """Seconds that a clock is ahead, as far as can be told: it was read at an unknown moment between the two, and
    BusyBox tells whole seconds only. 0 where it may be right; None where it said nothing."""
    match = re.match(r"(\d{1,12})(?:\.(\d{1,9}))?(\D|$)", text)
    if match is None:
        return None
    exact = match[2] is not None
    low = int(match[1]) + (int(match[2]) / 10 ** len(match[2]) if exact else 0.0)
    high = low + (0.0 if exact else 1.0)
    first, last = began.astimezone(UTC).timestamp(), ended.astimezone(UTC).timestamp()
    if low > last:
        return round(low - last, 3)
    return round(high - first, 3) if high < first else 0.0


async def _supervised(session: HostSession, check: HostCheck) -> Mapping[str, Any]:
    """Whether a step runs under the supervisor, in a control group of its own, and where its files are."""
    attempt_id = f"check-{check.id}"
    ran = await session.run_attempt(attempt_id, Command(text=_PLACE, timeout=TIMEOUT))
    if ran.exit_code == 0:
        await session.forget_attempt(attempt_id)
    lines = ran.stdout.splitlines()
    if "rw-ran" not in lines:
        return {}
    # "<number>:<controllers>:<path>", and the last part of the path is the attempt's where it has a group of its own
    groups = [line for line in lines if re.match(r"\d+:", line)]
    return {
        "control_groups": any(attempt_id in line for line in groups),
        "supervisor_directory": visible(session.directory)[:_LONGEST],
    }


async def _become(session: HostSession) -> Mapping[str, Any]:
    """Whether commands run as root through sudo."""
    told = await session.probe(Command(text="id -u", timeout=TIMEOUT, become=True))
    works = told.exit_code == 0 and told.stdout.strip() == "0"
    why = first_line(told.stderr) or ("it did not answer in time" if told.exit_code is None else "no reason given")
    return {"become": works, "become_problem": "" if works else _told(why)}


def _user(text: str) -> Mapping[str, Any]:
    uid, _, name = text.strip().partition(" ")
    if not uid.isdecimal():
        raise Unreadable("id did not answer")
    return {"uid": int(uid), "user": visible(name)[:100]}


_USER = Fact("user", 'printf \'%s %s\\n\' "$(id -u)" "$(id -un 2>/dev/null)"', _user)


def _ready(host: Host, facts: HostFacts) -> bool:
    """Whether a run could work: an attempt ran under the supervisor, and sudo works where steps go through it."""
    lacking = set(facts.missing_tools) & set(SUPERVISOR_TOOLS)
    return facts.control_groups is not None and not lacking and not (host.become and facts.become is False)


def _hints(host: Host, facts: HostFacts) -> Iterator[str]:
    """What a person should know although the host answers."""
    if facts.become is False:
        wanted = "its steps run through sudo" if host.become else "steps with `become` fail here"
        yield f"sudo does not work for {facts.user or 'this user'} ({facts.become_problem}), and {wanted}."
    if facts.control_groups is None:
        yield "A step that only looks around did not run under the supervisor."
    lacking = [name for name in facts.missing_tools if name in SUPERVISOR_TOOLS]
    if lacking:
        yield f"No step can run without {', '.join(lacking)}."
    fewer = [name for name in facts.missing_tools if name not in SUPERVISOR_TOOLS]
    if fewer:
        yield f"Without {', '.join(fewer)} some facts and checks are missing; each is named where it is."
    if facts.control_groups is False:
        yield (
            "No control groups for this user: a process that clears its environment and makes its own session "
            "cannot be tied to its step when that is ended."
        )
    ahead = facts.clock_skew_seconds or 0.0
    if abs(ahead) > SKEW_WORTH_TELLING:
        yield f"Its clock is {abs(ahead):.0f} s {'ahead' if ahead > 0 else 'behind'}."
