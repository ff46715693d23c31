"""What one run is asked to do. Carries no runbook: the gate alone gives that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from runwright.execution.outputs import MOST
from runwright.model.documents import ParameterValue
from runwright.model.executions import ExecutionResult, HostBrief, RunbookRef
from runwright.model.incidents import IncidentBrief
from runwright.model.ports.artefacts import ArtefactStore
from runwright.model.questions import Question
from runwright.verification.verify import HOLD


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """One run of whatever the gate admits for `execution_id`."""

    execution_id: str
    client_id: str
    brief: IncidentBrief
    incident_id: str
    host: HostBrief
    runbook_ref: RunbookRef
    """For the record; what runs is what the gate admits, and its digest must be this one."""
    epoch: int = 1
    """Of the worker that claimed the execution; the gate and the journal refuse an older one."""
    host_attributes: Mapping[str, str] = field(default_factory=dict)
    """What `from: host.X` may name: `hostname`, `platform`, labels."""
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    """Given by the caller; the rest comes from the incident and the host."""
    become: bool = False
    """Whether steps run through sudo unless they say otherwise."""
    tags: Mapping[str, str] = field(default_factory=dict)
    started_at: datetime | None = None
    """When the execution was first started; None means now."""
    cancelled: Callable[[], Awaitable[bool]] | None = None
    """Asked before every attempt and twice a second while one runs."""
    stopped: Callable[[], Awaitable[bool]] | None = None
    """Whether a stop switch covers the run; asked twice a second while something is only waited for."""
    asks: bool = False
    """Whether a person can be asked: a run that comes to a question then waits, `pending`. Else it ends there."""
    answers: Mapping[str, Question] = field(default_factory=dict)
    """What was asked before, by the id of the asking attempt."""
    checkpoint: Callable[[ExecutionResult], Awaitable[None]] | None = None
    """Stores what is known so far, before anything that could not be found out again afterwards."""
    artefacts: ArtefactStore | None = None
    """Where output goes that is longer than its record shows; None keeps what the record shows."""
    keep_output: int = MOST
    """Bytes of one such output that are kept at most."""
    hold: float = HOLD
    """Seconds that a verdict must stay true where nothing else is said."""
    earlier: ExecutionResult | None = None
    """The last checkpoint of this execution, when it is resumed."""
