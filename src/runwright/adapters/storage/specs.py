"""What differs between the tables of records: their columns, their moment, and who sees what."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError
from sqlalchemy import ColumnElement, Table, bindparam, exists, false, literal_column, or_

from runwright.adapters.storage import schema
from runwright.model.base import Record
from runwright.model.clients import Client, scope_client
from runwright.model.diagnoses import Analysis
from runwright.model.errors import InvalidInput
from runwright.model.executions import Execution, ExecutionResult
from runwright.model.external import ExternalExecution
from runwright.model.hosts import Host, HostCheck
from runwright.model.incidents import Escalation, Incident
from runwright.model.lab import Trial
from runwright.model.plans import RunPlan
from runwright.model.principals import Session, Token, User
from runwright.model.proposals import Proposal
from runwright.model.questions import Question
from runwright.model.reviews import Activation, Approval, ReviewItem, RoutingRule, StopSwitch
from runwright.model.versions import RunbookVersion

R = TypeVar("R", bound=Record)

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Visible = Callable[[Table], ColumnElement[bool]]
"""The condition under which a client (bound as `client`, its scope as `client_scope`) sees a row."""


def microseconds(moment: datetime) -> int:
    """Since 1970, exact."""
    return (moment - _EPOCH) // _MICROSECOND


def own_client(table: Table) -> ColumnElement[bool]:
    return table.c.client_id == bindparam("client", type_=schema.WORD)


def _own_or_library(table: Table) -> ColumnElement[bool]:
    return table.c.scope.in_([bindparam("client_scope", type_=schema.WORD), literal_column("'all'")])


def _itself(table: Table) -> ColumnElement[bool]:
    return table.c.id == bindparam("client", type_=schema.WORD)


def _of_visible_version(table: Table) -> ColumnElement[bool]:
    versions = schema.runbooks
    return exists().where(versions.c.id == table.c.version_id, _own_or_library(versions))


def _switch_over_client(table: Table) -> ColumnElement[bool]:
    """The global switch and those of runbooks hold everyone; of clients, one's own."""
    return or_(table.c.scope != literal_column("'client'"), table.c.id == bindparam("client_scope", type_=schema.WORD))


def _system_only(_: Table) -> ColumnElement[bool]:
    return false()


@dataclass(frozen=True)
class TableSpec(Generic[R]):
    """How one kind of record lies in its table."""

    table: Table
    record: type[R]
    noun: str
    columns: Callable[[R], Mapping[str, Any]]
    """The columns that lists are filtered by. They all are text, numbers or booleans."""
    moment: Callable[[R], datetime]
    visible: Visible = own_client
    unique: str = ""
    """What no two of them share beside the id, in words; empty where there is nothing."""
    hidden: tuple[str, ...] = ()
    """Columns that lists cannot be filtered by."""

    def key(self, record: R) -> str:
        """The record's id."""
        return str(record.id)  # type: ignore[attr-defined]  # every stored record but telemetry has an id

    def row(self, record: R) -> dict[str, Any]:
        """The row of a record. Raises InvalidInput on text that no database keeps."""
        columns = {"id": self.key(record), **self.columns(record)}
        for name, value in columns.items():
            if not storable(value):
                raise InvalidInput(
                    f"Found {value!r} as the {name} of a {self.noun}.",
                    allowed="Allowed: text without NUL and lone surrogate characters.",
                )
        return {
            "created_at": microseconds(self.moment(record)),
            "document": checked_document(record),
            **columns,
        }


class ResultSpec(TableSpec[ExecutionResult]):
    """Telemetry goes by the id of its execution."""

    def key(self, record: ExecutionResult) -> str:
        return record.execution_id


def document(record: Record) -> str:
    """The stored form: the public JSON of the record. Raises InvalidInput if it has none."""
    try:
        return record.model_dump_json(by_alias=True)
    except PydanticSerializationError as error:
        raise InvalidInput(f"Found a {type(record).__name__} that cannot be written as JSON: {error}.") from error


def checked_document(record: Record) -> str:
    """The stored form, read back once: `model_copy` checks nothing, and what cannot be read spoils every list.

    Raises InvalidInput if it could not be read again.
    """
    stored = document(record)
    try:
        type(record).model_validate_json(stored)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(
            f"Found a {type(record).__name__} that could not be read again ({place}: {first['msg']}).",
            allowed="Nothing was stored.",
        ) from error
    return stored


def storable(value: object) -> bool:
    """Whether both databases keep and compare this text; other values always are."""
    return not isinstance(value, str) or not _UNSTORABLE.search(value)


CLIENTS = TableSpec(schema.clients, Client, "client", lambda _: {}, lambda r: r.created_at, _itself)

HOSTS = TableSpec(
    schema.hosts,
    Host,
    "host",
    lambda r: {"client_id": r.client_id, "hostname": r.hostname},
    lambda r: r.created_at,
    unique="hostname within its client",
)

HOST_CHECKS = TableSpec(
    schema.host_checks,
    HostCheck,
    "host check",
    lambda r: {"client_id": r.client_id, "host_id": r.host_id},
    lambda r: r.created_at,
)

INCIDENTS = TableSpec(
    schema.incidents,
    Incident,
    "incident",
    lambda r: {
        "client_id": r.client_id,
        "host_id": r.host_id,
        "status": r.status.value,
        "incident_type": str(r.incident_type),
        "fingerprint": r.fingerprint,
        "severity": r.severity.value,
    },
    lambda r: r.received_at,
)

ESCALATIONS = TableSpec(
    schema.escalations,
    Escalation,
    "escalation",
    lambda r: {"client_id": r.client_id, "incident_id": r.incident_id, "reason": r.reason.value},
    lambda r: r.created_at,
)

VERSIONS = TableSpec(
    schema.runbooks,
    RunbookVersion,
    "runbook version",
    lambda r: {
        "runbook_id": r.runbook_id,
        "scope": r.scope,
        "digest": r.digest,
        "number": r.number,
        "parent": r.parent,
    },
    lambda r: r.created_at,
    _own_or_library,
    unique="number within its runbook",
)

REVIEWS = TableSpec(
    schema.review_queue,
    ReviewItem,
    "review item",
    lambda r: {
        "client_id": scope_client(r.subject.scope),
        "kind": r.subject.kind,
        "status": r.status.value,
        "priority": r.priority,
        "author_id": r.author_id,
    },
    lambda r: r.created_at,
)

APPROVALS = TableSpec(
    schema.approvals,
    Approval,
    "approval",
    lambda r: {"subject_id": r.subject_id, "scope": r.scope},
    lambda r: r.decided_at,
    _own_or_library,
)

ACTIVATIONS = TableSpec(
    schema.activations,
    Activation,
    "activation",
    lambda r: {
        "runbook_id": r.runbook_id,
        "scope": r.scope,
        "state": r.state.value,
        "version_id": r.version_id,
        "approval_id": r.approval_id,
    },
    lambda r: r.since,
    _own_or_library,
    unique="runbook and scope while live",
)

ROUTES = TableSpec(
    schema.routing_rules,
    RoutingRule,
    "routing rule",
    lambda r: {
        "scope": r.scope,
        "incident_type": r.incident_type,
        "active": r.active,
        "runbook_id": r.runbook_id,
    },
    lambda r: r.created_at,
    _own_or_library,
)

EXECUTIONS = TableSpec(
    schema.executions,
    Execution,
    "execution",
    lambda r: {
        "client_id": r.client_id,
        "host_id": r.host_id,
        "incident_id": r.incident_id,
        "status": r.status.value,
        "runbook_id": r.runbook_id,
        "version_id": r.version_id,
        "epoch": r.epoch,
    },
    lambda r: r.created_at,
    hidden=("epoch",),
)

EXTERNALS = TableSpec(
    schema.external_executions,
    ExternalExecution,
    "external execution",
    lambda r: {
        "client_id": r.client_id,
        "source": r.source,
        "status": r.status.value,
        "runbook_id": r.runbook_id,
        "learning": r.learning.value,
    },
    lambda r: r.received_at,
)

RESULTS = ResultSpec(
    schema.execution_results,
    ExecutionResult,
    "execution result",
    lambda r: {
        "client_id": r.client_id,
        "status": r.status.value,
        "incident_type": r.incident.incident_type,
        "runbook_id": r.runbook.id,
    },
    lambda r: r.started_at,
)

QUESTIONS = TableSpec(
    schema.questions,
    Question,
    "question",
    lambda r: {"client_id": r.client_id, "execution_id": r.execution_id, "status": r.status.value},
    lambda r: r.asked_at,
)

PLANS = TableSpec(
    schema.run_plans,
    RunPlan,
    "plan",
    lambda r: {"client_id": r.client_id, "host_id": r.host_id, "incident_id": r.incident.id},
    lambda r: r.created_at,
    hidden=("host_id",),
)

ANALYSES = TableSpec(
    schema.learning_analyses,
    Analysis,
    "analysis",
    lambda r: {
        "client_id": r.client_id,
        "execution_id": r.execution_id,
        "failure_fingerprint": r.failure_fingerprint,
    },
    lambda r: r.created_at,
)

PROPOSALS = TableSpec(
    schema.proposals,
    Proposal,
    "proposal",
    lambda r: {
        "client_id": r.client_id,
        "execution_id": r.execution_id,
        "candidate": r.candidate,
        "parent": r.parent,
    },
    lambda r: r.created_at,
)

TRIALS = TableSpec(
    schema.trials,
    Trial,
    "trial",
    lambda r: {"version_id": r.version_id, "digest": r.digest},
    lambda r: r.created_at,
    _of_visible_version,
)

USERS = TableSpec(
    schema.users, User, "user", lambda r: {"name": r.name}, lambda r: r.created_at, _system_only, unique="name"
)

SESSIONS = TableSpec(
    schema.sessions,
    Session,
    "session",
    lambda r: {"user_id": r.user_id, "secret_digest": r.secret_digest},
    lambda r: r.created_at,
    _system_only,
    unique="secret",
)

TOKENS = TableSpec(
    schema.tokens,
    Token,
    "token",
    lambda r: {"name": r.name, "secret_digest": r.secret_digest},
    lambda r: r.created_at,
    _system_only,
    unique="secret",
)

SWITCHES = TableSpec(
    schema.stop_switches,
    StopSwitch,
    "stop switch",
    lambda r: {"scope": r.scope.value},
    lambda r: r.set_at,
    _switch_over_client,
)

SPECS: tuple[TableSpec[Any], ...] = (
    CLIENTS,
    HOSTS,
    HOST_CHECKS,
    INCIDENTS,
    ESCALATIONS,
    VERSIONS,
    REVIEWS,
    APPROVALS,
    ACTIVATIONS,
    ROUTES,
    EXECUTIONS,
    EXTERNALS,
    RESULTS,
    PLANS,
    QUESTIONS,
    ANALYSES,
    PROPOSALS,
    TRIALS,
    USERS,
    SESSIONS,
    TOKENS,
    SWITCHES,
)
"""All of them; the tests go through this list."""
