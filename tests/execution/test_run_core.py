"""The core on this machine: the gate's word, cancel, recovery after a crash, and what survives in checkpoints."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from execution.conftest import MakeRun
from runwright.execution.attempts import attempt_id
from runwright.execution.run import run_runbook
from runwright.model.errors import Conflict, GateReason, GateRefused, Held, HostUnreachable
from runwright.model.executions import EventKind, ExecutionStatus, Section, StepStatus
from runwright.model.ports.hosts import AttemptState, Command

TWO = """\
steps:
  - {id: first, run: 'echo first >> "$log"'}
  - {id: second, run: 'echo second >> "$log"'}
rollback:
  - {id: undo, run: 'echo undone >> "$log"'}
"""


async def test_every_attempt_is_admitted_and_journaled_before_it_runs(make_run: MakeRun) -> None:
    run = make_run(TWO)
    result = await run.go()
    assert result.status is ExecutionStatus.SUCCESS
    intents = [intent.step_id if intent else None for intent in run.gate.asked]
    assert intents == [None, "first", "second", None], "before all, before each step, before the checks"
    entries = await run.journal.entries(result.execution_id)
    assert [entry.intent.attempt_id for entry in entries] == [
        attempt_id(result.execution_id, Section.STEPS, step, 1) for step in ("first", "second")
    ]
    assert [entry.step_status for entry in entries] == [StepStatus.OK, StepStatus.OK]
    assert [entry.outcome for entry in entries] == [step.attempts[0] for step in result.steps]


async def test_the_result_holds_both_states_and_the_verdict(make_run: MakeRun) -> None:
    run = make_run(TWO)
    result = await run.go()
    assert result.state_before is not None
    assert result.state_before.kernel
    assert result.state_after is not None
    assert result.verification is not None
    assert result.verification.checks
    assert result.completed_at is not None
    assert result.duration_seconds == (result.completed_at - result.started_at).total_seconds()
    kinds = [event.kind for event in run.journal.events]
    assert kinds.count(EventKind.STATE_CAPTURED) == 2
    assert kinds.count(EventKind.STEP_STARTED) == kinds.count(EventKind.STEP_FINISHED) == 2
    assert EventKind.CHECK_FINISHED in kinds


async def test_output_is_shown_live(make_run: MakeRun) -> None:
    run = make_run("steps:\n  - {id: speaks, run: 'echo out; echo err >&2'}\n")
    await run.go()
    shown = {
        (event.data["stream"], event.data["text"])
        for event in run.journal.events
        if event.kind is EventKind.STEP_OUTPUT
    }
    assert shown == {("stdout", "out\n"), ("stderr", "err\n")}


async def test_a_gate_that_refuses_at_the_start_leaves_the_host_alone(make_run: MakeRun) -> None:
    run = make_run(TWO)
    run.gate.planned = {1: GateRefused("Nothing is live.", reason=GateReason.NO_ACTIVATION)}
    result = await run.go()
    assert result.status is ExecutionStatus.FAILURE
    assert result.error is not None
    assert (result.error.code, result.error.extra) == ("gate-refused", {"reason": "no_activation"})
    assert (result.steps, result.state_before, run.log()) == ((), None, [])


async def test_a_gate_that_refuses_in_between_stops_all_that_is_left(make_run: MakeRun) -> None:
    run = make_run(TWO)
    run.gate.planned = {3: GateRefused("The approval was revoked.", reason=GateReason.REVOKED)}
    result = await run.go()
    assert result.status is ExecutionStatus.FAILURE
    assert result.error is not None
    assert result.error.extra == {"reason": "revoked"}
    assert [step.id for step in result.steps] == ["first"]
    assert run.log() == ["first"], "neither the second step nor rollback may run"
    assert result.state_after is not None
    assert result.verification is None


async def test_content_admitted_for_another_machine_does_not_run(make_run: MakeRun) -> None:
    run = make_run(TWO)
    bare = run.session._session  # type: ignore[attr-defined]  # the real session, which is no lab machine
    result = await run_runbook(run.request, gate=run.gate, journal=run.journal, session=bare, clock=run.clock)
    assert result.error is not None
    assert (result.error.code, run.log()) == ("gate-refused", [])


async def test_other_content_than_asked_for_does_not_run(make_run: MakeRun) -> None:
    run, other = make_run(TWO), make_run(TWO.replace("second", "changed"))
    run.gate.loaded = other.gate.loaded
    result = await run.go()
    assert result.error is not None
    assert (result.error.extra, run.log()) == ({"reason": "mismatch"}, [])


async def test_a_held_run_waits_and_goes_on(make_run: MakeRun) -> None:
    run = make_run(TWO)
    run.gate.planned = {3: Held("Stop switch."), 4: Held("Stop switch.")}
    before = run.clock.now()
    result = await run.go()
    assert result.status is ExecutionStatus.SUCCESS
    assert (run.clock.now() - before).total_seconds() >= 2
    statuses = [e.data["status"] for e in run.journal.events if e.kind is EventKind.EXECUTION_STATUS]
    assert statuses == ["held", "running"]
    assert run.log() == ["first", "second"]


async def test_a_held_run_can_be_cancelled(make_run: MakeRun) -> None:
    run = make_run(TWO)
    run.gate.planned = {number: Held("Stop switch.") for number in range(2, 100)}

    async def cancelled() -> bool:
        return len(run.gate.asked) > 5

    result = await run.go(cancelled=cancelled)
    assert (result.status, run.log()) == (ExecutionStatus.CANCELLED, [])


async def test_a_cancel_ends_the_running_tree(make_run: MakeRun, tmp_path: Path) -> None:
    text = 'steps:\n  - {id: long, run: \'echo $$ >> "$log"; sleep 600 & echo $! >> "$log"; wait\'}\n' + (
        "  - {id: never, run: 'echo never >> \"$log\"'}\n"
    )
    run = make_run(text)

    async def cancelled() -> bool:
        return len(run.log()) == 2

    result = await run.go(cancelled=cancelled)
    assert result.status is ExecutionStatus.CANCELLED
    assert [(step.id, step.status) for step in result.steps] == [("long", StepStatus.INTERRUPTED)]
    assert "processes were ended" in result.steps[0].reason
    assert all(not _lives(int(pid)) for pid in run.log())
    assert result.state_after is not None


def _lives(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().split(") ")[1][0] != "Z"
    except FileNotFoundError:
        return False


async def test_a_finished_attempt_is_adopted_not_repeated(make_run: MakeRun) -> None:
    run = make_run(TWO)
    intent = run.intent("first")
    await run.journal.intend(intent)
    text = 'echo first >> "$log"; echo said; exit 0'
    command = Command(text=text, parameters={"log": str(run.log_file)}, timeout=60)
    await run.session.run_attempt(intent.attempt_id, command)
    result = await run.go(epoch=2)
    assert result.status is ExecutionStatus.SUCCESS
    assert run.log() == ["first", "second"]
    assert result.steps[0].attempts[0].stdout == "said\n"


async def test_a_running_attempt_is_waited_for(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(TWO)
    go = tmp_path / "go"
    text = f'echo first >> "$log"; until test -e {go}; do sleep 0.05; done; exit 0'
    intent = run.intent("first")
    await run.journal.intend(intent)
    command = Command(text=text, parameters={"log": str(run.log_file)}, timeout=60)
    earlier = asyncio.create_task(run.session.run_attempt(intent.attempt_id, command))
    while not run.log():
        await asyncio.sleep(0.01)
    resumed = asyncio.create_task(run.go(epoch=2))
    while not run.checkpoints:
        await asyncio.sleep(0.01)
    go.touch()
    result = await resumed
    await earlier
    assert (result.status, run.log()) == (ExecutionStatus.SUCCESS, ["first", "second"])


@pytest.mark.parametrize(
    ("fields", "status", "log"),
    [
        ("idempotent: true", "success", ["first", "second"]),
        ("unless: 'false'", "success", ["first", "second"]),
        ("unless: 'true'", "success", ["second"]),
        ("unless: 'exit 127'", "interrupted", []),
        ("timeout: 9s", "interrupted", []),
    ],
)
async def test_an_unknown_attempt_runs_again_only_where_that_is_safe(
    make_run: MakeRun, fields: str, status: str, log: list[str]
) -> None:
    run = make_run(TWO.replace("{id: first,", "{id: first, " + fields + ","))
    await run.journal.intend(run.intent("first"))
    result = await run.go(epoch=2)
    assert (result.status.value, run.log()) == (status, log)
    if status == "interrupted":
        assert result.steps[0].status is StepStatus.INTERRUPTED
        assert result.error is not None
        assert "person" in result.error.message
        again = await run.go(epoch=3)
        assert (again.status, again.steps) == (result.status, result.steps), "it stays so"


async def test_decided_steps_are_taken_from_the_journal(make_run: MakeRun) -> None:
    run = make_run(TWO)
    first = await run.go()
    again = await run.go(epoch=2, earlier=run.checkpoints[-1])
    assert run.log() == ["first", "second"]
    assert again.steps == first.steps
    assert again.state_before == first.state_before
    assert again.verification == first.verification


async def test_a_skip_is_remembered_even_if_its_guard_would_say_otherwise_later(make_run: MakeRun) -> None:
    run = make_run(
        "steps:\n  - {id: skips, only_if: 'test -e \"$log\"', run: 'echo skips >> \"$log\"'}\n"
        "  - {id: writes, run: 'echo writes >> \"$log\"'}\n"
        "  - {id: last, run: 'echo last >> \"$log\"'}\n"
    )
    run.gate.planned = {4: RuntimeError("killed before the last step")}
    with pytest.raises(RuntimeError):
        await run.go()
    result = await run.go(epoch=2, earlier=run.checkpoints[-1])
    assert [step.status for step in result.steps] == [StepStatus.SKIPPED, StepStatus.OK, StepStatus.OK]
    assert run.log() == ["writes", "last"]


async def test_the_verdict_before_a_rollback_is_remembered(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(
        "steps:\n  - {id: first, run: 'echo first >> \"$log\"'}\n"
        f"verify:\n  - {{id: seen, run: 'test -e {tmp_path}/undone'}}\n"
        f"rollback:\n  - {{id: undo, run: 'touch {tmp_path}/undone'}}\n  - {{id: last, run: 'true'}}\n"
    )
    run.gate.planned = {5: RuntimeError("killed before the last step of rollback")}
    with pytest.raises(RuntimeError):
        await run.go()
    result = await run.go(epoch=2, earlier=run.checkpoints[-1])
    assert result.status is ExecutionStatus.FAILURE, "rollback made the check true, which heals nothing"
    assert [step.id for step in result.steps] == ["first", "undo", "last"]
    assert result.verification_after_rollback is not None
    assert result.verification_after_rollback.checks[-1].outcome.value == "passed"


async def test_a_host_lost_in_the_middle_is_an_open_question_until_it_is_back(make_run: MakeRun) -> None:
    run = make_run(TWO)
    real = run.session.run_attempt

    async def lost(attempt: str, command: Command, sink: object = None) -> object:
        await real(attempt, command)
        raise HostUnreachable("The way to the host was cut.")

    run.session.run_attempt = lost  # type: ignore[method-assign, assignment]
    result = await run.go()
    assert result.status is ExecutionStatus.INTERRUPTED
    assert result.error is not None
    assert (result.error.code, result.error.step) == ("host-unreachable", "first")
    run.session.run_attempt = real  # type: ignore[method-assign]
    result = await run.go(earlier=result)
    assert (result.status, run.log()) == (ExecutionStatus.SUCCESS, ["first", "second"])


async def test_a_worker_that_was_overtaken_stops(make_run: MakeRun) -> None:
    run = make_run(TWO)
    run.journal.claim(run.request.execution_id, 2)
    with pytest.raises(Conflict, match="taken over"):
        await run.go(epoch=1)
    assert run.log() == []


async def test_the_supervisors_files_are_gone_after_the_run(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(TWO)
    result = await run.go()
    for step in ("first", "second"):
        status = await run.session.attempt_status(attempt_id(result.execution_id, Section.STEPS, step, 1))
        assert status.state is AttemptState.UNKNOWN


async def test_a_secret_that_is_not_there_fails_its_step(make_run: MakeRun) -> None:
    run = make_run(
        "schema: runwright/v1\nid: RB-TEST-001\nname: A test\nincident_types: [disk_full]\nparameters:\n"
        "  log: {type: string, from: caller}\n  token: {type: secret, from: secret.absent}\n"
        'steps:\n  - {id: first, run: \'echo "$token" >> "$log"\'}\n'
    )
    result = await run.go()
    assert (result.status, run.log()) == (ExecutionStatus.FAILURE, [])
    assert result.steps[0].status is StepStatus.FAILED
    assert "absent" in result.steps[0].reason
