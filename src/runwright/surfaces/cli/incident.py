"""`runwright incident` and `runwright run`: report incidents and follow what answers them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runwright.model.severity import Severity
from runwright.surfaces.cli.connect import connect
from runwright.surfaces.cli.output import NEGATIVE, POSITIVE, Json, moment, print_json, say, table

if TYPE_CHECKING:
    from runwright.model.incidents import NewIncident

app = typer.Typer(help="Incidents: report, list, look at, start by hand.", no_args_is_help=True)

ClientOption = Annotated[str, typer.Option("--client", help="The client (tenant).")]
HostOption = Annotated[str, typer.Option("--host", help="Hostname or id of a registered host.")]
SubjectOption = Annotated[list[str], typer.Option("--set", help="A field of the subject, as service=nginx.")]
SeverityOption = Annotated[Severity, typer.Option("--severity")]
CheckOption = Annotated[
    bool, typer.Option("--check", help="Only say what would run, asking the host nothing but what reads.")
]
IncidentType = Annotated[str, typer.Argument(help="As service_crash or disk_full.")]


def _value(text: str) -> Any:
    """A number, boolean or list where the text is one in JSON, else the text itself."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float | bool | list) else text


def subject_of(pairs: list[str]) -> dict[str, Any]:
    """`service=nginx` pairs as a subject. Raises UsageFault on a pair without `=`."""
    from runwright.model.errors import UsageFault

    subject: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageFault(f"Found --set {pair!r}.", allowed="Allowed: NAME=VALUE, as service=nginx.")
        subject[name] = _value(value)
    return subject


@app.command()
def report(
    incident_type: IncidentType,
    host: HostOption,
    subject: SubjectOption,
    client: ClientOption = "default",
    severity: SeverityOption = Severity.HIGH,
    json_: Json = False,
) -> None:
    """Report an incident; its live approved runbook starts by itself where the host's policy says so."""
    incident = _report(incident_type, host, subject, client, severity)
    if json_:
        print_json(incident)
    else:
        say(f"{incident.id}: {incident.status.value}")


def _report(incident_type: str, host: str, subject: list[str], client: str, severity: Severity) -> Any:
    new = _new(incident_type, host, subject, client, severity)
    with connect() as server:
        return server.report_incident(new)


def _new(incident_type: str, host: str, subject: list[str], client: str, severity: Severity) -> NewIncident:
    """The incident as reported. Raises InvalidInput."""
    from pydantic import ValidationError

    from runwright.model.errors import Fault, InvalidInput
    from runwright.model.incidents import NewIncident

    try:
        return NewIncident(
            client_id=client,
            host=host,
            incident_type=incident_type,
            severity=severity,
            subject=subject_of(subject),
            source="cli",
        )
    except ValidationError as error:
        faults = [
            Fault(
                message=item["msg"].removeprefix("Value error, "),
                path=".".join(str(part) for part in item["loc"]) or None,
            )
            for item in error.errors()
        ]
        raise InvalidInput("The incident was refused.", faults=faults) from error


@app.command("list")
def list_(
    client: Annotated[str | None, typer.Option("--client")] = None,
    status: Annotated[str | None, typer.Option("--status")] = None,
    json_: Json = False,
) -> None:
    """Incidents, newest first."""
    where = {key: value for key, value in (("client_id", client), ("status", status)) if value}
    with connect() as server:
        incidents = server.incidents(**where)
    if json_:
        print_json(incidents)
        return
    rows = [
        (item.id, item.client_id, item.incident_type, item.severity.value, item.status.value, _brief(item.subject))
        for item in incidents
    ]
    table("Incidents", ("id", "client", "type", "severity", "status", "subject"), rows, "No incidents yet.")


def _brief(subject: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in subject.items())


@app.command()
def show(incident_id: str, json_: Json = False) -> None:
    """One incident with its runs and escalations."""
    with connect() as server:
        incident = server.incident(incident_id)
        runs = server.executions(incident_id=incident_id)
        escalations = server.escalations(incident_id)
    if json_:
        print_json({"incident": incident, "executions": runs, "escalations": escalations})
        return
    say(f"{incident.id}  {incident.incident_type}  {incident.severity.value}  {incident.status.value}", style="bold")
    say(f"host {incident.host_id}, subject {_brief(incident.subject)}")
    say(f"occurred {incident.occurred_at:%Y-%m-%d %H:%M:%S}")
    table(
        "Runs",
        ("id", "version", "status", "started"),
        [(run.id, run.version_id, run.standing, moment(run.started_at)) for run in runs],
        "No run yet.",
    )
    for item in escalations:
        say(f"Escalated ({item.reason.value}): {item.note}")


@app.command("run")
def run_again(incident_id: str, check: CheckOption = False, json_: Json = False) -> None:
    """Start what answers an open or escalated incident, as a person's decision."""
    if check:
        from runwright.surfaces.cli.plan import show_check

        show_check(lambda server: server.check_incident(incident_id), as_json=json_)
    with connect() as server:
        execution = server.run_incident(incident_id)
    if json_:
        print_json(execution)
    else:
        say(f"{execution.id}: {execution.version_id} queued. Watch it: runwright execution watch {execution.id}")


Note = Annotated[str, typer.Option("--note", help="Why, for people.")]


@app.command()
def resolve(incident_id: str, note: Note = "", json_: Json = False) -> None:
    """Say that an incident is over: what is queued for it never runs."""
    with connect() as server:
        _told(server.resolve_incident(incident_id, note), json_)


@app.command()
def close(incident_id: str, note: Note = "", json_: Json = False) -> None:
    """Say that nothing is to be done about an incident. This is final."""
    with connect() as server:
        _told(server.close_incident(incident_id, note), json_)


def _told(incident: Any, json_: bool) -> None:
    if json_:
        print_json(incident)
    else:
        say(f"{incident.id}: {incident.status.value}")


def run(
    incident_type: IncidentType,
    host: HostOption,
    subject: SubjectOption,
    client: ClientOption = "default",
    severity: SeverityOption = Severity.HIGH,
    check: CheckOption = False,
    json_: Json = False,
) -> None:
    """Report an incident and follow its run to the end. Exit 0 only if it was verified to be over."""
    from runwright.model.executions import ExecutionStatus
    from runwright.surfaces.cli.execution import follow, show_result

    if check:
        from runwright.surfaces.cli.plan import show_check

        new = _new(incident_type, host, subject, client, severity)
        show_check(lambda server: server.check_report(new), as_json=json_)
    incident = _report(incident_type, host, subject, client, severity)
    with connect() as server:
        runs = server.executions(incident_id=incident.id)
        if not runs:
            notes = [item.note for item in server.escalations(incident.id)]
            if json_:
                print_json({"incident": incident, "execution": None, "escalations": notes})
            else:
                say(f"{incident.id}: {incident.status.value}, nothing ran. " + " ".join(notes))
            raise typer.Exit(NEGATIVE)
        result = follow(server, runs[0].id, quiet=json_)
    if json_:
        print_json(result)
    else:
        show_result(result)
    raise typer.Exit(POSITIVE if result.status is ExecutionStatus.SUCCESS else NEGATIVE)


def add_commands(root: typer.Typer) -> None:
    """Put `run` on the root."""
    root.command()(run)
