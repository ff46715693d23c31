"""A typed client of the REST API; the command line and the demo use it. Imports `model` alone.

Answers are the records of `model`; errors are the same `RunwrightError` classes as on the server, rebuilt
from problem details (RFC 9457).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2
from pydantic import BaseModel, TypeAdapter, ValidationError

from runwright.model import errors
from runwright.model.audit import AuditEntry
from runwright.model.base import OpenRecord, Record
from runwright.model.clients import Client
from runwright.model.diagnoses import Analysis
from runwright.model.executions import Event, Execution, ExecutionResult
from runwright.model.external import ExternalExecution
from runwright.model.hosts import AcceptedKeys, Host, HostChange, HostCheck, HostImport, ImportedHosts, NewHost
from runwright.model.incidents import Escalation, Incident, NewIncident
from runwright.model.plans import PlanReport
from runwright.model.principals import Principal
from runwright.model.questions import Question
from runwright.model.reviews import Activation, Approval, ReviewEntry, ReviewItem, StopSwitch
from runwright.model.versions import RunbookVersion

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

_ERRORS: dict[str, type[errors.RunwrightError]] = {
    found.code: found
    for found in vars(errors).values()
    if isinstance(found, type) and issubclass(found, errors.RunwrightError)
}

_PATH = re.compile(r"(?:/[A-Za-z0-9._:-]+)+")

MOST_IMPORTED = 950_000
"""Bytes of hosts that one request holds: somewhat less than the server takes."""

PROBLEM_PREFIX = "urn:runwright:problem:"
"""The `type` of a problem is this and the error's code."""


class Listing(OpenRecord):
    """A page of a list: `items`, and the cursor of the next page."""

    items: list[dict[str, Any]]
    next_cursor: str | None = None


class Login(Record):
    """A new session: its secret is shown once."""

    secret: str
    principal: Principal


class AddedRunbook(Record):
    """A stored draft and its review items: the version, and the routing rules it asks for."""

    version: RunbookVersion
    items: list[ReviewItem]


class RunbookLine(Record):
    """A runbook as lists show it: its versions as far as the caller may see them."""

    runbook_id: str
    name: str
    """As the newest version names itself."""
    versions: int
    newest: str
    """Id of the newest version."""
    live: dict[str, str]
    """Scope -> id of the version that is live there."""


class NewToken(Record):
    """A machine's token: its secret is shown once."""

    id: str
    secret: str


def _checked(path: str) -> str:
    """The path itself: an id from outside must not become another address. Raises NotFound."""
    if not _PATH.fullmatch(path) or "/." in path:
        raise errors.NotFound(f"Found no record at {path!r}.", allowed="Ids are letters, digits, and . _ : -")
    return path


class RunwrightClient:
    """Speaks to one server with one credential. Close it, or use it in a `with` block."""

    def __init__(self, base_url: str, secret: str | None = None, *, timeout: float = 30.0) -> None:
        headers = {"Accept": "application/json", "User-Agent": "runwright-client"}
        if secret is not None:
            headers["Authorization"] = f"Bearer {secret}"
        self.base_url = base_url
        self._http = httpx2.Client(base_url=base_url, headers=headers, timeout=timeout, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    # -- who

    def login(self, name: str, password: str) -> Login:
        """Open a session; from here on this client speaks with it."""
        login = self._record(Login, "POST", "/api/sessions", {"name": name, "password": password})
        self._http.headers["Authorization"] = f"Bearer {login.secret}"
        return login

    def logout(self) -> None:
        self._send("DELETE", "/api/sessions/current")

    def whoami(self) -> Principal:
        return self._record(Principal, "GET", "/api/sessions/current")

    def add_user(self, name: str, password: str, grants: list[dict[str, Any]]) -> None:
        """Add a person; `grants` as `{"role": "approver", "client_id": null}`."""
        self._send("POST", "/api/users", {"name": name, "password": password, "grants": grants})

    def create_token(self, name: str, grants: list[dict[str, Any]], days: int) -> NewToken:
        return self._record(NewToken, "POST", "/api/tokens", {"name": name, "grants": grants, "days": days})

    def revoke_token(self, token_id: str) -> None:
        self._send("DELETE", f"/api/tokens/{token_id}")

    def health(self) -> dict[str, Any]:
        return self._json("GET", "/api/health")

    def description(self) -> dict[str, Any]:
        """The OpenAPI document of this server."""
        return self._json("GET", "/api/openapi.json")

    def kpis(self) -> dict[str, Any]:
        return self._json("GET", "/api/kpis")

    # -- what is managed

    def add_client(self, client_id: str, name: str) -> Client:
        return self._record(Client, "POST", "/api/clients", {"id": client_id, "name": name})

    def clients(self) -> list[Client]:
        return self._all(Client, "/api/clients")

    def add_host(self, host: NewHost) -> Host:
        return self._record(Host, "POST", "/api/hosts", host)

    def hosts(self, **where: str) -> list[Host]:
        return self._all(Host, "/api/hosts", where)

    def host(self, host_id: str) -> Host:
        return self._record(Host, "GET", f"/api/hosts/{host_id}")

    def edit_host(self, host_id: str, change: HostChange) -> Host:
        return self._record(Host, "PATCH", f"/api/hosts/{host_id}", change)

    def remove_host(self, host_id: str) -> None:
        self._send("DELETE", f"/api/hosts/{host_id}")

    def accept_host_keys(self, host_id: str, keys: AcceptedKeys) -> Host:
        """These are the host keys that are accepted from now on."""
        return self._record(Host, "PUT", f"/api/hosts/{host_id}/host-keys", keys)

    def check_host(self, host_id: str) -> HostCheck:
        """Queue a look at a host; `host_check` gives what came of it."""
        return self._record(HostCheck, "POST", f"/api/hosts/{host_id}/checks")

    def host_check(self, host_id: str, check_id: str) -> HostCheck:
        return self._record(HostCheck, "GET", f"/api/hosts/{host_id}/checks/{check_id}")

    def host_checks(self, host_id: str) -> list[HostCheck]:
        """The last few, newest first."""
        return self._all(HostCheck, f"/api/hosts/{host_id}/checks")

    def import_hosts(self, form: ImportedHosts) -> HostImport:
        """Register many hosts, all or none. Raises InvalidInput where they are too many for one request."""
        body = form.model_dump(mode="json", exclude_defaults=True)
        for host, given in zip(form.hosts, body.get("hosts", ()), strict=True):
            given["connection"]["kind"] = host.connection.kind  # a default too, and what tells kinds apart
        if len(json.dumps(body)) > MOST_IMPORTED:
            raise errors.InvalidInput(
                f"Found {len(form.hosts)} hosts, too many for one request.",
                next_step="Import them in parts: `--limit GROUP` takes some, `--limit '!GROUP'` leaves some out.",
            )
        return self._record(HostImport, "POST", "/api/hosts/import", {"hosts": [], **body})

    # -- incidents and executions

    def report_incident(self, new: NewIncident) -> Incident:
        return self._record(Incident, "POST", "/api/incidents", new)

    def incident(self, incident_id: str) -> Incident:
        return self._record(Incident, "GET", f"/api/incidents/{incident_id}")

    def incidents(self, **where: str) -> list[Incident]:
        return self._all(Incident, "/api/incidents", where)

    def escalations(self, incident_id: str) -> list[Escalation]:
        return self._all(Escalation, f"/api/incidents/{incident_id}/escalations")

    def resolve_incident(self, incident_id: str, note: str = "") -> Incident:
        """It is over: nothing runs for it any more. Raises Conflict while a run is on its way."""
        return self._record(Incident, "POST", f"/api/incidents/{incident_id}/resolve", {"note": note})

    def close_incident(self, incident_id: str, note: str = "") -> Incident:
        """Nothing is to be done about it."""
        return self._record(Incident, "POST", f"/api/incidents/{incident_id}/close", {"note": note})

    def run_incident(self, incident_id: str) -> Execution:
        return self._record(Execution, "POST", f"/api/incidents/{incident_id}/run", {})

    def report_execution(self, result: ExecutionResult | dict[str, Any]) -> ExternalExecution:
        """Hand in what another executor did. The same again changes nothing; Conflict for other content."""
        return self._record(ExternalExecution, "POST", "/api/executions", result)

    def external_execution(self, execution_id: str) -> ExternalExecution:
        return self._record(ExternalExecution, "GET", f"/api/executions/external/{execution_id}")

    def external_executions(self, **where: str) -> list[ExternalExecution]:
        """Newest first; `where` as `source="ansible"`."""
        return self._all(ExternalExecution, "/api/executions/external", where)

    def check_report(self, new: NewIncident) -> PlanReport:
        """Ask what reporting this incident would start; `plan` has the report once a worker looked at the host."""
        return self._record(PlanReport, "POST", "/api/incidents/check", new)

    def check_incident(self, incident_id: str) -> PlanReport:
        """Ask what `run_incident` would do."""
        return self._record(PlanReport, "POST", f"/api/incidents/{incident_id}/check", {})

    def plan(self, plan_id: str) -> PlanReport:
        return self._record(PlanReport, "GET", f"/api/plans/{plan_id}")

    def execution(self, execution_id: str) -> Execution:
        return self._record(Execution, "GET", f"/api/executions/{execution_id}")

    def executions(self, **where: str) -> list[Execution]:
        """Newest first; `where` as `incident_id=...`."""
        return self._all(Execution, "/api/executions", where)

    def result(self, execution_id: str) -> ExecutionResult:
        return self._record(ExecutionResult, "GET", f"/api/executions/{execution_id}/result")

    def analysis(self, execution_id: str) -> Analysis:
        """Raises NotFound until the failed run was learned from."""
        return self._record(Analysis, "GET", f"/api/executions/{execution_id}/analysis")

    def evidence(self, execution_id: str) -> bytes:
        """The signed evidence bundle of a run that has ended, as `runwright evidence verify` reads it."""
        return self._send("GET", f"/api/executions/{execution_id}/evidence").content

    def artefact(self, execution_id: str, digest: str) -> Iterator[bytes]:
        """A whole output in blocks, as its attempt's `stdout_artefact` names it. Raises NotFound, Unavailable."""
        path = _checked(f"/api/executions/{execution_id}/artefacts/{digest}")
        try:
            with self._http.stream("GET", path, headers={"Accept": "text/plain"}) as answer:
                if answer.status_code >= 400:
                    answer.read()
                    raise self._problem(answer)
                yield from answer.iter_bytes()
        except httpx2.TransportError as error:
            raise self._lost(error) from error

    def cancel(self, execution_id: str) -> Execution:
        return self._record(Execution, "POST", f"/api/executions/{execution_id}/cancel", {})

    def questions(self, **where: str) -> list[Question]:
        """What runs ask persons, newest first; `where` as `status="open"` or `execution_id=...`."""
        return self._all(Question, "/api/questions", where)

    def answer(self, execution_id: str, value: str | int | bool, question: str | None = None) -> Execution:
        """A person's answer. Raises Conflict where it comes too late, InvalidInput where it does not fit."""
        body = {"value": value, "question": question}
        return self._record(Execution, "POST", f"/api/executions/{execution_id}/answers", body)

    def events(self, execution_id: str, after: int = 0) -> Iterator[Event]:
        """Events of an execution as they come; ends when the run has. Raises Unavailable where the server goes away."""
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        path = f"/api/executions/{execution_id}/events"
        try:
            with self._http.stream("GET", path, headers=headers, timeout=httpx2.Timeout(30.0, read=None)) as answer:
                if answer.status_code >= 400:
                    answer.read()
                    raise self._problem(answer)
                for line in answer.iter_lines():
                    if line.startswith("data:"):
                        yield Event.model_validate_json(line[5:].strip())
        except httpx2.TransportError as error:
            raise self._lost(error) from error

    # -- runbooks

    def add_runbook(self, text: str, scope: str) -> AddedRunbook:
        return self._record(AddedRunbook, "POST", "/api/runbooks", {"text": text, "scope": scope})

    def runbooks(self) -> list[dict[str, Any]]:
        """Every line of versions: `runbook_id`, `name`, `versions`, `live` by scope."""
        return self._listing("/api/runbooks", {})

    def versions(self, runbook_id: str) -> list[RunbookVersion]:
        """The line of versions, newest first."""
        return self._all(RunbookVersion, f"/api/runbooks/{runbook_id}")

    def version(self, version_id: str) -> RunbookVersion:
        return self._record(RunbookVersion, "GET", f"/api/runbooks/versions/{version_id}")

    # -- review

    def pending(self) -> list[ReviewItem]:
        return self._all(ReviewItem, "/api/review/pending")

    def review(self, subject_id: str) -> ReviewItem:
        return self._record(ReviewItem, "GET", f"/api/review/runbook/{subject_id}")

    def history(self, subject_id: str) -> list[ReviewEntry]:
        """What happened to an item, oldest first."""
        return self._all(ReviewEntry, f"/api/review/history/{subject_id}")

    def comparison(self, subject_id: str) -> dict[str, Any]:
        return self._json("GET", f"/api/review/comparison/{subject_id}")

    def review_stats(self) -> dict[str, Any]:
        return self._json("GET", "/api/review/stats")

    def claim(self, subject_id: str) -> ReviewItem:
        return self._record(ReviewItem, "POST", f"/api/review/claim/{subject_id}", {})

    def give_back(self, subject_id: str) -> ReviewItem:
        """End the claim of an item, undecided."""
        return self._record(ReviewItem, "POST", f"/api/review/release/{subject_id}", {})

    def approve(self, subject_id: str, digest: str, note: str = "", override_reason: str = "") -> ReviewItem:
        body = {"digest": digest, "note": note, "override_reason": override_reason}
        return self._record(ReviewItem, "POST", f"/api/review/approve/{subject_id}", body)

    def reject(self, subject_id: str, digest: str, reason: str) -> ReviewItem:
        return self._record(
            ReviewItem, "POST", f"/api/review/reject/{subject_id}", {"digest": digest, "reason": reason}
        )

    def request_changes(self, subject_id: str, digest: str, note: str) -> ReviewItem:
        return self._record(ReviewItem, "POST", f"/api/review/changes/{subject_id}", {"digest": digest, "note": note})

    def withdraw(self, subject_id: str, note: str) -> ReviewItem:
        return self._record(ReviewItem, "POST", f"/api/review/withdraw/{subject_id}", {"note": note})

    def test(self, subject_id: str) -> str:
        """Queue a trial; the id under which its evidence will appear."""
        return str(self._json("POST", f"/api/review/test/{subject_id}", {})["request_id"])

    # -- what may run

    def activations(self, **where: str) -> list[Activation]:
        """What is live and what was, newest first; `where` as `state="live"`."""
        return self._all(Activation, "/api/activations", where)

    def suspend(self, activation_id: str, reason: str) -> Activation:
        """Stop a live version; the fallback that its approval names takes over."""
        return self._record(Activation, "POST", f"/api/activations/{activation_id}/suspend", {"reason": reason})

    def approvals(self, **where: str) -> list[Approval]:
        """Signed approvals, newest first; `where` as `subject_id=...`."""
        return self._all(Approval, "/api/approvals", where)

    def revoke(self, approval_id: str, reason: str) -> Approval:
        """Take an approval back; what it made live ends at once."""
        return self._record(Approval, "POST", f"/api/approvals/{approval_id}/revoke", {"reason": reason})

    # -- switches and audit

    def stops(self) -> list[StopSwitch]:
        return self._all(StopSwitch, "/api/stops")

    def stop(self, scope: str, reason: str) -> StopSwitch:
        """`scope`: `global`, `client:<id>` or `runbook:<id>`."""
        return self._record(StopSwitch, "POST", "/api/stops", {"scope": scope, "reason": reason})

    def release(self, scope: str) -> None:
        self._send("DELETE", f"/api/stops/{scope}")

    def audit(self, chain: str) -> list[AuditEntry]:
        return self._all(AuditEntry, f"/api/audit/{chain}")

    # -- the wire

    def _record(self, model: type[M], method: str, path: str, body: Any = None) -> M:
        return self._parse(TypeAdapter(model), self._send(method, path, body))

    def _json(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        return self._parse(TypeAdapter(dict[str, Any]), self._send(method, path, body))

    def _listing(self, path: str, where: Mapping[str, str]) -> list[dict[str, Any]]:
        """All pages of a list."""
        items: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            query = {**where, **({"cursor": cursor} if cursor else {})}
            page = self._parse(TypeAdapter(Listing), self._send("GET", path, params=query))
            items += page.items
            cursor = page.next_cursor
            if cursor is None:
                return items

    def _all(self, model: type[M], path: str, where: Mapping[str, str] | None = None) -> list[M]:
        adapter = TypeAdapter(model)
        return [adapter.validate_json(json.dumps(item)) for item in self._listing(path, where or {})]

    def _parse(self, adapter: TypeAdapter[T], answer: httpx2.Response) -> T:
        try:
            return adapter.validate_json(answer.content)
        except ValidationError as error:
            raise errors.Unavailable(
                f"Found an answer of {self.base_url} that this client cannot read ({error.error_count()} faults).",
                next_step="Check that server and command line are of the same version.",
            ) from error

    def _send(
        self, method: str, path: str, body: Any = None, params: Mapping[str, str] | None = None
    ) -> httpx2.Response:
        _checked(path)
        content = None
        headers = {}
        if body is not None:
            data = body.model_dump(mode="json", by_alias=True) if isinstance(body, BaseModel) else body
            content = TypeAdapter(Any).dump_json(data)
            headers["Content-Type"] = "application/json"
        try:
            answer = self._http.request(method, path, content=content, headers=headers, params=params)
        except httpx2.TransportError as error:
            raise self._lost(error) from error
        if answer.status_code >= 400:
            raise self._problem(answer)
        return answer

    def _lost(self, error: httpx2.TransportError) -> errors.Unavailable:
        return errors.Unavailable(
            f"Found no Runwright server at {self.base_url} ({type(error).__name__}).",
            next_step="Start one with `runwright serve`, or name another with RUNWRIGHT_URL.",
        )

    def _problem(self, answer: httpx2.Response) -> errors.RunwrightError:
        """The error that a problem answer stands for."""
        try:
            data = answer.json()
            code = str(data["type"]).removeprefix(PROBLEM_PREFIX)
            faults = [errors.Fault.model_validate(fault) for fault in data.get("faults", [])]
            kind = _ERRORS.get(code, errors.RunwrightError)
            return kind(
                str(data.get("found") or data.get("detail") or data["title"]),
                allowed=str(data.get("allowed") or ""),
                next_step=str(data.get("next_step") or ""),
                faults=faults,
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return errors.Unavailable(
                f"Found status {answer.status_code} from {self.base_url} without an explanation.",
                next_step="Look at the server's log.",
            )
