"""Fixes and cheats on real systemd machines: the verifiers must tell them apart.

The table is data, `tests/cases/verification/cheats/<incident type>.yaml`: families (how to build and break
the thing) and cases (what is done to it, and the verdict that is due). Every case has units, ports and
directories of its own, so all of a machine's cases go through each phase at once; those `alone` follow.
A sample of every type runs by default; `RUNWRIGHT_ALL_CHEATS=1` runs the whole table and prints it.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from runwright.adapters.clock import SystemClock
from runwright.adapters.hosts.machines import NspawnMachines
from runwright.execution.state_capture import capture
from runwright.execution.state_diff import diff_states
from runwright.model.incidents import IncidentBrief
from runwright.model.ports.machines import Machine, MachineRequest
from runwright.model.states import HostState
from runwright.model.verdicts import Check, Verification
from runwright.verification.verify import verify

TABLE = Path(__file__).parent.parent / "cases" / "verification" / "cheats"
TYPES = ("service_crash", "disk_full", "high_cpu", "memory_leak", "cert_expiry", "backup_failure")
TOGETHER = """
reload() {
  asked=$(date +%s%N); exec 7>/run/reload.lock; flock 7
  [ "$(cat /run/reload.begun 2>/dev/null || echo 0)" -gt "$asked" ] ||
    { date +%s%N >/run/reload.begun; systemctl daemon-reload; }
  exec 7>&-
}
"""
"""Many cases that want systemd to read its files again at the same moment need it to do so only once."""
EVERYTHING = bool(os.environ.get("RUNWRIGHT_ALL_CHEATS"))


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    incident_type: str
    name: str
    fix: bool
    expect: str
    """`passed`, `failed`, `unverifiable`, or `not passed`."""
    reason: str
    setup: str
    does: str
    subject: dict[str, Any]
    quick: bool
    alone: bool
    port: int

    @property
    def brief(self) -> IncidentBrief:
        return IncidentBrief(incident_type=self.incident_type, subject=self.subject)


def load(incident_type: str, first_port: int) -> list[Case]:
    """The rows of one incident type."""
    head, *rows = list(YAML(typ="safe").load_all((TABLE / f"{incident_type}.yaml").read_text()))
    found = []
    for number, row in enumerate(rows):
        family = head["families"][row["family"]]
        port = first_port + number
        told = f"export n={row['name']} p={port}\n{TOGETHER}{head.get('prelude', '')}\n"
        fix = row.get("kind", "cheat") == "fix"
        subject = {key: _own(value, row["name"], port) for key, value in family["subject"].items()}
        found.append(
            Case(
                incident_type=incident_type,
                name=row["name"],
                fix=fix,
                expect=row.get("expect", "passed" if fix else "failed"),
                reason=row.get("reason", ""),
                setup=told + family["setup"],
                does=f"{told}{row['does']}\n:",  # a command that fails is part of some cheats
                subject=subject,
                quick=row.get("quick", False),
                alone=row.get("alone", False),
                port=port,
            )
        )
    return found


def _own(value: Any, name: str, port: int) -> Any:
    if isinstance(value, list):
        return [_own(one, name, port) for one in value]
    if not isinstance(value, str):
        return value
    return port if value == "$p" else value.replace("$n", name).replace("$p", str(port))


CASES = {kind: load(kind, 8100 + 100 * number) for number, kind in enumerate(TYPES)}
ROWS = [case for cases in CASES.values() for case in cases]


@dataclass
class Seen:
    """What came of a case."""

    case: Case
    before: HostState | None = None
    verdict: Verification | None = None
    after: HostState | None = None
    trouble: str = ""
    log: list[str] = field(default_factory=list)

    @property
    def check(self) -> Check | None:
        return self.verdict.checks[0] if self.verdict is not None else None

    @property
    def wrong(self) -> str:
        """What does not fit the case, in words; empty if all does."""
        check = self.check
        if check is None:
            return f"{self.case.name}: {self.trouble}"
        outcome = check.outcome.value
        due = outcome != "passed" if self.case.expect == "not passed" else outcome == self.case.expect
        if due and self.case.reason in check.reason:
            return ""
        return f"{self.case.name}: {outcome}, not {self.case.expect}: {check.reason}\n{check.evidence}\n{self.log}"


async def play(machine: Machine, cases: Sequence[Case]) -> list[Seen]:
    """Every phase for all cases at once: build and break, look, do what the case does, judge."""
    seen = [Seen(case) for case in cases]
    clock = SystemClock()

    async def script(one: Seen, text: str) -> None:
        result = await machine.script(text, 60.0)
        one.log.append(result.output[-600:])
        if result.exit_code != 0:
            one.trouble += f"{text.splitlines()[0]} ended with {result.exit_code}: {result.output[-2000:]}"

    async def look(one: Seen) -> None:
        one.before = await capture(machine.session, one.case.brief, clock)

    async def judge(one: Seen) -> None:
        one.verdict = await verify(
            machine.session, one.case.brief, None, {}, {}, clock, before=one.before, hold=2.0, settle=8.0
        )

    await asyncio.gather(*(script(one, one.case.setup) for one in seen))
    await asyncio.gather(*(look(one) for one in seen))
    await asyncio.gather(*(script(one, one.case.does) for one in seen))
    await asyncio.gather(*(judge(one) for one in seen if not one.trouble))
    return seen


async def play_all(machine: Machine, cases: Sequence[Case]) -> list[Seen]:
    """Those that can go together, then each of the others by itself."""
    seen = await play(machine, [case for case in cases if not case.alone])
    for case in cases:
        if case.alone:
            seen += await play(machine, [case])
    return seen


def report(seen: Sequence[Seen]) -> str:
    """The table, a line for each case."""
    lines = []
    for one in seen:
        check = one.check
        outcome = check.outcome.value if check is not None else "no verdict"
        kind = "fix  " if one.case.fix else "cheat"
        mark = "  " if not one.wrong else "! "
        reason = check.reason if check is not None else one.trouble
        lines.append(f"{mark}{one.case.incident_type:15} {kind} {one.case.name:32} {outcome:13} {reason[:110]}")
    return "\n".join(lines)


def machine_request() -> MachineRequest:
    return MachineRequest(memory_mb=1800, tasks=2000)


@pytest.mark.lab
@pytest.mark.skipif(EVERYTHING, reason="the whole table runs instead")
@pytest.mark.parametrize("kinds", [TYPES[:2], TYPES[2:]], ids=["services and disks", "the others"])
async def test_a_sample_of_every_type(tmp_path: Path, kinds: tuple[str, ...]) -> None:
    sample = [case for kind in kinds for case in CASES[kind] if case.quick]
    async with NspawnMachines(cache=tmp_path / "cache").boot(machine_request()) as machine:
        seen = await play_all(machine, sample)
        honest = next((one for one in seen if one.case.name == "honest"), None)
        if honest is not None:
            shows_in_the_diff(honest, await capture(machine.session, honest.case.brief, SystemClock()))
    assert "\n".join(one.wrong for one in seen if one.wrong) == ""
    for one in seen:
        if one.case.fix:
            assert one.verdict is not None
            assert one.verdict.confidence >= 0.7
            assert one.verdict.explanation.startswith("Passed: ")


def shows_in_the_diff(honest: Seen, after: HostState) -> None:
    """What a sound fix changed is told in words."""
    assert honest.before is not None
    assert honest.verdict is not None
    texts = [change.text for change in diff_states(honest.before, after)]
    assert "service honest: failed -> active" in texts
    assert f"port {honest.case.port} opened by python3" in texts
    assert any("honest.service" in line for line in honest.before.journal)
    assert honest.verdict.confidence == 0.95


@pytest.mark.lab
@pytest.mark.skipif(not EVERYTHING, reason="set RUNWRIGHT_ALL_CHEATS=1 for the whole table")
@pytest.mark.parametrize("kind", TYPES)
async def test_the_whole_table(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    async with NspawnMachines(cache=tmp_path / "cache").boot(machine_request()) as machine:
        seen = await play_all(machine, CASES[kind])
    with capsys.disabled():
        print(f"\n{report(seen)}")  # noqa: T201 - the table is what this run is for
    assert "\n".join(one.wrong for one in seen if one.wrong) == ""


def test_the_table_is_broad() -> None:
    cheats = Counter(case.incident_type for case in ROWS if not case.fix)
    fixes = Counter(case.incident_type for case in ROWS if case.fix)
    quick = Counter(case.incident_type for case in ROWS if case.quick and not case.fix)
    assert set(cheats) == set(fixes) == set(quick) == set(TYPES)
    assert min(cheats.values()) >= 10
    assert min(fixes.values()) >= 3
    assert sum(cheats.values()) >= 100
    assert sum(quick.values()) >= 25
    assert len({case.name for case in ROWS}) == len(ROWS)


def test_the_page_counts_as_the_table_does() -> None:
    page = (Path(__file__).parents[2] / "docs" / "explanation" / "what-verified-means.md").read_text()
    for kind, cases in CASES.items():
        cheats = [case for case in cases if not case.fix]
        person = sum(case.expect != "failed" for case in cheats)
        assert f"| `{kind}` | {len(cheats)} | {person} | {len(cases) - len(cheats)} |" in page


def test_every_cheat_is_due_to_fail_or_for_a_person() -> None:
    due = Counter(case.expect for case in ROWS if not case.fix)
    assert "passed" not in due
    assert due["failed"] >= 0.85 * sum(due.values())
    assert all(case.expect == "passed" for case in ROWS if case.fix)
