"""Whether an evidence bundle is what was signed, and whether what was signed fits together. Needs no server. Pure."""

from __future__ import annotations

import base64
import binascii
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

import rfc8785
from pydantic import ValidationError

from runwright.access.dsse import open_payload, open_statement
from runwright.execution.evidence import (
    EVIDENCE_SCHEMA,
    EVIDENCE_TYPE,
    PARTS,
    artefacts_of,
    bundle_id,
    inputs_of,
    signing_keys,
    whole_telemetry,
)
from runwright.model.audit import AuditEntry, chain_hash
from runwright.model.base import Record
from runwright.model.clients import client_scope
from runwright.model.errors import InvalidInput, Tampered
from runwright.model.ids import ALL, digest, sha256
from runwright.model.reviews import ApprovalStatement
from runwright.runbooks.stored import check_stored

LARGEST = 64 * 1024 * 1024
"""Bytes of a bundle that is read."""
LARGEST_ENVELOPE = 1024 * 1024


class EvidenceVerdict(StrEnum):
    INTACT = "intact"
    """Every byte is as signed, by keys that are trusted here."""
    UNKNOWN_SIGNER = "unknown_signer"
    """Every byte is as signed; whether by this server's key is for the reader to say."""
    CHANGED = "changed"


class EvidenceFinding(Record):
    """One thing that is wrong, and in which part."""

    part: str
    problem: str


class EvidenceReport(Record):
    """What checking a bundle found."""

    verdict: EvidenceVerdict
    bundle_id: str | None = None
    execution_id: str | None = None
    client_id: str | None = None
    status: str | None = None
    runbook: str | None = None
    approved_by: str | None = None
    signers: tuple[str, ...] = ()
    """Fingerprints of all keys that signed something within."""
    unknown: tuple[str, ...] = ()
    """Those of them that are not trusted here."""
    findings: tuple[EvidenceFinding, ...] = ()


MALFORMED = (KeyError, IndexError, TypeError, AttributeError, ValueError, RecursionError)
"""What reading something of another form raises: whoever signed it, it is no bundle of ours."""


class _Keys:
    """The keys that a bundle brings along; trust is another matter."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = keys

    def public_keys(self) -> Mapping[str, bytes]:
        return self._keys


class _Broken(Exception):
    """Nothing further can be checked."""


def check_bundle(data: bytes, trusted: Mapping[str, bytes], *, named: bool = False) -> EvidenceReport:
    """Check a bundle against trusted public keys (raw, by fingerprint).

    `named`: these keys were named for this bundle, so one signed by another is refused rather than unknown.
    Raises InvalidInput for what is no bundle at all.
    """
    if len(data) > LARGEST or (b'{"envelope"' not in data[:64] and EVIDENCE_SCHEMA.encode() not in data):
        raise InvalidInput(
            "Found no evidence bundle: its first line, the envelope, is missing.",
            allowed=f"Allowed: a file of `runwright execution export`, up to {LARGEST // 1024 // 1024} MB.",
        )
    check = _Check(data)
    try:
        check.envelope()
        check.lines()
        if not check.findings:
            check.meaning()
    except _Broken:
        pass
    except MALFORMED as error:
        check.say("file", f"It is not of its form ({type(error).__name__}: {str(error)[:200]}).")
    return check.report(trusted, named=named)


class _Check:
    def __init__(self, data: bytes) -> None:
        first, mark, rest = data.partition(b"\n")
        self._head, self._rest = first + mark, rest
        self._keys: dict[str, bytes] = {}
        self._manifest: dict[str, Any] = {}
        self._parts: dict[str, Any] = {}
        self._statement: ApprovalStatement | None = None
        self.findings: list[EvidenceFinding] = []

    def say(self, part: str, problem: str) -> None:
        self.findings.append(EvidenceFinding(part=part, problem=problem))

    def broken(self, part: str, problem: str) -> _Broken:
        self.say(part, problem)
        return _Broken()

    def envelope(self) -> None:
        """The first line: canonical, with the keys it needs and no other, its signature good."""
        try:
            head = json.loads(self._head)
            canonical = rfc8785.dumps(head) + b"\n" == self._head
        except (ValueError, RecursionError) as error:
            raise self.broken("envelope", "The first line is no JSON.") from error
        if not canonical or not isinstance(head, dict) or set(head) != {"envelope", "keys", "schema"}:
            raise self.broken("envelope", "The first line is not written as it was.")
        if head["schema"] != EVIDENCE_SCHEMA:
            raise self.broken("envelope", f"Found the form {str(head['schema'])[:60]!r}, not {EVIDENCE_SCHEMA}.")
        self._keys = self._read_keys(head["keys"])
        try:
            payload = open_payload(_Keys(self._keys), EVIDENCE_TYPE, str(head["envelope"]), limit=LARGEST_ENVELOPE)
        except Tampered as error:
            raise self.broken("envelope", f"The signed list of parts: {error.found}") from error
        self._manifest = json.loads(payload)
        self._signer = str(json.loads(head["envelope"])["signatures"][0]["keyid"])
        names = [part["name"] for part in self._manifest["parts"]]
        if names != list(PARTS) or self._manifest["schema"] != EVIDENCE_SCHEMA:
            raise self.broken("envelope", f"The signed list names other parts: {', '.join(map(str, names))[:200]}.")

    def _read_keys(self, keys: Any) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for key_id, text in keys.items() if isinstance(keys, dict) else ():
            try:
                raw = base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError, TypeError) as error:
                raise self.broken("keys", f"Key {key_id[:80]} is no base64.") from error
            if sha256(raw) != key_id or base64.b64encode(raw).decode() != text:
                raise self.broken("keys", f"Key {key_id[:80]} is not the one that its name says.")
            found[key_id] = raw
        return found

    def lines(self) -> None:
        """Every line is the one that was signed, each once, in order, and nothing is behind them."""
        specs = self._manifest["parts"]
        found = [text + b"\n" for text in self._rest.split(b"\n")]
        tail = found.pop()[:-1]
        if tail:
            found.append(tail)  # its line end is missing, so it cannot be right
        wanted = [(spec["name"], spec["sha256"]) for spec in specs]
        have = [sha256(text) for text in found]
        if have == [mark for _, mark in wanted]:
            self._parts = {name: json.loads(text)["data"] for (name, _), text in zip(wanted, found, strict=True)}
            return
        self._name_changes(wanted, have)

    def _name_changes(self, wanted: Sequence[tuple[str, str]], have: Sequence[str]) -> None:
        counted, known = Counter(have), {mark: name for name, mark in wanted}
        for name, mark in wanted:
            if not counted[mark]:
                self.say(name, "It was changed or removed: no line has the digest that was signed.")
            elif counted[mark] > 1:
                self.say(name, f"It stands {counted[mark]} times.")
        strange = sum(1 for mark in have if mark not in known)
        missing = sum(1 for _, mark in wanted if not counted[mark])
        if strange > missing:
            self.say("file", f"{strange - missing} line(s) were added that nobody signed.")
        order = [known[mark] for mark in have if mark in known]
        if not self.findings:
            moved = next(name for name, right in zip(order, PARTS, strict=True) if name != right)
            self.say(moved, "The parts stand in another order than they were signed in.")

    def meaning(self) -> None:
        """Whether what was signed fits together: approval, content, telemetry and audit are about the same run."""
        checks = {
            "keys": self._used_keys,
            "runbook": self._runbook,
            "approval": self._approval,
            "routing": self._routing,
            "telemetry": self._run,
            "inputs": self._inputs,
            "audit": self._audit,
        }
        for part, check in checks.items():
            try:
                for where, problem in check():
                    self.say(where, problem)
            except Tampered as error:
                self.say(part, f"{error.found} {error.allowed}")
            except MALFORMED as error:
                self.say(part, f"It is not of its form ({type(error).__name__}: {str(error)[:200]}).")

    def _used_keys(self) -> Iterator[tuple[str, str]]:
        if set(self._keys) != {self._signer, *signing_keys(self._parts)}:
            yield "keys", "There are keys to which no signature belongs, or some are missing."

    def _runbook(self) -> Iterator[tuple[str, str]]:
        part = self._parts["runbook"]
        loaded = check_stored(part["text"], part["digest"], part["raw_digest"])
        if loaded.document.id != part["runbook_id"]:
            yield "runbook", f"The text is that of {loaded.document.id}."
        if list(loaded.document.controls) != self._parts["controls"]:
            yield "controls", "They are not those of the runbook's text."

    def _approval(self) -> Iterator[tuple[str, str]]:
        runbook, execution = self._parts["runbook"], self._parts["execution"]
        statement = self._statement = open_statement(_Keys(self._keys), self._parts["approval"]["envelope"])
        digests = {
            "the approval": statement.digest,
            "the execution": execution["digest"],
            "the telemetry": self._parts["telemetry"]["runbook"]["digest"],
        }
        for what, found in digests.items():
            if found != runbook["digest"]:
                yield "approval", f"The digest in {what} is {found}, that of the text {runbook['digest']}."
        if statement.raw_digest != runbook["raw_digest"]:
            yield "approval", "Other bytes were approved than those of the text."
        if (statement.subject_kind, statement.subject_id) != ("version", execution["version_id"]):
            yield "approval", f"It approves {statement.subject_id}, and {execution['version_id']} ran."
        if statement.approval_id != execution["approval_id"]:
            yield "approval", "It is another approval than the one that the execution names."
        yield from self._covers("approval", statement)

    def _routing(self) -> Iterator[tuple[str, str]]:
        rule, execution = self._parts["routing"], self._parts["execution"]
        if rule is None:
            if execution.get("routing_id") is not None:
                yield "routing", "The execution names a rule, and there is none."
            return
        scope, kind = rule["scope"], rule["incident_type"]
        own = digest({"incident_type": kind, "runbook_id": rule["runbook_id"], "scope": scope})
        if own != rule["digest"] or rule["id"] != execution.get("routing_id"):
            yield "routing", "The rule is not the one that the execution names, or its digest is another."
        if kind != self._parts["incident"]["incident_type"] or rule["runbook_id"] != execution["runbook_id"]:
            yield "routing", "The rule answers other incidents, or by another runbook."
        statement = open_statement(_Keys(self._keys), rule["approval"]["envelope"])
        if (statement.subject_kind, statement.subject_id, statement.digest) != ("routing", rule["id"], rule["digest"]):
            yield "routing", "Its approval is that of something else."
        yield from self._covers("routing", statement)

    def _covers(self, part: str, statement: ApprovalStatement) -> Iterator[tuple[str, str]]:
        """Whether the approval held for this client when the run began."""
        execution = self._parts["execution"]
        if statement.scope not in (ALL, client_scope(execution["client_id"])):
            yield part, f"Its scope {statement.scope} does not cover client {execution['client_id']}."
        began = datetime.fromisoformat(execution["started_at"])
        if not statement.decided_at <= began < statement.expires_at:
            yield part, f"The run began at {began.isoformat()}, outside the time for which it was approved."

    def _run(self) -> Iterator[tuple[str, str]]:
        telemetry, execution, incident = (self._parts[name] for name in ("telemetry", "execution", "incident"))
        told = {
            "execution": (telemetry["execution_id"], execution["id"], self._manifest["execution_id"]),
            "client": (telemetry["client_id"], execution["client_id"], self._manifest["client_id"]),
            "incident": (telemetry["incident"]["id"], execution["incident_id"], incident["id"]),
            "host": (execution["host_id"], incident["host_id"]),
            "status": (telemetry["status"], execution["status"]),
            "bundle": (telemetry.get("evidence_bundle_id") or self._manifest["bundle_id"], bundle_id(execution["id"])),
        }
        for what, names in told.items():
            if len(set(names)) > 1:
                yield "telemetry", f"The parts are about different {what}s: {', '.join(map(str, names))}."
        if telemetry.get("origin", "runwright") != "runwright":
            yield "telemetry", "It is that of another executor."
        if self._parts["artefacts"] != artefacts_of(telemetry):
            yield "artefacts", "They are not those that the telemetry names."
        for entry in self._parts["journal"]:
            if entry["intent"]["execution_id"] != execution["id"]:
                yield "journal", f"Attempt {entry['intent']['attempt_id']} is that of another execution."

    def _inputs(self) -> Iterator[tuple[str, str]]:
        if self._parts["inputs"] != inputs_of(self._parts["execution"], self._parts["incident"]):
            yield "inputs", "The digests are not those of the parameters and the subject."

    def _audit(self) -> Iterator[tuple[str, str]]:
        execution, last = self._parts["execution"], 0
        finish = None
        for data in self._parts["audit"]:
            try:
                entry = AuditEntry.model_validate_json(json.dumps(data))
            except ValidationError:
                yield "audit", "An entry is not of its form."
                continue
            if entry.hash != chain_hash(entry.chain, entry.sequence, entry.previous, entry.event):
                yield "audit", f"Entry {entry.sequence} does not fit its hash."
            if entry.sequence <= last or entry.chain != execution["client_id"]:
                yield "audit", f"Entry {entry.sequence} stands in the wrong place, or is of another chain."
            if entry.event.subject != execution["id"]:
                yield "audit", f"Entry {entry.sequence} is about {entry.event.subject}."
            last = entry.sequence
            finish = entry.event if entry.event.action == "execution.finish" else finish
        if finish is None:
            yield "audit", "No entry records the end of the run."
        elif finish.digest != digest(whole_telemetry(self._parts)):
            yield "telemetry", "It is not what was recorded when the run ended."

    def report(self, trusted: Mapping[str, bytes], *, named: bool) -> EvidenceReport:
        unknown = tuple(sorted(key for key, raw in self._keys.items() if trusted.get(key) != raw))
        if named and unknown and not self.findings:
            for key in unknown:
                self.say("keys", f"Something is signed by {key}, which is none of the keys given.")
        changed = bool(self.findings)
        verdict = EvidenceVerdict.UNKNOWN_SIGNER if unknown else EvidenceVerdict.INTACT
        execution, manifest = _mapping(self._parts.get("execution")), _mapping(self._manifest)
        return EvidenceReport(
            verdict=EvidenceVerdict.CHANGED if changed else verdict,
            bundle_id=_text(manifest.get("bundle_id")),
            execution_id=_text(manifest.get("execution_id")),
            client_id=_text(manifest.get("client_id")),
            status=_text(execution.get("status")),
            runbook=_text(execution.get("version_id")),
            approved_by=self._statement.reviewer_name if self._statement is not None else None,
            signers=tuple(sorted(self._keys)),
            unknown=unknown,
            findings=tuple(self.findings),
        )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
