"""Evidence of one execution in one file: what was approved, what ran, what the host said, and who signed for it.

The file is text, one part a line, each in the canonical form of RFC 8785, so the same content gives the same bytes. The
first line holds a DSSE envelope over the list of parts with the digest of each line, and the public keys that belong
to the signatures within. Checking it is `evidence_check.py`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import rfc8785

from runwright.access.dsse import sign_payload
from runwright.model.audit import AuditEntry
from runwright.model.base import Record
from runwright.model.errors import Conflict, NotFound, Tampered
from runwright.model.executions import Execution, ExecutionResult
from runwright.model.ids import digest, is_external, sha256
from runwright.model.ports.signing import Keyring, Signer
from runwright.model.ports.store import EVERY_CLIENT, Store, Transaction
from runwright.model.reviews import Approval
from runwright.runbooks.load import load_runbook

EVIDENCE_SCHEMA = "runwright/evidence/v1"
EVIDENCE_TYPE = "application/vnd.runwright.evidence+json"
MEDIA_TYPE = "application/vnd.runwright.evidence+jsonl"

PARTS = (
    *("execution", "incident", "inputs", "runbook", "approval", "routing", "controls"),
    *("telemetry", "state-before", "state-after", "journal", "artefacts", "audit"),
)
"""All of them, in the order of the file."""

# What never changes of records that live on: the same run gives the same bundle next year.
INCIDENT_FACTS = (
    *("id", "client_id", "host_id", "incident_type", "severity", "subject", "labels"),
    *("occurred_at", "received_at", "source"),
)
RUNBOOK_FACTS = (
    *("id", "runbook_id", "number", "scope", "text", "digest", "raw_digest", "parent", "author", "origin_execution"),
    *("proposal_id", "created_at"),
)
APPROVAL_FACTS = ("id", "subject_id", "scope", "envelope", "decided_at", "expires_at")
RULE_FACTS = ("id", "scope", "incident_type", "runbook_id", "digest")

SKEW = timedelta(minutes=10)
"""How far apart the clocks of processes that write to one audit chain may be."""


def bundle_id(execution_id: str) -> str:
    """The id of the bundle of an execution, known from the start of its run."""
    return "evb_" + execution_id.partition("_")[2]


def plain_result(result: ExecutionResult) -> dict[str, Any]:
    """Telemetry exactly as it was stored: fields that a later program would add are left out."""
    data: dict[str, Any] = result.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return data


def line(part: str, data: Any) -> bytes:
    """One line of the file."""
    return rfc8785.dumps({"data": data, "part": part}) + b"\n"


def write_bundle(
    parts: Mapping[str, Any], *, execution_id: str, client_id: str, signer: Signer, keyring: Keyring
) -> bytes:
    """The whole file. Raises Tampered where an approval is signed by a key that is not in the keyring."""
    lines = [(name, line(name, parts[name])) for name in PARTS]
    manifest = {
        "schema": EVIDENCE_SCHEMA,
        "bundle_id": bundle_id(execution_id),
        "execution_id": execution_id,
        "client_id": client_id,
        "parts": [{"name": name, "sha256": sha256(data), "bytes": len(data)} for name, data in lines],
    }
    envelope = sign_payload(signer, EVIDENCE_TYPE, manifest)
    known = keyring.public_keys()
    keys = {}
    for key_id in sorted({signer.key_id, *signing_keys(parts)}):
        if key_id not in known:
            raise Tampered(f"Found an approval signed by the unknown key {key_id}.", allowed="No bundle is written.")
        keys[key_id] = base64.b64encode(known[key_id]).decode()
    head = rfc8785.dumps({"envelope": envelope, "keys": keys, "schema": EVIDENCE_SCHEMA}) + b"\n"
    return head + b"".join(data for _, data in lines)


def signing_keys(parts: Mapping[str, Any]) -> Iterator[str]:
    """Ids of the keys that signed the approvals within."""
    routing = parts["routing"] or {}
    for approval in (parts["approval"], routing.get("approval")):
        if approval is not None:
            yield str(json.loads(approval["envelope"])["signatures"][0]["keyid"])


class EvidenceDesk:
    """Gathers and signs bundles. Lives where the approval key is: in the API process."""

    def __init__(self, store: Store, signer: Signer, keyring: Keyring) -> None:
        self._store = store
        self._signer = signer
        self._keyring = keyring

    async def export(self, execution_id: str, *, client: str = EVERY_CLIENT) -> bytes:
        """The evidence bundle of a run that has ended.

        Raises NotFound, Conflict for one that has not ended or that another executor reported, Tampered for one
        whose records do not fit together any more.
        """
        if is_external(execution_id):
            raise Conflict(
                f"Found {execution_id}, which another executor reported: nobody here approved or saw it.",
                allowed="Evidence is given for runs of this server.",
            )
        async with self._store.reading() as tx:
            execution = await tx.executions.get(execution_id, client=client)
            if not execution.status.final:
                found = f"Found execution {execution_id} {execution.status.value}."
                raise Conflict(found, next_step="Export it when it has ended.")
            parts = await _gather(tx, execution)
        return write_bundle(
            parts,
            execution_id=execution.id,
            client_id=execution.client_id,
            signer=self._signer,
            keyring=self._keyring,
        )


async def _gather(tx: Transaction, execution: Execution) -> dict[str, Any]:
    client = execution.client_id
    result = await tx.executions.result(execution.id, client=client)
    if result is None:
        raise NotFound(f"Found no telemetry of execution {execution.id}: it ended before it began.")
    incident = await tx.incidents.get(execution.incident_id, client=client)
    version = await tx.versions.get(execution.version_id, client=EVERY_CLIENT)
    approval = await tx.approvals.get(execution.approval_id, client=EVERY_CLIENT)
    telemetry = plain_result(result)
    before, after = telemetry.pop("state_before", None), telemetry.pop("state_after", None)
    journal = await tx.journal.entries(execution.id)
    return {
        "execution": _plain(execution),
        "incident": _chosen(incident, INCIDENT_FACTS),
        "inputs": inputs_of(_plain(execution), _plain(incident)),
        "runbook": _chosen(version, RUNBOOK_FACTS),
        "approval": _chosen(approval, APPROVAL_FACTS),
        "routing": await _routing(tx, execution),
        "controls": list(load_runbook(version.text).document.controls),
        "telemetry": telemetry,
        "state-before": before,
        "state-after": after,
        "journal": [
            {"intent": _plain(entry.intent), "outcome": digest(_plain(entry.outcome)) if entry.outcome else None}
            for entry in journal
        ],
        "artefacts": artefacts_of(telemetry),
        "audit": [_plain(entry) for entry in await _audit(tx, execution)],
    }


def inputs_of(execution: Mapping[str, Any], incident: Mapping[str, Any]) -> dict[str, str]:
    """Digests of what the run was given. Secrets are references, so they are no part of it."""
    return {"parameters": digest(execution.get("parameters", {})), "subject": digest(incident["subject"])}


def artefacts_of(data: Any) -> list[Any]:
    """Every artefact that telemetry names, with its digest, in the order of the telemetry."""
    found: list[Any] = []
    if isinstance(data, dict):
        for name, value in data.items():
            if name.endswith("_artefact") and value is not None:
                found.append(value)
            else:
                found += artefacts_of(value)
    elif isinstance(data, list):
        for item in data:
            found += artefacts_of(item)
    return found


def whole_telemetry(parts: Mapping[str, Any]) -> dict[str, Any]:
    """The telemetry with its states back in place, as it was when it was audited."""
    return {**parts["telemetry"], "state_before": parts["state-before"], "state_after": parts["state-after"]}


def _plain(record: Record) -> dict[str, Any]:
    data: dict[str, Any] = record.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return data


def _chosen(record: Record, names: tuple[str, ...]) -> dict[str, Any]:
    data = _plain(record)
    return {name: data[name] for name in names if name in data}


async def _routing(tx: Transaction, execution: Execution) -> dict[str, Any] | None:
    """The rule that chose the runbook, and its approval; None where a caller named the runbook."""
    if execution.routing_id is None:
        return None
    rule = await tx.routes.get(execution.routing_id, client=EVERY_CLIENT)
    approval: Approval | None = None
    if rule.approval_id is not None:
        approval = await tx.approvals.get(rule.approval_id, client=EVERY_CLIENT)
    return {**_chosen(rule, RULE_FACTS), "approval": _chosen(approval, APPROVAL_FACTS) if approval else None}


async def _audit(tx: Transaction, execution: Execution) -> list[AuditEntry]:
    """The entries about this execution, up to that of its end."""
    found: list[AuditEntry] = []
    after = await _before(tx, execution.client_id, execution.created_at - SKEW)
    until = (execution.completed_at or execution.created_at) + SKEW
    while True:
        part = await tx.audit.entries(execution.client_id, after=after, limit=1000)
        for entry in part:
            if entry.event.subject == execution.id:
                found.append(entry)
                if entry.event.action == "execution.finish":
                    return found
        if len(part) < 1000 or part[-1].event.at > until:
            return found
        after = part[-1].sequence


async def _before(tx: Transaction, chain: str, moment: datetime) -> int:
    """A sequence after which every entry of a moment and later stands: found by halving, chains are long."""

    async def early(sequence: int) -> bool:
        entries = await tx.audit.entries(chain, after=sequence, limit=1)
        return bool(entries) and entries[0].event.at < moment

    low, step = 0, 1024
    while await early(low + step):
        low, step = low + step, step * 2
    high = low + step
    while high - low > 256:
        middle = (low + high) // 2
        low, high = (middle, high) if await early(middle) else (low, middle)
    return low
