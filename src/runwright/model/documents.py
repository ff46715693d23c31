"""The runbook language, `schema: runwright/v1`, as records. The strict loader is `runbooks/`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from runwright.model.base import Duration, Record, Sha256
from runwright.model.hosts import Platform
from runwright.model.ids import RunbookId
from runwright.model.incidents import Severity

SCHEMA = "runwright/v1"

StepId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
ParameterName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
ParameterRef = Annotated[str, Field(pattern=r"^\$[a-z][a-z0-9_]{0,62}$")]
"""`$name`, standing for a parameter as a whole scalar of a typed field."""

Text = Annotated[str, Field(min_length=1)]
Port = Annotated[int, Field(ge=1, le=65535)] | ParameterRef
Command = Annotated[str, Field(min_length=1, max_length=64_000)]
"""POSIX sh text. Parameters reach it as environment variables only."""


class StepKind(StrEnum):
    RUN = "run"
    SERVICE = "service"
    HTTP = "http"
    WAIT_FOR = "wait_for"
    CALL = "call"
    ASK = "ask"


class ServiceState(StrEnum):
    STARTED = "started"
    STOPPED = "stopped"
    RESTARTED = "restarted"
    RELOADED = "reloaded"


class ServiceAction(Record):
    name: Text
    state: ServiceState
    enabled: bool | None = None


class HttpCheck(Record):
    scheme: Literal["http", "https"] | ParameterRef = "http"
    host: Text = "127.0.0.1"
    port: Port = 80
    path: Text = "/"
    method: Literal["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"] = "GET"
    status: Annotated[int, Field(ge=100, le=599)] | ParameterRef = 200
    contains: str | None = None
    timeout: Duration = 10.0


class WaitFor(Record):
    """Exactly one of port, path, service, run comes true within `for`."""

    port: Port | None = None
    path: Text | None = None
    service: Text | None = None
    run: Command | None = None
    for_: Duration = Field(default=60.0, alias="for")
    every: Duration = 1.0

    @model_validator(mode="after")
    def _one(self) -> WaitFor:
        given = [name for name in ("port", "path", "service", "run") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"found {' and '.join(given) or 'none'}; allowed: exactly one of port, path, service, run")
        return self


class Call(Record):
    """Another approved version, named with its digest."""

    runbook: RunbookId
    version: Annotated[int, Field(ge=1)]
    digest: Sha256
    parameters: dict[ParameterName, str | int | bool] = Field(default_factory=dict)


class Ask(Record):
    """A question to a person; the typed answer becomes a parameter."""

    question: Text
    parameter: ParameterName
    expires: Duration = 86400.0


class Retry(Record):
    attempts: Annotated[int, Field(ge=1, le=20)] = 1
    delay: Duration = 1.0
    backoff: Annotated[float, Field(ge=1, le=10)] = 1.0


class OnFailure(StrEnum):
    ABORT = "abort"
    CONTINUE = "continue"


_KIND_NAMES = tuple(kind.value for kind in StepKind)


def _one_kind(record: Record, allowed: tuple[str, ...]) -> None:
    given = [name for name in allowed if getattr(record, name) is not None]
    if len(given) != 1:
        raise ValueError(f"found {' and '.join(given) or 'no kind'}; allowed: exactly one of {', '.join(allowed)}")


class Step(Record):
    """One step: exactly one kind, and how it is guarded, bounded and repeated."""

    id: StepId
    name: str | None = None
    run: Command | None = None
    service: ServiceAction | None = None
    http: HttpCheck | None = None
    wait_for: WaitFor | None = None
    call: Call | None = None
    ask: Ask | None = None
    only_if: Command | None = None
    unless: Command | None = None
    timeout: Annotated[Duration, Field(gt=0, le=86400)] = 60.0
    retry: Retry | None = None
    until: Command | None = None
    on_failure: OnFailure | StepId = OnFailure.ABORT
    success_exit_codes: tuple[Annotated[int, Field(ge=0, le=255)], ...] = Field(default=(0,), min_length=1)
    idempotent: bool | None = None
    become: bool | None = None

    @model_validator(mode="after")
    def _one(self) -> Step:
        _one_kind(self, _KIND_NAMES)
        return self

    @property
    def kind(self) -> StepKind:
        """Which kind this step is."""
        return next(kind for kind in StepKind if getattr(self, kind.value) is not None)

    @property
    def is_idempotent(self) -> bool:
        """As written, else by the kind's default."""
        if self.idempotent is not None:
            return self.idempotent
        if self.service is not None:
            return self.service.state in (ServiceState.STARTED, ServiceState.STOPPED)
        if self.http is not None:
            return self.http.method in ("GET", "HEAD")
        return self.wait_for is not None or self.ask is not None


class Verify(Record):
    """One of the runbook's own checks after the steps."""

    id: StepId
    run: Command | None = None
    service: ServiceAction | None = None
    http: HttpCheck | None = None
    wait_for: WaitFor | None = None
    hold: Duration | None = None
    timeout: Annotated[Duration, Field(gt=0, le=3600)] = 20.0

    @model_validator(mode="after")
    def _one(self) -> Verify:
        _one_kind(self, ("run", "service", "http", "wait_for"))
        return self


class _Parameter(Record):
    required: bool | None = None
    from_: str | None = Field(
        default=None,
        alias="from",
        pattern=r"^(incident\.subject\.[a-z][a-z0-9_]*|host\.[a-z][a-z0-9_]*|caller|secret\.[A-Za-z][A-Za-z0-9_.-]*)$",
    )
    allow_leading_dash: bool = False
    description: str | None = None


class StringParameter(_Parameter):
    type: Literal["string"]
    pattern: str | None = None
    """A full match, in a linear-time dialect (no back-references, no look-around)."""
    enum: tuple[str, ...] | None = None
    default: str | None = None


class IntegerParameter(_Parameter):
    type: Literal["integer"]
    min: int | None = None
    max: int | None = None
    default: int | None = None


class BooleanParameter(_Parameter):
    type: Literal["boolean"]
    default: bool | None = None


class SecretParameter(_Parameter):
    type: Literal["secret"]


Parameter = Annotated[
    StringParameter | IntegerParameter | BooleanParameter | SecretParameter, Field(discriminator="type")
]

ParameterValue = str | int | bool
"""A resolved value. Secrets never appear as one: they stay references until the host adapter."""


class RunbookDocument(Record):
    """A runbook as written. The digest is over the written data, before defaults."""

    schema_: Literal["runwright/v1"] = Field(alias="schema")
    id: RunbookId
    name: Text
    description: str | None = None
    platform: Platform = Platform.LINUX
    incident_types: tuple[str, ...] = Field(min_length=1)
    severity: Severity = Severity.MEDIUM
    controls: tuple[str, ...] = ()
    parameters: dict[ParameterName, Parameter] = Field(default_factory=dict)
    steps: tuple[Step, ...] = Field(min_length=1, max_length=200)
    verify: tuple[Verify, ...] = ()
    rollback: tuple[Step, ...] = ()

    @field_validator("id")
    @classmethod
    def _no_version_suffix(cls, value: str) -> str:
        head, _, tail = value.rpartition("-")
        if head and tail[:1] in ("V", "v") and tail[1:].isdigit():
            raise ValueError(f"found id {value!r}; an id may not end in -v<digits>, which names a version")
        return value


def plain(document: RunbookDocument) -> dict[str, Any]:
    """The document as plain JSON data with the written field names; only what was set."""
    return document.model_dump(mode="json", by_alias=True, exclude_unset=True)
