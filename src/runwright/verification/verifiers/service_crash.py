"""Is the crashed service back: the same unit, running for good, enabled as before, and answering?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from runwright.model.base import Record
from runwright.model.incidents import ServiceCrash
from runwright.verification import standing
from runwright.verification.disks import MOUNTS_PART, lasting_mounts
from runwright.verification.findings import Evidence, Finding, NoEvidence, failed, passed, unverifiable, weightiest
from runwright.verification.owners import LOCAL_NAMES, PORT_PART, PortOwner, read_port
from runwright.verification.sections import Question, Section, Sections
from runwright.verification.standing import Standing, read_standing, weakened
from runwright.verification.text import first_line, visible
from runwright.verification.units import unit_name
from runwright.verification.verifier import Verifier, integer, need, properties
from runwright.verification.web import HTTP_PART, http_parameters, read_http

_PROPERTIES = (
    f"{standing.PROPERTIES},LoadState,ActiveState,SubState,UnitFileState,MainPID,NRestarts,RestartUSec,Result,"
    "InvocationID,ControlGroup,FreezerState,Job,ExecMainStartTimestampMonotonic,ExecMainExitTimestampMonotonic,"
    "ExecMainStatus"
)

UNIT_PART = r"""
if [ -d /run/systemd/system ] && have systemctl; then
  rw_show=$(systemctl show --no-pager -p PROPERTIES -- "$unit" 2>&1); rw_code=$?
  printf '%s\n' "$rw_show"
  rw_pid=$(printf '%s\n' "$rw_show" | sed -n 's/^MainPID=//p')
  if [ "${rw_pid:-0}" != 0 ] && [ -r "/proc/$rw_pid/stat" ]; then
    printf 'rw-process=%s\n' "$(sed -n 's/.*) \([A-Za-z]\) .*/\1/p' "/proc/$rw_pid/stat")"; fi
  STANDING
  (exit "$rw_code")
else read -r rw_init </proc/1/comm; printf 'rw-init=%s\n' "$rw_init"; fi
""".replace("PROPERTIES", _PROPERTIES).replace("STANDING", standing.FILES_SNIPPET)

_LONGEST_HOLD = 15.0


class ServiceFacts(Record):
    """What the host says of the unit, its port and its URL."""

    unit: str
    systemd: bool
    init: str = "systemd"
    load: str = ""
    active: str = ""
    sub: str = ""
    enablement: str = ""
    type: str = ""
    remain_after_exit: bool = False
    main_pid: int | None = None
    process_state: str = ""
    """The kernel's letter for the main process: R, S, D, T, Z."""
    restarts: int | None = None
    restart_seconds: float = 0.1
    result: str = ""
    exit_status: int | None = None
    invocation: str = ""
    started_monotonic: int | None = None
    control_group: str = ""
    life_seconds: float | None = None
    """How long the main process lived that ended last."""
    standing: Standing | None = None
    mounts: tuple[str, ...] | None = None
    """Where the host's own file systems are mounted; None where that was not told."""
    frozen: bool = False
    job: bool = False
    """A start or stop is queued that systemd has not begun."""
    listening: bool | None = None
    owners: tuple[PortOwner, ...] = ()
    http_status: int | None = None
    http_error: str = ""
    http_unknown: str = ""
    """Why the host could not ask for the URL at all."""

    def line(self) -> str:
        """One line of evidence."""
        if not self.systemd:
            text = f"init {self.init}"
        else:
            text = (
                f"{self.unit}: load={self.load} active={self.active} sub={self.sub} enabled={self.enablement or '-'} "
                f"pid={self.main_pid or '-'} restarts={self.restarts if self.restarts is not None else '-'} "
                f"result={self.result or '-'}"
            )
        if self.listening is not None:
            held = ", ".join(f"{owner.name} (pid {owner.pid})" for owner in self.owners)
            text += f"; port {'listening' if self.listening else 'closed'}{' by ' + held if held else ''}"
        if self.http_status is not None or self.http_error or self.http_unknown:
            text += f"; url {self.http_status or self.http_error or self.http_unknown}"
        return text


class ServiceCrashVerifier(Verifier[ServiceCrash, ServiceFacts]):
    """service_crash: `service`, and `port` and `url` where given."""

    incident_type = "service_crash"
    facts = ServiceFacts

    def question(self, subject: ServiceCrash, *, baseline: bool = False) -> Question:
        parts = [("unit", UNIT_PART), ("mounts", MOUNTS_PART)]
        parameters = {"unit": unit_name(subject.service), "rw_known": ""}
        port = _port(subject)
        if port is not None:
            parts.append(("port", PORT_PART))
            parameters["port"] = str(port)
        if subject.url is not None and not baseline:
            parts.append(("url", HTTP_PART))
            parameters |= http_parameters(subject.url, timeout=5.0, insecure=True)
        return Question(parts=parts, parameters=parameters, timeout=20.0)

    def question_after(self, subject: ServiceCrash, before: ServiceFacts | None) -> Question:
        asked = self.question(subject)
        known = before.standing.known if before is not None and before.standing is not None else ""
        return replace(asked, parameters={**asked.parameters, "rw_known": known})

    def read(self, subject: ServiceCrash, sections: Sections) -> ServiceFacts:
        facts = _read_unit(unit_name(subject.service), need(sections, "unit", f"the unit {subject.service}"))
        if "mounts" in sections and sections["mounts"].status == 0:
            facts = facts.model_copy(update={"mounts": lasting_mounts(sections["mounts"].text)})
        port = _port(subject)
        if port is not None and "port" in sections:
            facts = facts.model_copy(update=dict(read_port(port, need(sections, "port", "its port"))))
        if subject.url is not None and "url" in sections:
            facts = facts.model_copy(update=_read_url(sections["url"]))
        return facts

    def hold(self, look: ServiceFacts, default: float, before: ServiceFacts | None = None) -> float:
        """Longer than a restart delay where the unit restarts by itself, and than its last life: slow loops show."""
        wanted = default
        if look.restarts:
            wanted = max(wanted, min(look.restart_seconds + 3.0, _LONGEST_HOLD))
        lived = before.life_seconds if before is not None else None
        if lived is not None and lived < _LONGEST_HOLD:
            wanted = max(wanted, min(lived * 1.2 + 1.0, _LONGEST_HOLD))
        return wanted

    def judge(self, subject: ServiceCrash, before: ServiceFacts | None, looks: Sequence[ServiceFacts]) -> Finding:
        last = looks[-1]
        evidence = "\n".join(look.line() for look in looks)
        faults: list[Finding] = []
        if last.systemd:
            faults += _state(last, before)
            if before is not None and before.systemd:
                faults += _compared(last, before)
                faults += weakened(last.standing, before.standing)
            if len(looks) > 1:
                faults += _over_time(looks[0], last)
        elif subject.port is None and subject.url is None:
            return unverifiable(
                f"Process 1 of the host is {last.init}, not systemd, and the incident names neither port nor url "
                f"by which {subject.service} could be seen to answer.",
                evidence,
            )
        if before is not None and before.mounts is not None and last.mounts is not None:
            lost = [point for point in before.mounts if point not in last.mounts]
            faults += [failed(f"A file system was mounted on {point} before and is not any more.") for point in lost]
        faults += _answers(subject, last, before)
        return weightiest(faults, evidence) or _passed(subject, last, before, evidence)


def _passed(subject: ServiceCrash, last: ServiceFacts, before: ServiceFacts | None, evidence: str) -> Finding:
    kinds: list[Evidence] = []
    seen: list[str] = []
    if last.systemd:
        kinds.append(Evidence.UNIT)
        seen.append(f"{last.unit} is {last.active} ({last.sub})")
        if before is not None and before.systemd:
            kinds.append(Evidence.BEFORE)
    if last.listening and subject.port is not None:
        kinds.append(Evidence.PORT)
        seen.append(f"port {subject.port} is listening")
    if last.http_status is not None:
        kinds.append(Evidence.HTTP)
        seen.append(f"{visible(subject.url or '')} answers {last.http_status}")
    return passed(f"{' and '.join(seen)}.", evidence, *kinds)


def _state(now: ServiceFacts, before: ServiceFacts | None) -> Iterator[Finding]:
    """Faults of the unit as it stands."""
    if now.load == "not-found":
        yield failed(f"{now.unit} does not exist on the host.")
    elif now.load == "masked" or now.enablement.startswith("masked"):
        yield failed(f"{now.unit} is masked: it cannot start.")
    elif now.load != "loaded":
        yield failed(f"{now.unit} cannot be loaded (systemd says {now.load}).")
    else:
        yield from _activity(now, before)
        if now.process_state in ("T", "t", "Z", "X"):
            yield failed(f"The main process {now.main_pid} of {now.unit} is halted or dead ({now.process_state}).")
        if now.frozen:
            yield failed(f"{now.unit} is frozen.")


def _activity(now: ServiceFacts, before: ServiceFacts | None) -> Iterator[Finding]:
    """Faults of the active state of a unit that is loaded."""
    seen = f"{now.unit} is {now.active} ({now.sub})"
    if now.active == "activating" and now.sub == "auto-restart":
        yield failed(f"{seen}: it ended and waits to be started again.", settling=True)
    elif now.active in ("activating", "reloading", "refreshing"):
        yield failed(f"{seen}, not active yet.", settling=True)
    elif now.active == "inactive" and now.type == "oneshot" and not now.remain_after_exit:
        if now.result != "success" or (before is not None and before.invocation == now.invocation):
            yield failed(f"{seen}, and its last run did not succeed after the incident (result {now.result}).")
    elif now.active != "active":
        result = f", result {now.result}" if now.result not in ("", "success") else ""
        yield failed(f"{seen}{result}; wanted: active.", settling=now.job)
    elif now.unit.endswith(".service") and now.sub != "running" and now.type != "oneshot":
        yield failed(f"{seen}: its process has ended.")


_ENABLED = {"enabled": 2, "enabled-runtime": 1, "linked": 0, "disabled": 0, "bad": 0}


def _compared(now: ServiceFacts, before: ServiceFacts) -> Iterator[Finding]:
    """Faults against the state before: a unit that was weakened or that is another one."""
    was, is_ = _ENABLED.get(before.enablement), _ENABLED.get(now.enablement)
    if was is not None and is_ is not None and is_ < was:
        yield failed(
            f"{now.unit} was {before.enablement} before and is {now.enablement} now: it would not come back at boot."
        )
    elif before.enablement == "enabled" and now.enablement in ("static", "indirect", "transient", "generated", ""):
        yield unverifiable(
            f"{now.unit} was enabled before and is {now.enablement or 'without enablement'} now: "
            "whether it comes back at boot is for a person to say."
        )


def _over_time(first: ServiceFacts, last: ServiceFacts) -> Iterator[Finding]:
    """Faults between the looks: whatever did not stay as it was."""
    if (last.restarts or 0) > (first.restarts or 0):
        yield failed(
            f"{last.unit} was restarted by systemd during the hold time ({first.restarts} -> {last.restarts})."
        )
    elif first.invocation and last.invocation and first.invocation != last.invocation:
        yield failed(f"{last.unit} was started anew during the hold time.")
    elif first.main_pid and first.main_pid != last.main_pid and last.active == "active":
        yield failed(
            f"The main process of {last.unit} changed during the hold time ({first.main_pid} -> {last.main_pid})."
        )


def _answers(subject: ServiceCrash, now: ServiceFacts, before: ServiceFacts | None) -> Iterator[Finding]:
    """Faults of what the subject should answer on."""
    if subject.port is not None:
        if not now.listening:
            yield failed(f"Nothing listens on port {subject.port}.", settling=True)
        elif now.systemd and now.owners and not any(owner.of(now.control_group) for owner in now.owners):
            owner = now.owners[0]
            yield failed(f"Port {subject.port} is held by {owner.name} (pid {owner.pid}), which is not of {now.unit}.")
    if subject.url is not None:
        url = visible(subject.url)
        if now.http_unknown:
            yield unverifiable(f"{url} could not be asked for: {now.http_unknown}.")
        elif now.http_status is None:
            yield failed(f"{url} does not answer: {now.http_error}.", settling=True)
        elif not 200 <= now.http_status < 400:
            yield failed(f"{url} answers {now.http_status}; wanted: 2xx or 3xx.", settling=True)
        elif subject.port is None and before is not None and now.systemd:
            yield from _answered_by_another(url, now, before)


def _answered_by_another(url: str, now: ServiceFacts, before: ServiceFacts) -> Iterator[Finding]:
    """A fault where something new, which is not of the unit, answers for it. A proxy was there before."""
    earlier = {owner.name for owner in before.owners}
    strangers = [one for one in now.owners if not one.of(now.control_group) and one.name not in earlier]
    if strangers and before.listening is False and len(strangers) == len(now.owners):
        yield failed(f"{url} is answered by {strangers[0].name} (pid {strangers[0].pid}), which is not of {now.unit}.")


def _port(subject: ServiceCrash) -> int | None:
    """The port to look at: the subject's, else that of a URL on the host itself."""
    if subject.port is not None or subject.url is None:
        return subject.port
    try:
        parts = urlsplit(subject.url)
        if parts.hostname not in LOCAL_NAMES:
            return None
        return parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return None


def _read_unit(unit: str, section: Section) -> ServiceFacts:
    init = re.search(r"^rw-init=(.*)$", section.text, re.MULTILINE)
    if init:
        return ServiceFacts(unit=unit, systemd=False, init=visible(init[1]))
    blocks = properties(section.text)
    if section.status != 0 or not blocks or "ActiveState" not in blocks[0]:
        raise NoEvidence(f"systemctl could not say how {unit} stands: {first_line(section.text)}")
    return _unit_facts(unit, blocks[0]).model_copy(update={"standing": read_standing(section.text)})


def _unit_facts(unit: str, says: Mapping[str, str]) -> ServiceFacts:
    started, ended = (integer(says.get(f"ExecMain{which}TimestampMonotonic")) or 0 for which in ("Start", "Exit"))
    return ServiceFacts(
        unit=unit,
        systemd=True,
        load=says.get("LoadState", ""),
        active=says["ActiveState"],
        sub=says.get("SubState", ""),
        enablement=says.get("UnitFileState", ""),
        type=says.get("Type", ""),
        remain_after_exit=says.get("RemainAfterExit") == "yes",
        main_pid=integer(says.get("MainPID")) or None,
        process_state=says.get("rw-process", ""),
        restarts=integer(says.get("NRestarts")),
        restart_seconds=standing.seconds(says.get("RestartUSec", "100ms")) or 0.0,
        result=says.get("Result", ""),
        exit_status=integer(says.get("ExecMainStatus")),
        invocation=says.get("InvocationID", ""),
        started_monotonic=started or None,
        life_seconds=(ended - started) / 1e6 if ended > started > 0 else None,
        control_group=says.get("ControlGroup", ""),
        frozen=says.get("FreezerState") == "frozen",
        job=bool(integer(says.get("Job"))),
    )


def _read_url(section: Section) -> dict[str, object]:
    if not section.ended:
        return {"http_unknown": "the host did not come back in time"}
    try:
        look = read_http(section)
    except NoEvidence as reason:
        return {"http_unknown": str(reason)}
    return {"http_status": look.status, "http_error": look.error}
