"""Where a step stands: which document it is of, whose parameters it sees, and its path from the run's own document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from runwright.model.admission import AdmittedRunbook
from runwright.model.documents import ParameterValue, RunbookDocument, Step
from runwright.model.errors import GateReason, GateRefused
from runwright.model.executions import Section
from runwright.model.ids import digest
from runwright.runbooks.parameters import ResolvedParameters

AGAIN = "~"
"""Between a call's id and the number of its attempt, from the second on: `restore~2/copy`."""


@dataclass
class Frame:
    """The run's own document, or one that a step calls. An answer changes `resolved` while the frame is walked."""

    document: RunbookDocument
    resolved: ResolvedParameters
    become: bool
    """For steps that do not say themselves."""
    prefix: str = ""
    """`` for the run's own document, `restore/` within what the step `restore` calls."""
    ends_at: float | None = None
    """Reading of the monotonic clock at which the time of the call is up."""

    def path(self, step: Step) -> str:
        """The step's id in the journal and in telemetry; its own in the run's own document."""
        return self.prefix + step.id

    def becomes(self, step: Step) -> bool:
        return self.become if step.become is None else step.become

    def answer(self, name: str, value: ParameterValue) -> None:
        """From now on steps of this document see the answer of a person."""
        resolved = self.resolved
        absent = tuple(other for other in resolved.absent if other != name)
        self.resolved = replace(resolved, values={**resolved.values, name: value}, absent=absent)


def called_prefix(path: str, attempt: int) -> str:
    """What the paths of a called runbook's steps begin with."""
    return f"{path}/" if attempt == 1 else f"{path}{AGAIN}{attempt}/"


def attempt_id(execution_id: str, section: Section, path: str, number: int) -> str:
    """The id that the host's supervisor knows an attempt by; the same after any crash.

    It is a file name on the host, so a path within calls is a digest of it before the step's own id. No other
    step can have such a name: ids have no capital letters.
    """
    if "/" in path:
        path = f"C{digest(path).removeprefix('sha256:')[:20]}-{path.rpartition('/')[2]}"
    return f"{execution_id}.{section.value}.{path}.{number}"


def find_step(admitted: AdmittedRunbook, section: Section, path: str) -> Step:
    """The step in what the gate returned for this very attempt, through every call on its path.

    Raises GateRefused where it is not there.
    """
    document = admitted.document
    listed = document.rollback if section is Section.ROLLBACK else document.steps
    *calls, own = path.split("/")
    for name in calls:
        call = _named(listed, name.partition(AGAIN)[0], path).call
        if call is None:
            raise _missing(path)
        document = admitted.called(call.digest)
        listed = (*document.steps, *document.rollback)
    return _named(listed, own, path)


def given_to(call_parameters: Mapping[str, ParameterValue], frame: Frame) -> dict[str, ParameterValue]:
    """What a call hands over: written values, and `$name` for the caller's own, left out where it has none."""
    given: dict[str, ParameterValue] = {}
    for name, written in call_parameters.items():
        reference = written[1:] if isinstance(written, str) and written.startswith("$") else None
        if reference is None or reference not in frame.document.parameters:
            given[name] = written
        elif reference in frame.resolved.values:
            given[name] = frame.resolved.values[reference]
    return given


def _named(steps: tuple[Step, ...], name: str, path: str) -> Step:
    for step in steps:
        if step.id == name:
            return step
    raise _missing(path)


def _missing(path: str) -> GateRefused:
    return GateRefused(f"Found no step {path} in the admitted version.", reason=GateReason.CONTENT)
