"""The combined verdict: settling, holding, the table of combination, and a confidence that is explained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runwright.model.documents import RunbookDocument
from runwright.model.incidents import IncidentBrief
from runwright.model.ports.clock import Clock
from runwright.model.ports.hosts import Command, HostSession, ProbeResult
from runwright.model.states import HostState
from runwright.model.verdicts import Check, Verification, VerificationOutcome
from runwright.verification.verifier import NotYet
from runwright.verification.verify import verify

DISK = IncidentBrief(incident_type="disk_full", subject={"mount": "/", "threshold_percent": 100})
"""Over on any machine: nothing is fuller than full."""
CROWDED = IncidentBrief(incident_type="disk_full", subject={"mount": "/", "threshold_percent": 0.001})
NOWHERE = IncidentBrief(incident_type="disk_full", subject={"mount": "/no/such/mount"})


def document(*entries: dict[str, Any]) -> RunbookDocument:
    return RunbookDocument.model_validate(
        {
            "schema": "runwright/v1",
            "id": "RB-TEST-001",
            "name": "A test",
            "incident_types": ("disk_full",),
            "steps": ({"id": "nothing", "run": "true"},),
            "verify": entries,
        }
    )


async def judge(
    session: HostSession, clock: Clock, brief: IncidentBrief, *entries: dict[str, Any], **given: Any
) -> Verification:
    return await verify(session, brief, document(*entries), {}, {}, clock, **given)


P, F, U = VerificationOutcome.PASSED, VerificationOutcome.FAILED, VerificationOutcome.UNVERIFIABLE


@pytest.mark.parametrize(
    ("brief", "command", "expected"),
    [
        (DISK, "true", P),
        (DISK, "false", F),
        (DISK, "exit 127", U),
        (CROWDED, "true", F),
        (CROWDED, "exit 127", F),
        (NOWHERE, "true", U),
        (NOWHERE, "false", F),
    ],
)
async def test_the_verifier_and_the_own_checks_are_combined(
    session: HostSession, clock: Clock, brief: IncidentBrief, command: str, expected: VerificationOutcome
) -> None:
    verdict = await judge(session, clock, brief, {"id": "own", "run": command})
    assert verdict.outcome is expected
    assert [check.id for check in verdict.checks] == ["verifier-disk-full", "own"]
    assert verdict.method == "verifier:disk_full+run"
    assert all(check.reason for check in verdict.checks)


async def test_without_own_checks_the_verifier_judges_alone(session: HostSession, clock: Clock) -> None:
    verdict = await verify(session, DISK, None, {}, {}, clock)
    assert (verdict.outcome, len(verdict.checks)) == (P, 1)
    assert "Still so after 3.0 s." in verdict.checks[0].reason


async def test_what_does_not_hold_fails(session: HostSession, clock: Clock, tmp_path: Path) -> None:
    """True at the first look, false at the second: a restart loop as a command sees it."""
    once = f"test ! -e {tmp_path}/seen && touch {tmp_path}/seen"
    verdict = await judge(session, clock, DISK, {"id": "own", "run": once})
    assert verdict.outcome is F
    assert "it had not failed at first" in verdict.checks[1].reason


@pytest.mark.parametrize(("hold", "slept"), [(None, 3.0), (7.0, 7.0), (1.0, 3.0)])
async def test_the_hold_times_overlap(session: HostSession, clock: Clock, hold: float | None, slept: float) -> None:
    entries = [{"id": "own", "run": "true", **({} if hold is None else {"hold": hold})}]
    verdict = await judge(session, clock, DISK, *entries, {"id": "other", "run": "true"})
    assert verdict.outcome is P
    assert clock.monotonic() == pytest.approx(slept)


async def test_a_hold_of_nothing_is_one_look(session: HostSession, clock: Clock, tmp_path: Path) -> None:
    counting = f"echo . >>{tmp_path}/looks"
    verdict = await judge(session, clock, DISK, {"id": "own", "run": counting, "hold": 0.0})
    assert (tmp_path / "looks").read_text().count(".") == 1
    assert verdict.checks[1].reason.endswith("Seen once.")
    assert "not all of it seen twice" in verdict.explanation


async def test_once_a_check_failed_nothing_is_waited_for(session: HostSession, clock: Clock) -> None:
    verdict = await judge(session, clock, DISK, {"id": "own", "run": "false"})
    assert clock.monotonic() == 0.0
    assert "not held, because another check failed" in verdict.checks[0].reason


class Settling:
    """A host without systemd whose port opens at the n-th look; everything is asked of it as of a real one."""

    def __init__(self, clock: Clock, opens_at: int) -> None:
        self._clock, self._opens_at, self.looks = clock, opens_at, 0

    async def probe(self, command: Command) -> ProbeResult:
        self.looks += 1
        row = " 0: 0100007F:1F90 00000000:0000 0A 0:0 0:0 0 0 0 77 1\n" if self.looks >= self._opens_at else ""
        token = command.parameters["rw_token"]
        text = "".join(
            f"\n{token}{{{name}\n{said}\n{token}}}{name} 0\n"
            for name, said in (("unit", "rw-init=init\n"), ("port", row))
        )
        return ProbeResult(exit_code=0, stdout=text, stderr="", seconds=0.0, ended_at=self._clock.now())


@pytest.mark.parametrize(("opens_at", "expected"), [(1, P), (4, P), (100, F)])
async def test_a_service_that_is_starting_is_given_its_time(
    clock: Clock, opens_at: int, expected: VerificationOutcome
) -> None:
    brief = IncidentBrief(incident_type="service_crash", subject={"service": "shopd", "port": 8080})
    verdict = await verify(Settling(clock, opens_at), brief, None, {}, {}, clock)  # type: ignore[arg-type]  # probe only
    assert verdict.outcome is expected
    assert clock.monotonic() <= 8.0


async def test_each_check_is_told_once_in_its_final_form(session: HostSession, clock: Clock) -> None:
    told: list[Check] = []

    async def on_check(check: Check) -> None:
        told.append(check)

    verdict = await judge(session, clock, DISK, {"id": "own", "run": "true"}, on_check=on_check)
    assert tuple(told) == verdict.checks


async def test_the_confidence_grows_with_evidence_and_is_explained(session: HostSession, clock: Clock) -> None:
    alone = await verify(session, DISK, None, {}, {}, clock)
    before = HostState(captured_at="2026-01-05T09:00:00Z")
    both = await judge(session, clock, DISK, {"id": "own", "run": "true"}, before=before)
    unknown = await judge(session, clock, NOWHERE)
    assert 0 < alone.confidence < both.confidence <= 1
    assert both.explanation == (
        "Passed: 2 kinds of evidence (file system figures, the runbook's own command), held 3.0 s, "
        "compared with the state before."
    )
    assert (unknown.confidence, unknown.explanation.startswith("Unverifiable: 1 of 1 checks")) == (0.0, True)


async def test_an_unknown_incident_type_is_unverifiable(session: HostSession, clock: Clock) -> None:
    finding = NotYet("quota_exceeded").judge(DISK.typed_subject, None, [])
    assert (finding.outcome, finding.reason) == (U, "There is no verifier for quota_exceeded yet.")
