"""The rules of diagnosis, as one table: the first row whose signals are there answers. No row fits: abstain.

Rows stand in the order in which they explain: what stopped the run itself, then what the subject said, then what
states and checks show. The failure types mean what docs/reference/glossary.md says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from runwright.learning.evidence import Evidence, Voice, is_local
from runwright.learning.repairs.locks import left_behind
from runwright.learning.repairs.paths import missing_directory_of, own_path
from runwright.model.diagnoses import FailureType, Signal, SignalKind
from runwright.model.incidents import IncidentType

K, F, T = SignalKind, FailureType, IncidentType
TOOL, SUBJECT, STATE, ASIDE = Voice.TOOL, Voice.SUBJECT, Voice.STATE, Voice.ASIDE
ANY_WORDS = (TOOL, SUBJECT)

Where = Callable[[Evidence, Signal], bool]


@dataclass(frozen=True)
class Rule:
    """One row. `reason` is filled from the facts of the first signal; a missing fact reads as the thing in general."""

    name: str
    kinds: tuple[SignalKind, ...]
    voices: tuple[Voice, ...]
    failure_type: FailureType
    confidence: float
    reason: str
    where: Where | None = None
    other_type: IncidentType | None = None
    """The incident type whose runbook has the cure."""
    privilege: str | None = None
    """What a person would have to grant, filled as `reason` is."""


def _fact(name: str, *values: str) -> Where:
    return lambda _, signal: signal.facts.get(name) in values


def _type_is(*types: IncidentType) -> Where:
    return lambda evidence, _: evidence.subject.incident_type in {kind.value for kind in types}


def _not(where: Where) -> Where:
    return lambda evidence, signal: not where(evidence, signal)


def _all(*tests: Where) -> Where:
    return lambda evidence, signal: all(test(evidence, signal) for test in tests)


def _elsewhere(_: Evidence, signal: Signal) -> bool:
    """The other end is another machine."""
    return is_local(signal.facts.get("host")) is False


def _nothing_said_local(_: Evidence, signal: Signal) -> bool:
    return is_local(signal.facts.get("host")) is not True


def _another_local_port(evidence: Evidence, signal: Signal) -> bool:
    """Something on this machine that is not the subject itself does not answer."""
    port = signal.facts.get("port")
    return port is not None and is_local(signal.facts.get("host")) is True and not evidence.is_own_port(port)


def _some_disk_is_full(evidence: Evidence, _: Signal) -> bool:
    """Not contradicted by the states: a full file system, or none was captured."""
    disks = [d for s in (evidence.result.state_after, evidence.result.state_before) if s is not None for d in s.disks]
    return not disks or any(disk.used_percent >= 95 or (disk.inodes_used_percent or 0) >= 95 for disk in disks)


def _held_by_another(evidence: Evidence, signal: Signal) -> bool:
    return evidence.another_service_holds(signal.facts.get("port")) is not None


def _own_state(evidence: Evidence, signal: Signal) -> bool:
    return own_path(signal.facts.get("path"), evidence.subject.unit) is not None


def _someone_else_failed(evidence: Evidence, _: Signal) -> bool:
    return bool(evidence.find((K.OTHER_SYMPTOM,), (STATE,), _fact("incident_type", T.SERVICE_CRASH.value)))


def _named_process_is_calm(evidence: Evidence, _: Signal) -> bool:
    return evidence.subject.process is not None and bool(evidence.find((K.SUBJECT_HEALTHY,), (STATE,)))


def _quiet(evidence: Evidence, _: Signal) -> bool:
    """Nothing that the subject or a tool said stands against it."""
    loud = (K.CHECK_FAILED, K.CHECK_UNVERIFIABLE, K.SUBJECT_HEALTHY, K.OTHER_SYMPTOM, K.EXIT_CODE, K.UNIT_FAILED)
    return not any(
        voice in ANY_WORDS and signal.kind not in loud
        for signal, voice in zip(evidence.signals, evidence.voices, strict=True)
    )


_MASKED = Rule(
    "masked", (K.UNIT_MASKED,), ANY_WORDS, F.PERMISSION_DENIED, 0.85,
    "{unit} is masked: someone decided that it must not start.", privilege="systemctl unmask {unit}",
)  # fmt: skip

WHAT_STOPPED_THE_RUN: tuple[Rule, ...] = (
    Rule("live_lock", (K.STALE_LOCK,), ANY_WORDS, F.EXTERNAL_DEPENDENCY, 0.75,
         "Another program holds {path} for now; it passes by itself.",
         where=lambda _, s: "held_by" in s.facts or s.facts.get("live") == "maybe"),
    _MASKED,
    Rule("run_lacks_right", (K.PERMISSION_REFUSED,), (TOOL,), F.PERMISSION_DENIED, 0.9,
         "The run was refused a right: {excerpt}", privilege="what step {step} was refused: {path}"),
    Rule("run_read_only", (K.READ_ONLY_FILESYSTEM,), (TOOL,), F.PERMISSION_DENIED, 0.7,
         "The run cannot write, because the file system is read-only: {excerpt}", privilege="write access to {path}"),
    Rule("no_space_for_the_run", (K.NO_SPACE, K.NO_INODES), (TOOL,), F.WRONG_DIAGNOSIS, 0.85,
         "A file system is full, and what the incident names is an effect of that: {excerpt}",
         where=_all(_not(_type_is(T.DISK_FULL)), _some_disk_is_full), other_type=T.DISK_FULL),
    Rule("tool_missing", (K.COMMAND_MISSING,), (TOOL,), F.ENVIRONMENT_DIFFERENCE, 0.9,
         "This host has no {command}, which the runbook takes for granted."),
    Rule("flag_missing", (K.TOOL_MISSING_FLAG,), (TOOL,), F.ENVIRONMENT_DIFFERENCE, 0.85,
         "{command} of this host does not know {flag}."),
    Rule("unit_missing", (K.UNIT_MISSING,), (TOOL,), F.ENVIRONMENT_DIFFERENCE, 0.75,
         "This host has no {unit}: what the runbook starts is called otherwise or set up otherwise here."),
    Rule("name_unknown", (K.NAME_RESOLUTION,), ANY_WORDS, F.EXTERNAL_DEPENDENCY, 0.85,
         "The name {host} could not be resolved; that lies outside this host.", where=_nothing_said_local),
    Rule("unreachable", (K.CONNECTION_TIMED_OUT, K.NETWORK_UNREACHABLE), ANY_WORDS, F.EXTERNAL_DEPENDENCY, 0.85,
         "{host} could not be reached; that lies outside this host.", where=_nothing_said_local),
    Rule("refused_elsewhere", (K.CONNECTION_REFUSED,), ANY_WORDS, F.EXTERNAL_DEPENDENCY, 0.85,
         "{host} refused the connection; that lies outside this host.", where=_elsewhere),
    Rule("remote_error", (K.REMOTE_ERROR,), ANY_WORDS, F.EXTERNAL_DEPENDENCY, 0.8,
         "A remote server answered with an error ({status}); that lies outside this host.",
         where=_not(_fact("host", "127.0.0.1", "localhost"))),
    Rule("path_missing", (K.PATH_MISSING,), (TOOL,), F.ENVIRONMENT_DIFFERENCE, 0.75,
         "{path}, which the runbook takes for granted, does not exist on this host."),
    Rule("broken_step", (K.SYNTAX_ERROR,), (TOOL,), F.RUNBOOK_INSUFFICIENT, 0.8,
         "The shell text of step {step} does not parse.", where=_fact("language", "shell")),
    Rule("too_short", (K.TIMED_OUT,), (TOOL,), F.RUNBOOK_INSUFFICIENT, 0.75,
         "Step {step} was ended while it was still working.",
         where=lambda _, s: s.facts.get("by") == "step" and s.facts.get("progress") == "yes"),
)  # fmt: skip
"""What the failing step's own commands said; a name or a peer that is not there counts wherever it was said."""

WHAT_THE_SUBJECT_SAID: tuple[Rule, ...] = (
    Rule("certificate_ran_out", (K.CERTIFICATE_EXPIRED,), (SUBJECT,), F.WRONG_RUNBOOK, 0.85,
         "A certificate has run out; renewing it is another runbook's work: {excerpt}",
         where=_not(_type_is(T.CERT_EXPIRY)), other_type=T.CERT_EXPIRY),
    Rule("no_space_for_the_subject", (K.NO_SPACE, K.NO_INODES), (SUBJECT,), F.WRONG_DIAGNOSIS, 0.85,
         "A file system is full, and what the incident names is an effect of that: {excerpt}",
         where=_all(_not(_type_is(T.DISK_FULL)), _some_disk_is_full), other_type=T.DISK_FULL),
    Rule("dependency_failed", (K.DEPENDENCY_FAILED,), ANY_WORDS, F.WRONG_DIAGNOSIS, 0.85,
         "Another unit that the subject needs has failed, so the cause is there.",
         where=_someone_else_failed, other_type=T.SERVICE_CRASH),
    Rule("dependency", (K.DEPENDENCY_FAILED,), ANY_WORDS, F.WRONG_DIAGNOSIS, 0.75,
         "Another unit that the subject needs did not start, so the cause is there.", other_type=T.SERVICE_CRASH),
    Rule("left_behind", (K.STALE_LOCK, K.STALE_PID), ANY_WORDS, F.RUNBOOK_INSUFFICIENT, 0.9,
         "A file that an earlier run left behind ({path}) keeps the subject from starting, and no step removes it.",
         where=lambda _, s: left_behind(s) is not None),
    Rule("port_of_another", (K.PORT_IN_USE,), ANY_WORDS, F.WRONG_DIAGNOSIS, 0.8,
         "Port {port} is held by another service of this host, so the cause is there.",
         where=_held_by_another, other_type=T.SERVICE_CRASH),
    Rule("port_in_use", (K.PORT_IN_USE,), ANY_WORDS, F.RUNBOOK_INSUFFICIENT, 0.75,
         "The address that the subject listens on ({port}{path}) is taken, and no step frees it."),
    Rule("unit_changed", (K.CONFIG_ERROR,), (TOOL, SUBJECT, ASIDE), F.RUNBOOK_INSUFFICIENT, 0.85,
         "The unit file changed on disk and systemd has not read it again; no step tells it to.",
         where=_fact("cause", "unit_changed")),
    Rule("configuration", (K.CONFIG_ERROR, K.SYNTAX_ERROR), ANY_WORDS, F.RUNBOOK_INSUFFICIENT, 0.8,
         "The subject cannot read its configuration ({file}, line {line}), and no step puts it right.",
         where=lambda _, s: "file" in s.facts and s.facts.get("language") != "shell"),
    Rule("own_state", (K.PERMISSION_REFUSED,), (SUBJECT,), F.RUNBOOK_INSUFFICIENT, 0.8,
         "The subject cannot use its own {path}, and no step gives it back.", where=_own_state),
    Rule("subject_lacks_right", (K.PERMISSION_REFUSED,), (SUBJECT,), F.PERMISSION_DENIED, 0.85,
         "The subject was refused a right that a person must grant: {excerpt}",
         privilege="for the user that the subject runs as: {path}"),
    Rule("subject_read_only", (K.READ_ONLY_FILESYSTEM,), (SUBJECT,), F.PERMISSION_DENIED, 0.7,
         "The subject may not write there: {excerpt}", privilege="write access of the subject to {path}"),
    Rule("environment_file", (K.PATH_MISSING,), ANY_WORDS, F.RUNBOOK_INSUFFICIENT, 0.8,
         "A file that the unit takes its environment from is missing, and no step puts it back.",
         where=_fact("role", "environment_file")),
    Rule("directory_missing", (K.PATH_MISSING,), (SUBJECT,), F.RUNBOOK_INSUFFICIENT, 0.8,
         "{path} is missing, and no step makes it.",
         where=lambda _, s: missing_directory_of(s) is not None or s.facts.get("role") == "working_directory"),
    Rule("local_peer", (K.CONNECTION_REFUSED, K.NETWORK_UNREACHABLE), ANY_WORDS, F.WRONG_DIAGNOSIS, 0.8,
         "What listens on port {port} of this host does not answer: another component is the cause.",
         where=_another_local_port, other_type=T.SERVICE_CRASH),
    Rule("out_of_memory", (K.OUT_OF_MEMORY,), (SUBJECT,), F.WRONG_RUNBOOK, 0.7,
         "The subject ran out of memory; that is another runbook's work: {excerpt}",
         where=_type_is(T.SERVICE_CRASH), other_type=T.MEMORY_LEAK),
    Rule("limit", (K.UNIT_LIMIT,), (SUBJECT,), F.RUNBOOK_INSUFFICIENT, 0.75,
         "The unit runs into a limit of its own ({limit}), and no step raises it."),
    Rule("start_limit", (K.START_LIMIT_HIT,), ANY_WORDS, F.RUNBOOK_INSUFFICIENT, 0.7,
         "systemd refuses to start the unit because it failed too often, and no step clears that.",
         where=lambda e, s: _quiet_but(e, K.START_LIMIT_HIT)),
)  # fmt: skip
"""What the journal, the manager's status and the evidence of checks said."""


def _quiet_but(evidence: Evidence, *kinds: SignalKind) -> bool:
    known = {*kinds, K.UNIT_FAILED, K.EXIT_CODE, K.KILLED, K.CHECK_FAILED}
    spoken = zip(evidence.signals, evidence.voices, strict=True)
    return not any(voice in ANY_WORDS and signal.kind not in known for signal, voice in spoken)


WHAT_THE_STATES_SHOW: tuple[Rule, ...] = (
    Rule("absent", (K.SUBJECT_ABSENT,), (STATE,), F.WRONG_DIAGNOSIS, 0.65,
         "What the incident names does not exist on this host: {excerpt}"),
    Rule("another_process", (K.OTHER_SYMPTOM,), (STATE,), F.WRONG_DIAGNOSIS, 0.8,
         "Not the named process but {process} shows the symptom.",
         where=lambda e, s: s.facts.get("incident_type") == e.subject.incident_type and _named_process_is_calm(e, s)),
    Rule("another_mount", (K.OTHER_SYMPTOM,), (STATE,), F.WRONG_DIAGNOSIS, 0.8,
         "Not the named file system but {mount} is full.",
         where=lambda e, s: e.subject.incident_type == T.DISK_FULL.value and "mount" in s.facts
         and bool(e.find((K.SUBJECT_HEALTHY,), (STATE,)))),
    Rule("nothing_wrong", (K.SUBJECT_HEALTHY,), (STATE,), F.WRONG_DIAGNOSIS, 0.75,
         "Nothing was wrong with the subject before the run: {excerpt}", where=_quiet),
    Rule("still_starting", (K.TIMED_OUT,), (STATE,), F.RUNBOOK_INSUFFICIENT, 0.75,
         "The subject was still coming up when it was checked; no step waits for it.",
         where=_fact("by", "verification")),
    Rule("disk_behind_a_crash", (K.OTHER_SYMPTOM,), (STATE,), F.WRONG_DIAGNOSIS, 0.65,
         "{mount} is full, and what the incident names may be an effect of that.",
         where=lambda e, s: "mount" in s.facts and e.subject.incident_type in (T.SERVICE_CRASH.value,
         T.BACKUP_FAILURE.value) and _quiet_but(e), other_type=T.DISK_FULL),
    Rule("did_not_help", (K.STATE_UNCHANGED,), (STATE,), F.RUNBOOK_INSUFFICIENT, 0.7,
         "Every step went well and the symptom is still there, so a step is missing: {excerpt}",
         where=_type_is(T.DISK_FULL, T.HIGH_CPU, T.MEMORY_LEAK)),
    Rule("old_certificate_served", (K.CHECK_FAILED,), (STATE,), F.RUNBOOK_INSUFFICIENT, 0.65,
         "Renewing and reloading went well and the certificate is still the old one: {excerpt}",
         where=lambda e, s: e.subject.incident_type == T.CERT_EXPIRY.value and e.steps_went_well and _quiet(e, s)),
)  # fmt: skip
"""What captured states and verdicts show where nobody said anything clearer."""

RULES: tuple[Rule, ...] = (*WHAT_STOPPED_THE_RUN, *WHAT_THE_SUBJECT_SAID, *WHAT_THE_STATES_SHOW)
