"""Results of other executors: checked whole, masked, cut and made honest before anything of them is stored. Pure.

What they claim to have verified nobody here saw: it is kept as `reported`, never as passed. Their ids get a place of
their own, so that none can be taken for a run that went through the gate.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import rfc8785
from pydantic import ValidationError

from runwright.model.errors import Conflict, Fault, InvalidInput
from runwright.model.executions import RESULT_SCHEMA, RUNBOOK_LANGUAGE, ExecutionResult
from runwright.model.external import EXTERNAL_ORIGIN, REPORTED
from runwright.model.ids import digest, external_execution_id, sha256
from runwright.model.incidents import incident_kinds, parse_subject
from runwright.model.redaction import redact
from runwright.model.verdicts import Check, Verification, VerificationOutcome
from runwright.runbooks.load import LoadedRunbook, load_runbook

OUTPUT_LIMIT = 64 * 1024
"""Characters of one output that are kept, head and tail."""
MOST_STEPS = 500
MOST_ATTEMPTS = 100
"""Of one step."""
FUTURE = timedelta(minutes=5)
"""How far the clock of an executor may be ahead of ours."""

_SOURCE = re.compile(r"external:([a-z0-9][a-z0-9._-]{0,62})")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/+-]{0,199}")
_WORD = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_RUNBOOK = re.compile(r"[A-Z0-9](?:[A-Z0-9-]{0,118}[A-Z0-9])?")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Received:
    """A result as it may be stored, and what it was as it came."""

    result: ExecutionResult
    """With our id, masked, cut, its claims marked as such."""
    source: str
    external_id: str
    content_digest: str
    runbook: LoadedRunbook | None
    """The runbook that ran, where its text came along and is one of this language."""
    masked: int


def receive(result: ExecutionResult, *, now: datetime) -> Received:
    """Take in what another executor reports. Raises InvalidInput with every fault, and stores nothing."""
    faults = list(_faults(result, now))
    runbook, wrong = _runbook(result)
    faults += wrong
    if faults:
        raise InvalidInput(
            f"Found {len(faults)} fault(s) in a result of another executor.",
            allowed="Nothing was stored.",
            next_step="The form is docs/reference/schemas/execution-result.json; docs/how-to/feed-your-own-executor.md "
            "shows a whole one.",
            faults=faults,
        )
    source = result.origin.removeprefix(EXTERNAL_ORIGIN)
    key = external_execution_id(result.client_id, source, result.execution_id)
    ref = result.runbook.model_copy(update={"digest": runbook.digest} if runbook else {})
    honest = result.model_copy(
        update={
            "execution_id": key,
            "runbook": ref,
            "verification": _reported(result.verification, source),
            "verification_after_rollback": _reported(result.verification_after_rollback, source),
            "extra": {**result.extra, "external_id": result.execution_id},
        }
    )
    clean, masked = _clean(honest)
    return Received(clean, source, result.execution_id, _content_digest(result), runbook, masked)


def differing(stored: ExecutionResult, given: ExecutionResult) -> Conflict:
    """The refusal of other content under a known id, naming every place where the two differ."""
    places = sorted(set(_differences(_plain(stored), _plain(given), "")) - {"runbook.version"})  # that one is ours
    shown = ", ".join(places[:20]) or "values that are masked here, or cut"
    more = f" and {len(places) - 20} more" if len(places) > 20 else ""
    return Conflict(
        f"Found other content under the id {stored.extra.get('external_id', stored.execution_id)}: "
        f"it differs in {shown}{more}.",
        allowed="Allowed: the same content again, which changes nothing.",
        next_step="Give another run another id. What is stored stays as it is.",
        faults=[Fault(message="differs from what is stored", path=place) for place in places],
    )


def _faults(result: ExecutionResult, now: datetime) -> Iterator[Fault]:
    """What the schema cannot say."""
    if result.schema_ != RESULT_SCHEMA:
        yield Fault(path="schema", message=f"Found {result.schema_[:60]!r}; allowed: {RESULT_SCHEMA}.")
    if not _SOURCE.fullmatch(result.origin):
        yield Fault(
            path="origin",
            message=f"Found {result.origin[:80]!r}; allowed: external:<source>, the source in lower case, as "
            "external:ansible. `runwright` is for runs that its own gate admitted.",
        )
    if not _ID.fullmatch(result.execution_id):
        yield Fault(
            path="execution_id",
            message="Found an id that is empty, too long, or has other characters than letters, digits and ._:@/+-",
        )
    if result.evidence_bundle_id is not None:
        yield Fault(path="evidence_bundle_id", message="Found one; it is given to runs of this server alone.")
    if not result.status.final:
        yield Fault(path="status", message=f"Found {result.status.value}; allowed: a run that has ended.")
    if result.question is not None:
        yield Fault(path="question", message="Found one; only runs of this server ask.")
    yield from _times(result, now)
    yield from _names(result)
    yield from _steps(result)
    try:
        _content_digest(result)
    except (rfc8785.CanonicalizationError, ValueError, RecursionError) as error:
        yield Fault(message=f"Found a number or text that has no canonical JSON form: {error}")


def _times(result: ExecutionResult, now: datetime) -> Iterator[Fault]:
    if result.started_at > now + FUTURE:
        yield Fault(path="started_at", message=f"Found a time after now ({now.isoformat()}); set the sender's clock.")
    if result.completed_at is not None and result.completed_at < result.started_at:
        yield Fault(path="completed_at", message="Found an end before the start.")
    if result.duration_seconds is not None and not 0 <= result.duration_seconds < 10**9:
        yield Fault(path="duration_seconds", message="Found no duration; allowed: seconds from 0.")


def _names(result: ExecutionResult) -> Iterator[Fault]:
    kind = result.incident.incident_type
    if not _WORD.fullmatch(kind):
        yield Fault(path="incident.incident_type", message="Found no word of lower-case letters, digits and _.")
    elif kind in incident_kinds():
        try:
            parse_subject(kind, result.incident.subject)
        except ValidationError as error:
            for item in error.errors():
                place = ".".join(("incident.subject", *map(str, item["loc"])))
                yield Fault(path=place, message=str(item["msg"]).removeprefix("Value error, "))
    for path, value in (("host.hostname", result.host.hostname), ("incident.id", result.incident.id)):
        if not value.strip() or len(value) > 253 or not value.isprintable():
            yield Fault(path=path, message="Found an empty name, one over 253 characters, or unprintable ones.")
    ref = result.runbook
    ours = ref.language == RUNBOOK_LANGUAGE
    if not (_RUNBOOK if ours else _ID).fullmatch(ref.id):
        allowed = "upper-case letters, digits and -, as RB-LINUX-SERVICE-001" if ours else "letters, digits and ._:@/+-"
        yield Fault(path="runbook.id", message=f"Found {ref.id[:60]!r}; allowed: {allowed}.")
    if not re.fullmatch(r"[a-z0-9][a-z0-9._/-]{0,40}", ref.language):
        yield Fault(path="runbook.language", message="Found no name of a language, as runwright/v1 or ansible.")


def _steps(result: ExecutionResult) -> Iterator[Fault]:
    if len(result.steps) > MOST_STEPS:
        yield Fault(path="steps", message=f"Found {len(result.steps)} steps; allowed: {MOST_STEPS}.")
    seen: set[tuple[str, str]] = set()
    for number, step in enumerate(result.steps):
        if not step.id.strip() or len(step.id) > 200:
            yield Fault(path=f"steps.{number}.id", message="Found an empty id, or one over 200 characters.")
        if (step.section.value, step.id) in seen:
            yield Fault(path=f"steps.{number}.id", message=f"Found {step.id[:60]!r} twice.")
        seen.add((step.section.value, step.id))
        if any(attempt.stdout_artefact or attempt.stderr_artefact for attempt in step.attempts):
            yield Fault(path=f"steps.{number}.attempts", message="Found an artefact; this server keeps its own alone.")
        if len(step.attempts) > MOST_ATTEMPTS:
            yield Fault(path=f"steps.{number}.attempts", message=f"Found over {MOST_ATTEMPTS} attempts.")
    named = result.error.step if result.error is not None else None
    if named is not None and all(step.id != named for step in result.steps):
        yield Fault(path="error.step", message=f"Found {named[:60]!r}, which is none of the steps.")


def _runbook(result: ExecutionResult) -> tuple[LoadedRunbook | None, list[Fault]]:
    """The text as a runbook, where it is one; and what is wrong with it or its digest."""
    ref = result.runbook
    if not _DIGEST.fullmatch(ref.digest):
        return None, [Fault(path="runbook.digest", message="Found no digest; allowed: sha256:<64 hex digits>.")]
    if ref.text is None:
        return None, []
    raw = sha256(ref.text.encode("utf-8", "surrogatepass"))
    if ref.language != RUNBOOK_LANGUAGE:
        return None, [] if ref.digest == raw else [_other_digest(raw)]
    try:
        loaded = load_runbook(ref.text, "runbook.text")
    except InvalidInput as error:
        hint = "" if error.faults else error.found
        faults = [fault.model_copy(update={"path": "runbook.text"}) for fault in error.faults]
        return None, faults or [Fault(path="runbook.text", message=hint)]
    faults = []
    if ref.digest not in (raw, loaded.digest):
        faults.append(_other_digest(f"{loaded.digest} (of the data) or {raw} (of the bytes)"))
    if loaded.document.id != ref.id:
        faults.append(Fault(path="runbook.id", message=f"Found {ref.id!r}; the text says {loaded.document.id}."))
    for found in redact(ref.text).found:
        line = ref.text.count("\n", 0, found.start) + 1
        message = f"Found a secret ({found.kind}) in line {line}; give it as a parameter, `from: secret.NAME`."
        faults.append(Fault(path="runbook.text", message=message))
    return loaded, faults


def _other_digest(right: str) -> Fault:
    return Fault(path="runbook.digest", message=f"Found another digest than that of the text, which is {right}.")


def _content_digest(result: ExecutionResult) -> str:
    # Fields at their defaults are left out, so that the digest stays the same when the record grows.
    return digest(result.model_dump(mode="json", by_alias=True, exclude_defaults=True))


def _reported(claimed: Verification | None, source: str) -> Verification | None:
    """The claim as a claim. A failure stays one; nothing that another executor says is passed."""
    if claimed is None:
        return None
    return Verification(
        outcome=_at_most(claimed.outcome),
        method=REPORTED,
        confidence=0.0,
        explanation=f"Reported by {source}, not observed here. {claimed.explanation}".strip(),
        checks=tuple(
            Check(
                id=check.id,
                kind=check.kind,
                outcome=_at_most(check.outcome),
                reason=check.reason,
                evidence=check.evidence,
                seconds=check.seconds,
                extra={**check.extra, "claimed": check.outcome.value},
            )
            for check in claimed.checks
        ),
        extra={**claimed.extra, "claimed": claimed.outcome.value, "claimed_method": claimed.method},
    )


def _at_most(claimed: VerificationOutcome) -> VerificationOutcome:
    return VerificationOutcome.UNVERIFIABLE if claimed is VerificationOutcome.PASSED else claimed


def _clean(result: ExecutionResult) -> tuple[ExecutionResult, int]:
    """Every text masked and cut. A runbook's text of this language stays: one with a secret in it was refused."""
    data = _plain(result)
    text = result.runbook.text if result.runbook.language == RUNBOOK_LANGUAGE else None
    cleaner = _Cleaner()
    cleaned = cleaner.walk(data, "")
    if text is not None:
        cleaned["runbook"]["text"] = text
    try:
        return ExecutionResult.model_validate_json(json.dumps(cleaned)), cleaner.masked
    except ValidationError as error:
        faults = [
            Fault(path=".".join(map(str, item["loc"])), message="Found what looks like a secret in a field of names.")
            for item in error.errors()
        ]
        raise InvalidInput("The result was refused.", faults=faults) from error


class _Cleaner:
    def __init__(self) -> None:
        self.masked = 0

    def walk(self, value: Any, key: str) -> Any:
        if isinstance(value, str):
            return self._text(value, key)
        if isinstance(value, list):
            return [self.walk(item, key) for item in value]
        if isinstance(value, dict):
            return {self._text(name, ""): self.walk(item, name) for name, item in value.items()}
        return value

    def _text(self, value: str, key: str) -> str:
        found = redact(value)
        self.masked += len(found.found)
        text = found.text
        if key and not found.found and redact(f"{key}: {value}").found:  # {"password": "hunter2"}
            self.masked += 1
            text = "[redacted:named_secret]"
        if len(text) > OUTPUT_LIMIT:
            half = OUTPUT_LIMIT // 2
            left_out = len(text) - 2 * half
            text = f"{text[:half]}\n[runwright: {left_out} characters left out here]\n{text[-half:]}"
        return text


def _plain(result: ExecutionResult) -> dict[str, Any]:
    data: dict[str, Any] = result.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return data


def _differences(first: Any, second: Any, path: str) -> Iterator[str]:
    if isinstance(first, dict) and isinstance(second, dict):
        for name in first.keys() | second.keys():
            yield from _differences(first.get(name), second.get(name), f"{path}.{name}" if path else str(name))
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        for number, (one, other) in enumerate(zip(first, second, strict=True)):
            yield from _differences(one, other, f"{path}.{number}")
    elif first != second:
        yield path
