"""The runbook's own `verify` entries: run, service, http, wait_for, each observed on the host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from runwright.model.documents import HttpCheck, ParameterValue, ServiceAction, ServiceState, Verify, WaitFor
from runwright.model.hosts import SecretRef
from runwright.model.ports.clock import Clock
from runwright.model.ports.hosts import Command, HostSession
from runwright.verification.findings import FAILED, Evidence, Finding, NoEvidence, failed, passed, unverifiable
from runwright.verification.sections import Question, ask
from runwright.verification.sockets import LISTENING_PART, from_proc
from runwright.verification.text import clip, first_line, visible
from runwright.verification.units import unit_name
from runwright.verification.verifier import need, properties
from runwright.verification.web import HTTP_PART, http_parameters, read_http

SERVICE_PART = r"""
if [ -d /run/systemd/system ] && have systemctl; then
  systemctl show --no-pager -p LoadState,ActiveState,SubState,UnitFileState,Type -- "$unit" 2>&1
elif have rc-service; then rc-service -- "$service" status 2>&1; printf '\nrw-status %s\n' "$?"
elif [ -x "/etc/init.d/$service" ]; then "/etc/init.d/$service" status 2>&1; printf '\nrw-status %s\n' "$?"
else (exit 111); fi
"""
PATH_PART = """test -e "$path" """

_BODY_LIMIT = 2_000_000


@dataclass(frozen=True)
class Host:
    """The host as a check sees it: the session, the run's parameters, and whether commands go through sudo."""

    session: HostSession
    clock: Clock
    environment: Mapping[str, str]
    values: Mapping[str, ParameterValue]
    secrets: Mapping[str, SecretRef] = field(default_factory=dict)
    become: bool = False

    def value(self, given: object) -> str:
        """A typed field, `$name` standing for a parameter. Raises NoEvidence for a name that is not there."""
        text = str(given)
        if not text.startswith("$"):
            return text
        if text[1:] not in self.values:
            raise NoEvidence(f"found no value for the parameter {text}")
        found = self.values[text[1:]]
        return str(found).lower() if isinstance(found, bool) else str(found)

    def port(self, given: object) -> int:
        text = self.value(given)
        if not text.isdecimal() or not 1 <= int(text) <= 65535:
            raise NoEvidence(f"found port {text!r}; allowed: 1 to 65535")
        return int(text)


async def observe(entry: Verify, host: Host, *, again: bool = False) -> Finding:
    """Look once. `again`: the look after the hold time, for which `wait_for` does not wait.

    Raises HostUnreachable where the way to the host is lost.
    """
    try:
        if entry.run is not None:
            return await _run(entry.run, entry.timeout, host)
        if entry.service is not None:
            return await _service(entry.service, entry.timeout, host)
        if entry.http is not None:
            return await _http(entry.http, host)
        if entry.wait_for is not None:
            return await _wait_for(entry.wait_for, entry.timeout, host, again=again)
    except NoEvidence as reason:
        return unverifiable(f"No evidence: {reason}.")
    raise AssertionError("a verify entry has exactly one kind")


async def _run(text: str, timeout: float, host: Host) -> Finding:
    """Guard semantics: 0 true, 1 to 125 false, anything else or no end in time is no evidence."""
    result = await host.session.probe(
        Command(text=text, parameters=host.environment, secrets=host.secrets, timeout=timeout, become=host.become)
    )
    evidence = clip("\n".join(part.rstrip("\n") for part in (result.stdout, result.stderr) if part.strip()))
    if result.exit_code is None:
        return unverifiable(f"The command did not end within {timeout:g} s.", evidence)
    if result.exit_code == 0:
        return passed("The command ended with status 0.", evidence, Evidence.COMMAND)
    if result.exit_code > 125:
        return unverifiable(f"The command could not be run to its end (status {result.exit_code}).", evidence)
    return failed(f"The command ended with status {result.exit_code}; wanted: 0.", evidence, Evidence.COMMAND)


async def _service(action: ServiceAction, timeout: float, host: Host) -> Finding:
    service = host.value(action.name)
    wanted_active = action.state is not ServiceState.STOPPED
    question = Question([("service", SERVICE_PART)], {"service": service, "unit": unit_name(service)}, timeout)
    answer = await ask(host.session, question, host.clock, become=host.become)
    section = need(answer.sections, "service", f"the service {service}")
    shown = visible(service)
    evidence = clip(section.text)
    if section.status == 111:
        return unverifiable(f"The host has no systemd, OpenRC or SysV script to ask about {shown}.", evidence)
    lsb = section.text.rpartition("rw-status ")[2].strip()
    if "rw-status " in section.text:
        if lsb not in ("0", "1", "2", "3"):
            return unverifiable(f"The script of {shown} could not say its status (status {lsb}).", evidence)
        if (lsb == "0") is not wanted_active:
            return failed(f"{shown} is {'running' if lsb == '0' else 'not running'}.", evidence, Evidence.UNIT)
        if action.enabled is not None:
            return unverifiable(f"Whether {shown} is enabled cannot be seen without systemd.", evidence)
        return passed(f"{shown} is {'running' if lsb == '0' else 'stopped'}.", evidence, Evidence.UNIT)
    blocks = properties(section.text)
    if section.status != 0 or not blocks or "ActiveState" not in blocks[0]:
        return unverifiable(f"systemctl could not say how {shown} stands: {first_line(section.text)}.", evidence)
    return _unit(shown, blocks[0], action, wanted_active, evidence)


def _unit(shown: str, says: Mapping[str, str], action: ServiceAction, wanted_active: bool, evidence: str) -> Finding:
    active, enabled = says["ActiveState"], says.get("UnitFileState", "")
    if says.get("LoadState") == "not-found":
        return failed(f"{shown} does not exist on the host.", evidence, Evidence.UNIT)
    if (active == "active") is not wanted_active or (not wanted_active and active not in ("inactive", "failed")):
        wanted = "active" if wanted_active else "inactive"
        return failed(f"{shown} is {active} ({says.get('SubState', '')}); wanted: {wanted}.", evidence, Evidence.UNIT)
    if action.enabled is not None and (enabled in ("enabled", "enabled-runtime", "alias", "static")) != action.enabled:
        wanted = "enabled" if action.enabled else "disabled"
        return failed(f"{shown} is {enabled or 'without enablement'}; wanted: {wanted}.", evidence, Evidence.UNIT)
    return passed(f"{shown} is {active} ({says.get('SubState', '')}).", evidence, Evidence.UNIT)


async def _http(check: HttpCheck, host: Host) -> Finding:
    name, port, scheme = host.value(check.host), host.port(check.port), host.value(check.scheme)
    path = host.value(check.path)
    shown_host = f"[{name}]" if ":" in name and not name.startswith("[") else name
    url = f"{scheme}://{shown_host}:{port}{path if path.startswith('/') else '/' + path}"
    wanted = int(host.value(check.status))
    contains = host.value(check.contains) if check.contains is not None else None
    parameters = http_parameters(url, method=check.method, timeout=check.timeout, body=contains is not None)
    question = Question([("http", HTTP_PART)], parameters, check.timeout + 5.0)
    answer = await ask(host.session, question, host.clock, become=host.become, output_limit=_BODY_LIMIT)
    look = read_http(need(answer.sections, "http", url))
    shown, evidence = visible(url), clip(look.body or look.error)
    if look.status is None:
        return failed(f"{shown} does not answer: {look.error}.", evidence, Evidence.HTTP)
    if look.status != wanted:
        return failed(f"{shown} answers {look.status}; wanted: {wanted}.", evidence, Evidence.HTTP)
    if contains is not None and contains not in look.body:
        if len(look.body) * 2 > _BODY_LIMIT:
            return unverifiable(f"{shown} answers {wanted} with more text than could be searched.", evidence)
        return failed(f"{shown} answers {wanted} without the text that was wanted.", evidence, Evidence.HTTP)
    return passed(f"{shown} answers {look.status}.", evidence, Evidence.HTTP)


async def _wait_for(wait: WaitFor, timeout: float, host: Host, *, again: bool) -> Finding:
    started = host.clock.monotonic()
    while True:
        found = await _now(wait, timeout, host)
        waited = host.clock.monotonic() - started
        if found.outcome is not FAILED or again:
            return found
        if waited + wait.every > wait.for_:
            return found.but(reason=f"{found.reason} Waited {waited:.1f} s of {wait.for_:g} s.")
        await host.clock.sleep(max(wait.every, 0.05))


async def _now(wait: WaitFor, timeout: float, host: Host) -> Finding:
    if wait.run is not None:
        return await _run(wait.run, timeout, host)
    if wait.service is not None:
        return await _service(ServiceAction(name=wait.service, state=ServiceState.STARTED), timeout, host)
    if wait.path is not None:
        path = host.value(wait.path)
        answer = await ask(host.session, Question([("path", PATH_PART)], {"path": path}, timeout), host.clock)
        there = need(answer.sections, "path", path).status
        shown = visible(path)
        if there not in (0, 1):
            return unverifiable(f"Whether {shown} exists could not be seen (status {there}).")
        return (passed if there == 0 else failed)(
            f"{shown} {'exists' if there == 0 else 'does not exist'}.", "", Evidence.PATH
        )
    port = host.port(wait.port)
    answer = await ask(host.session, Question([("listening", LISTENING_PART)], {}, timeout), host.clock)
    rows = need(answer.sections, "listening", "its listening ports")
    open_ports = {fact.port for fact in from_proc(rows.text)}
    if rows.status != 0:
        return unverifiable("The host's listening ports could not be read.")
    return (passed if port in open_ports else failed)(
        f"{'Port' if port in open_ports else 'Nothing listens on port'} {port}"
        f"{' is listening' if port in open_ports else ''}.",
        "",
        Evidence.PORT,
    )
