"""`--check`: what a run would do, asked of the host without changing it.

The gate admits the version as for a run, but no intent is ever journaled, so nothing can be executed under a plan's id.
Of the guards only those are asked whose text is known to only read; the rest are listed with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from runwright.execution.commands import NotPossible, step_command
from runwright.execution.context import RunContext
from runwright.execution.frame import Frame
from runwright.execution.guards import Answer, ask_guard
from runwright.execution.request import RunRequest
from runwright.execution.state_capture import capture
from runwright.model.admission import AdmittedRunbook
from runwright.model.documents import IntegerParameter, RunbookDocument, SecretParameter, Step, StringParameter
from runwright.model.errors import Conflict, InvalidInput
from runwright.model.executions import AttemptRecord, Event, JournalEntry, Section, StepIntent, StepStatus
from runwright.model.plans import GuardAnswer, PlannedGuard, PlannedParameter, PlannedStep, Prediction
from runwright.model.ports.clock import Clock
from runwright.model.ports.gate import Gate
from runwright.model.ports.hosts import HostSession
from runwright.runbooks.parameters import ResolvedParameters, resolve
from runwright.runbooks.read_only import reading
from runwright.runbooks.risk import assess_command
from runwright.verification.verify import verify

HOLD = 0.5
"""Seconds between the verifier's two looks: a plan tells how it is now, not whether it lasts."""

_REFERENCE = re.compile(r"\$([a-z][a-z0-9_]*)")


class PlanJournal:
    """A `Journal` in which nothing can be written: of a plan nothing happens."""

    async def entries(self, execution_id: str) -> tuple[JournalEntry, ...]:
        return ()

    async def hold(self, execution_id: str, epoch: int) -> None:
        return None

    async def finish(
        self, intent: StepIntent, outcome: AttemptRecord | None, step_status: StepStatus | None, reason: str = ""
    ) -> None:
        raise Conflict("Found an outcome to journal for a plan.", allowed="Of a plan nothing is executed.")

    async def emit(self, event: Event) -> None:
        return None


async def make_plan(request: RunRequest, *, gate: Gate, session: HostSession, clock: Clock) -> dict[str, Any]:
    """The fields of a `PlanReport` that the version and the host tell.

    Raises GateRefused, also while a stop switch holds it, InvalidInput where the parameters do not fit, and
    HostUnreachable.
    """
    context = RunContext(request, gate=gate, journal=PlanJournal(), session=session, clock=clock)
    admitted = await gate.admit(request.execution_id)  # not through the context: a plan is not held, it says so
    if not admitted.permits(session.identity) or admitted.digest != request.runbook_ref.digest:
        raise Conflict("Found another host or version admitted than was asked for.")
    document = admitted.document
    resolved = resolve(
        document,
        subject=request.brief.typed_subject.model_dump(mode="json", exclude_none=True),
        host=request.host_attributes,
        given=request.parameters,
        client_id=request.client_id,
    )
    session.hide(resolved.secrets.values())
    state = await capture(session, request.brief, clock)
    verification = await verify(
        session, request.brief, None, resolved.environment(), resolved.values, clock, hold=HOLD, settle=0.0
    )
    planner = _Planner(context, admitted)
    frame = Frame(document, resolved, request.become)
    steps = await planner.section(Section.STEPS, frame, document.steps)
    steps += await planner.section(Section.ROLLBACK, frame, document.rollback)
    return {
        "parameters": _parameters(resolved),
        "steps": tuple(steps),
        "verify": tuple(check.id for check in document.verify),
        "state": state,
        "verification": verification,
    }


class _Planner:
    def __init__(self, context: RunContext, admitted: AdmittedRunbook) -> None:
        self._context = context
        self._admitted = admitted
        self._changed = False

    async def section(self, section: Section, frame: Frame, steps: tuple[Step, ...]) -> list[PlannedStep]:
        found: list[PlannedStep] = []
        for step in steps:
            planned = await self._step(section, frame, step)
            found.append(planned)
            self._changed = self._changed or planned.would in (Prediction.RUN, Prediction.UNKNOWN)
            if step.call is not None and planned.would is not Prediction.SKIP:
                found += self._called(section, frame.path(step), self._admitted.called(step.call.digest))
        return found

    async def _step(self, section: Section, frame: Frame, step: Step) -> PlannedStep:
        problem = _problem(step, frame)
        late = "it is asked only if the steps fail" if section is Section.ROLLBACK else ""
        guards = [
            await self._guard(frame, step, field, text, late)
            for field, text in (("only_if", step.only_if), ("unless", step.unless))
            if text is not None
        ]
        if step.until is not None:
            guards.append(PlannedGuard(field="until", text=step.until, reason="it is asked after the step"))
        would = _prediction(guards)
        if section is Section.ROLLBACK:
            would = Prediction.UNKNOWN
        elif problem and would is Prediction.RUN:
            would = Prediction.STOP
        return _planned(section, frame.path(step), step, frame, guards, would, self._changed, problem)

    async def _guard(self, frame: Frame, step: Step, field: str, text: str, late: str) -> PlannedGuard:
        if late:
            return PlannedGuard(field=field, text=text, reason=late)
        judged = reading(text, _plain(frame.document, frame.resolved))
        if not judged.only_reads:
            return PlannedGuard(
                field=field, text=text, reason=f"not evaluated: {judged.reason}", classes=judged.classes
            )
        answer = await ask_guard(self._context, frame, step, field, text)
        said = {Answer.YES: GuardAnswer.YES, Answer.NO: GuardAnswer.NO, Answer.ERROR: GuardAnswer.ERROR}
        return PlannedGuard(field=field, text=text, answer=said[answer.answer], reason=answer.reason)

    def _called(self, section: Section, path: str, document: RunbookDocument) -> Iterator[PlannedStep]:
        """The steps of a called runbook: what they are, not what they would do. Their values are made in the call."""
        for step in document.steps:
            guards = [
                PlannedGuard(field=field, text=text, reason="not evaluated: it is asked within the call")
                for field, text in (("only_if", step.only_if), ("unless", step.unless), ("until", step.until))
                if text is not None
            ]
            yield _planned(section, f"{path}/{step.id}", step, None, guards, Prediction.UNKNOWN, True, "")
            if step.call is not None:
                yield from self._called(section, f"{path}/{step.id}", self._admitted.called(step.call.digest))


def _planned(
    section: Section,
    path: str,
    step: Step,
    frame: Frame | None,
    guards: list[PlannedGuard],
    would: Prediction,
    after_changes: bool,
    problem: str,
) -> PlannedStep:
    return PlannedStep(
        id=path,
        name=step.name or "",
        section=section,
        kind=step.kind.value,
        command=described(step, frame.resolved.environment() if frame else {}),
        become=frame.becomes(step) if frame else bool(step.become),
        idempotent=step.is_idempotent,
        timeout=step.timeout,
        guards=tuple(guards),
        would=would,
        after_changes=after_changes,
        on_failure=str(step.on_failure),
        risk=assess_command(step.run).classes if step.run is not None else (),
        problem=problem,
    )


def _prediction(guards: list[PlannedGuard]) -> Prediction:
    """From the answers in the order in which the run asks: the first that decides ends it."""
    unknown = False
    for guard in guards:
        if guard.field == "until":
            continue
        if guard.answer is None:
            unknown = True
        elif guard.answer is GuardAnswer.ERROR:
            return Prediction.UNKNOWN if unknown else Prediction.STOP
        elif (guard.field, guard.answer) in (("only_if", GuardAnswer.NO), ("unless", GuardAnswer.YES)):
            return Prediction.SKIP
    return Prediction.UNKNOWN if unknown else Prediction.RUN


def _problem(step: Step, frame: Frame) -> str:
    """Why the step's values make no command, in a sentence."""
    if step.call is not None or step.ask is not None:
        return ""
    try:
        step_command(step, frame.resolved, become=frame.becomes(step))
    except (NotPossible, InvalidInput) as error:
        return str(error)
    return ""


def described(step: Step, values: Mapping[str, str]) -> str:
    """What a step does: sh text as approved, or a typed step in one line with the values of this run."""

    def filled(written: object) -> str:
        match = _REFERENCE.fullmatch(str(written))
        return values.get(match[1], str(written)) if match else str(written)

    if step.run is not None:
        return step.run
    if step.service is not None:
        enabled = {None: "", True: ", enabled", False: ", disabled"}[step.service.enabled]
        return f"service {filled(step.service.name)}: {step.service.state.value}{enabled}"
    if step.http is not None:
        http = step.http
        place = f"{filled(http.scheme)}://{filled(http.host)}:{filled(http.port)}{filled(http.path)}"
        return f"{http.method} {place}, wants {filled(http.status)}"
    if step.wait_for is not None:
        wait = step.wait_for
        for what in ("port", "path", "service", "run"):
            if (value := getattr(wait, what)) is not None:
                return f"wait up to {wait.for_:g} s for {what} {filled(value)}"
    if step.call is not None:
        return f"call {step.call.runbook} v{step.call.version} ({step.call.digest})"
    return f"ask a person: {step.ask.question}" if step.ask is not None else ""


def _parameters(resolved: ResolvedParameters) -> dict[str, PlannedParameter]:
    found = {name: PlannedParameter(value=value) for name, value in resolved.values.items()}
    found |= {name: PlannedParameter(secret=reference.name) for name, reference in resolved.secrets.items()}
    return found | {name: PlannedParameter() for name in resolved.absent}


def _plain(document: RunbookDocument, resolved: ResolvedParameters) -> Collection[str]:
    """Parameters whose values cannot be taken for an option."""
    found = set()
    for name, parameter in document.parameters.items():
        if isinstance(parameter, SecretParameter) or name in resolved.absent:
            continue
        value = resolved.values.get(name)
        if not isinstance(parameter, StringParameter | IntegerParameter) or not str(value).startswith("-"):
            found.add(name)
    return found
