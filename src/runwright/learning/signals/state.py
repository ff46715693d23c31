"""Signals from captured states and checks: what did not change, what came back, what else is wrong."""

from __future__ import annotations

from collections.abc import Iterator

from runwright.learning.signals.subjects import UNREAL_FILESYSTEMS, SubjectView, is_type, stem_of, unit_of, view
from runwright.model.diagnoses import Place, Signal, SignalKind
from runwright.model.executions import ExecutionResult, StepStatus
from runwright.model.incidents import IncidentType
from runwright.model.states import HostState, ServiceFact
from runwright.model.verdicts import VerificationOutcome

FULL_PERCENT = 97.0
"""Use of a file system above which it counts as a symptom of its own."""

BUSY_PERCENT = 80.0
"""Processor use of one process, in percent of one core, that is a symptom of its own."""

LOW_MEMORY = 0.05
"""Share of memory still available below which a memory leak is suspected."""

GOOD_STATES = frozenset({"active", "reloading"})


def _signal(kind: SignalKind, path: str, text: str, **facts: str) -> Signal:
    return Signal(kind=kind, place=Place(path=path), excerpt=text[:400], facts=facts)


def _health(view_: SubjectView, state: HostState | None) -> bool | None:
    """Whether the subject looks healthy in a state; None where the state cannot say."""
    if state is None:
        return None
    if is_type(view_, IncidentType.SERVICE_CRASH):
        service = view_.service(state)
        if service is None:
            return None
        if service.active not in GOOD_STATES or service.sub in ("auto-restart", "exited", "dead"):
            return False
        if view_.port is not None and state.ports:
            return any(port.port == view_.port for port in state.ports)
        return None if view_.url is not None else True
    if is_type(view_, IncidentType.DISK_FULL):
        disk = view_.disk(state)
        return None if disk is None else not view_.disk_is_full(disk)
    if is_type(view_, IncidentType.HIGH_CPU) and state.processes:
        limit = view_.threshold if view_.threshold is not None else BUSY_PERCENT
        return not any(view_.owns(process, state) and process.cpu_percent >= limit for process in state.processes)
    if is_type(view_, IncidentType.MEMORY_LEAK) and state.processes and view_.limit_mb is not None:
        limit_kb = view_.limit_mb * 1024
        return not any(view_.owns(process, state) and process.rss_kb >= limit_kb for process in state.processes)
    return None


def _subject_path(view_: SubjectView) -> str:
    if view_.unit is not None:
        return f"services.{view_.unit}"
    return f"disks.{view_.mount}" if view_.mount is not None else "processes"


def _describe(view_: SubjectView, state: HostState) -> str:
    service = view_.service(state)
    if service is not None:
        return f"{service.name} is {service.active} ({service.sub or 'no substate'})"
    disk = view_.disk(state)
    if disk is not None:
        return f"{disk.mount} is {disk.used_percent:.0f}% full"
    return "the subject is as it was"


def _presence(result: ExecutionResult, view_: SubjectView) -> Iterator[Signal]:
    before = result.state_before
    if before is None:
        return
    if is_type(view_, IncidentType.DISK_FULL) and before.disks and view_.disk(before) is None:
        text = f"no file system is mounted at {view_.mount}"
        yield _signal(SignalKind.SUBJECT_ABSENT, f"state_before.disks.{view_.mount}", text, mount=str(view_.mount))
    service = view_.service(before)
    if service is not None and (service.active == "not-found" or service.sub == "not-found"):
        path = f"state_before.services.{service.name}"
        yield _signal(SignalKind.SUBJECT_ABSENT, path, f"{service.name} does not exist here", unit=service.name)


def _progress(result: ExecutionResult, view_: SubjectView) -> Iterator[Signal]:
    before, after = result.state_before, result.state_after
    was, now = _health(view_, before), _health(view_, after)
    path = _subject_path(view_)
    if was is True and before is not None:
        text = f"before the run: {_describe(view_, before)}"
        yield _signal(SignalKind.SUBJECT_HEALTHY, f"state_before.{path}", text)
    if now is not False or after is None or was is not False:
        return
    moved = _touched(result, view_)
    if moved is not None:
        text = f"step {moved} changed it, and then: {_describe(view_, after)}"
        yield _signal(SignalKind.STATE_REVERTED, f"state_after.{path}", text, step=moved)
    elif result.steps and all(step.status in (StepStatus.OK, StepStatus.SKIPPED) for step in result.steps):
        text = f"every step succeeded, and still: {_describe(view_, after)}"
        yield _signal(SignalKind.STATE_UNCHANGED, f"state_after.{path}", text)


def _touched(result: ExecutionResult, view_: SubjectView) -> str | None:
    """The step that brought the subject up (as seen then), though it is down now."""
    if view_.unit is None:
        return None
    stem = stem_of(view_.unit)
    for step in result.steps:
        for change in step.state_changes:
            if f"services.{stem}" in change.path and change.after in GOOD_STATES:
                return step.id
    started = [step for step in result.steps if step.kind == "service" and step.status is StepStatus.OK]
    after = view_.service(result.state_after)
    crashed = after is not None and (after.active == "failed" or after.sub == "auto-restart")
    return started[-1].id if started and crashed else None


def _other_units(state: HostState, name: str, view_: SubjectView) -> Iterator[Signal]:
    own = unit_of(view_.unit) if view_.unit is not None else None
    for unit in state.failed_units:
        if unit_of(unit) == own:
            text = f"{unit} is in the failed state"
            yield _signal(SignalKind.UNIT_FAILED, f"{name}.failed_units.{unit}", text, unit=unit)
        else:
            yield _signal(
                SignalKind.OTHER_SYMPTOM,
                f"{name}.failed_units.{unit}",
                f"another unit failed: {unit}",
                incident_type=IncidentType.SERVICE_CRASH.value,
                unit=unit,
            )


def _other_disks(state: HostState, name: str, view_: SubjectView) -> Iterator[Signal]:
    for disk in state.disks:
        if disk.filesystem in UNREAL_FILESYSTEMS or disk.size_kb <= 0 or disk.mount == view_.mount:
            continue
        full = disk.used_percent >= FULL_PERCENT
        spent = disk.inodes_used_percent is not None and disk.inodes_used_percent >= FULL_PERCENT
        if full or spent:
            what = f"{disk.used_percent:.0f}% full" if full else f"out of inodes ({disk.inodes_used_percent:.0f}%)"
            kind = IncidentType.DISK_FULL.value
            path = f"{name}.disks.{disk.mount}"
            yield _signal(
                SignalKind.OTHER_SYMPTOM, path, f"{disk.mount} is {what}", incident_type=kind, mount=disk.mount
            )


def _other_processes(state: HostState, name: str, view_: SubjectView) -> Iterator[Signal]:
    for process in state.processes:
        if process.cpu_percent >= BUSY_PERCENT and not view_.owns(process, state):
            text = f"process {process.name} uses {process.cpu_percent:.0f}% of a core"
            kind = IncidentType.HIGH_CPU.value
            path = f"{name}.processes.{process.name}"
            yield _signal(SignalKind.OTHER_SYMPTOM, path, text, incident_type=kind, process=process.name)
    memory = state.memory
    if memory is not None and memory.total_kb > 0 and memory.available_kb / memory.total_kb < LOW_MEMORY:
        text = f"{memory.available_kb // 1024} MB of {memory.total_kb // 1024} MB memory are left"
        largest = max(state.processes, key=lambda item: item.rss_kb, default=None)
        facts = {"process": largest.name} if largest is not None else {}
        kind = IncidentType.MEMORY_LEAK.value
        yield _signal(SignalKind.OTHER_SYMPTOM, f"{name}.memory", text, incident_type=kind, **facts)


def _others(result: ExecutionResult, view_: SubjectView) -> Iterator[Signal]:
    name = "state_after" if result.state_after is not None else "state_before"
    state = result.state_after if result.state_after is not None else result.state_before
    if state is None:
        return
    own = {"disks": IncidentType.DISK_FULL, "processes": IncidentType.HIGH_CPU}
    yield from _other_units(state, name, view_)
    yield from _other_disks(state, name, view_)
    for signal in _other_processes(state, name, view_):
        same = signal.facts["incident_type"] == view_.incident_type
        if not same or own["processes"].value == view_.incident_type or "process" in signal.facts:
            yield signal


def _slow(result: ExecutionResult, view_: SubjectView) -> Iterator[Signal]:
    service: ServiceFact | None = view_.service(result.state_after)
    if service is not None and service.active == "activating" and service.sub not in ("auto-restart",):
        path = f"state_after.services.{service.name}"
        text = f"{service.name} was still {service.active} ({service.sub}) when it was looked at"
        yield _signal(SignalKind.TIMED_OUT, path, text, by="verification", progress="yes")


def _checks(result: ExecutionResult) -> Iterator[Signal]:
    if result.verification is None:
        return
    kinds = {
        VerificationOutcome.FAILED: SignalKind.CHECK_FAILED,
        VerificationOutcome.UNVERIFIABLE: SignalKind.CHECK_UNVERIFIABLE,
    }
    for check in result.verification.checks:
        if check.outcome in kinds:
            path = f"verification.checks.{check.id}"
            yield _signal(kinds[check.outcome], path, f"{check.id}: {check.reason}", check=check.id)


def observations(result: ExecutionResult) -> Iterator[Signal]:
    """All signals that come from states and checks rather than from lines."""
    view_ = view(result)
    yield from _presence(result, view_)
    yield from _progress(result, view_)
    yield from _slow(result, view_)
    yield from _others(result, view_)
    yield from _checks(result)
