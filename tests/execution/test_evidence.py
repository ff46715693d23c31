"""Evidence bundles of real runs: deterministic, complete, and every changed byte is noticed and named."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from execution.approved_world import CLIENT, open_world
from runwright.access.dsse import sign_payload
from runwright.adapters.clock import SystemClock
from runwright.adapters.hosts.local import LocalConnector
from runwright.adapters.keys import FileSigner
from runwright.adapters.secrets import FileSecrets
from runwright.execution.evidence import EVIDENCE_TYPE, PARTS, EvidenceDesk, line, write_bundle
from runwright.execution.evidence_check import EvidenceVerdict, check_bundle
from runwright.model.errors import Conflict, InvalidInput, NotFound
from runwright.model.executions import ExecutionResult
from runwright.model.ids import external_execution_id, sha256

CANARY = "canary-7f1e-in-no-bundle"
TEXT = """\
schema: runwright/v1
id: RB-TEST-001
name: A test with ümlauts and "quotes"
incident_types: [disk_full]
controls: ["HIPAA 164.312(b)"]
parameters:
  word: {type: string, from: caller}
  token: {type: secret, from: secret.api}
steps:
  - {id: first, run: 'echo "$word"; echo "it says $token" >&2'}
  - {id: never, run: 'echo no', unless: 'true'}
"""


@dataclass(frozen=True)
class Exported:
    data: bytes
    again: bytes
    keys: dict[str, bytes]
    signer: FileSigner
    result: ExecutionResult
    errors: dict[str, Exception]


class _Ring:
    def __init__(self, keys: dict[str, bytes]) -> None:
        self._keys = keys

    def public_keys(self) -> dict[str, bytes]:
        return self._keys


async def _export(folder: Path) -> Exported:
    world = await open_world(folder, SystemClock())
    try:
        secrets = folder / "secrets" / CLIENT
        secrets.mkdir(parents=True)
        (secrets / "api").write_text(CANARY)
        (secrets / "api").chmod(0o600)
        execution = await world.seed(TEXT, word="höllo")
        desk = EvidenceDesk(world.store, world.signer, world.keyring)
        errors: dict[str, Exception] = {}
        for name, key in (
            ("pending", execution.id),
            ("unknown", "exe_none"),
            ("external", external_execution_id(CLIENT, "x", "1")),
        ):
            try:
                await desk.export(key)
            except Exception as error:  # noqa: BLE001 - which one it is, the tests say
                errors[name] = error
        connector = LocalConnector(base=str(folder / "supervisor"), secrets=FileSecrets(folder / "secrets"))
        result = await world.service(connector).run(execution.id)
        data = await desk.export(execution.id)
        async with world.store.transaction() as tx:  # what happens later is no part of it
            incident = await tx.incidents.get("inc_1", client=CLIENT)
            await tx.incidents.replace(incident, incident.model_copy(update={"labels": {}, "resolved_by": "someone"}))
            approval = await tx.approvals.get("apr_1", client=CLIENT)
            await tx.approvals.replace(approval, approval.model_copy(update={"revoked_at": world.clock.now()}))
        again = await desk.export(execution.id)
        return Exported(data, again, dict(world.keyring.public_keys()), world.signer, result, errors)
    finally:
        await world.store.close()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return asyncio.run(_export(tmp_path_factory.mktemp("evidence")))


def parts_of(data: bytes) -> dict[str, Any]:
    return {entry["part"]: entry["data"] for entry in map(json.loads, data.splitlines()[1:])}


def named(data: bytes, keys: dict[str, bytes]) -> set[str]:
    """The parts that are found changed; fails if nothing is."""
    report = check_bundle(data, keys)
    assert report.verdict is EvidenceVerdict.CHANGED, report
    return {finding.part for finding in report.findings}


def test_a_bundle_is_intact_and_says_what_it_is(exported: Exported) -> None:
    report = check_bundle(exported.data, exported.keys)
    assert report.verdict is EvidenceVerdict.INTACT, report.findings
    assert (report.execution_id, report.client_id, report.status) == ("exe_1", CLIENT, exported.result.status.value)
    assert (report.runbook, report.approved_by) == ("RB-TEST-001-v1", "A person")
    assert report.bundle_id == exported.result.evidence_bundle_id == "evb_1"
    assert report.signers == tuple(exported.keys)


def test_the_same_run_gives_the_same_bytes_whatever_happened_later(exported: Exported) -> None:
    assert exported.data == exported.again


def test_everything_is_in_it_and_no_secret(exported: Exported) -> None:
    parts = parts_of(exported.data)
    assert tuple(parts) == PARTS
    assert parts["controls"] == ["HIPAA 164.312(b)"]
    assert parts["runbook"]["text"] == TEXT
    assert [step["id"] for step in parts["telemetry"]["steps"]] == ["first", "never"]
    assert "höllo" in parts["telemetry"]["steps"][0]["attempts"][0]["stdout"]
    assert parts["state-before"]["captured_at"]
    assert parts["state-after"]["captured_at"]
    assert [entry["event"]["action"] for entry in parts["audit"]][-1] == "execution.finish"
    assert "gate.admit" in {entry["event"]["action"] for entry in parts["audit"]}
    assert [entry["intent"]["step_id"] for entry in parts["journal"]] == ["first"]
    assert all(entry["outcome"].startswith("sha256:") for entry in parts["journal"])
    assert CANARY.encode() not in exported.data
    assert base64.b64encode(CANARY.encode()) not in exported.data


def test_who_signed_it_is_unknown_without_a_key_and_wrong_with_another(exported: Exported, tmp_path: Path) -> None:
    report = check_bundle(exported.data, {})
    assert report.verdict is EvidenceVerdict.UNKNOWN_SIGNER
    assert report.unknown == tuple(exported.keys)
    other = FileSigner.load_or_create(tmp_path / "other.key")
    keys = {other.key_id: other.public_key}
    assert check_bundle(exported.data, keys).verdict is EvidenceVerdict.UNKNOWN_SIGNER
    refused = check_bundle(exported.data, keys, named=True)
    assert refused.verdict is EvidenceVerdict.CHANGED
    assert refused.findings[0].part == "keys"


def test_what_is_not_to_be_exported(exported: Exported) -> None:
    assert isinstance(exported.errors["pending"], Conflict)
    assert isinstance(exported.errors["unknown"], NotFound)
    assert isinstance(exported.errors["external"], Conflict)


def part_at(data: bytes, offset: int) -> str:
    number = data.count(b"\n", 0, offset)
    return PARTS[number - 1] if number else ""


@settings(max_examples=400, deadline=None, database=None, derandomize=True)
@given(data=st.data())
def test_any_changed_byte_is_noticed_and_its_part_named(exported: Exported, data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, len(exported.data) - 1))
    mask = data.draw(st.integers(1, 255))
    forged = bytearray(exported.data)
    forged[offset] ^= mask
    parts = named(bytes(forged), exported.keys)
    wanted = {part_at(exported.data, offset)} if part_at(exported.data, offset) else {"envelope", "keys"}
    assert parts & wanted, (parts, wanted)


def test_every_byte_of_the_envelope_counts(exported: Exported) -> None:
    head = exported.data.index(b"\n") + 1
    for offset in range(0, head, 7):
        forged = bytearray(exported.data)
        forged[offset] ^= 1
        assert named(bytes(forged), exported.keys) & {"envelope", "keys"}
        assert named(bytes(forged), {}), "without a trusted key too"


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(data=st.data())
def test_cut_and_grown_files_are_noticed(exported: Exported, data: st.DataObject) -> None:
    whole = exported.data
    end = data.draw(st.integers(whole.index(b"\n") + 1, len(whole) - 1))
    assert part_at(whole, end) in named(whole[:end], exported.keys)
    extra = data.draw(st.binary(min_size=1, max_size=40))
    assert named(whole + extra, exported.keys)
    assert named(whole[:end] + extra + whole[end:], exported.keys)


def lines_of(data: bytes) -> list[bytes]:
    return data.splitlines(keepends=True)


FORGERIES: dict[str, tuple[Callable[[list[bytes]], list[bytes]], str]] = {
    "removed": (lambda lines: lines[:3] + lines[4:], PARTS[2]),
    "doubled": (lambda lines: lines[:4] + lines[3:], PARTS[2]),
    "swapped": (lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]], PARTS[2]),
    "added": (lambda lines: [*lines, line("audit", [])], "file"),
    "added before": (lambda lines: [lines[0], line("x", 1), *lines[1:]], "file"),
    "two bundles": (lambda lines: lines + lines, PARTS[0]),
    "blank line": (lambda lines: [*lines[:5], b"\n", *lines[5:]], "file"),
    "replaced": (lambda lines: [*lines[:1], line("execution", {"id": "exe_2"}), *lines[2:]], PARTS[0]),
    "only the head": (lambda lines: lines[:1], PARTS[4]),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_lines_cannot_be_removed_added_or_moved(exported: Exported, name: str) -> None:
    forge, part = FORGERIES[name]
    assert part in named(b"".join(forge(lines_of(exported.data))), exported.keys)


def test_the_head_takes_no_further_key_or_field(exported: Exported, tmp_path: Path) -> None:
    other = FileSigner.load_or_create(tmp_path / "other.key")
    head, *rest = lines_of(exported.data)
    known = json.loads(head)
    grown = {**known, "keys": {**known["keys"], other.key_id: base64.b64encode(other.public_key).decode()}}
    for forged in (grown, {**known, "note": "harmless"}, {**known, "schema": "runwright/evidence/v9"}):
        assert named(rfc8785.dumps(forged) + b"\n" + b"".join(rest), exported.keys) & {"envelope", "keys"}
    assert named(json.dumps(known).encode() + b"\n" + b"".join(rest), exported.keys) == {"envelope"}


@pytest.mark.parametrize("data", [b"", b"\n", b"{}\n", b"PK\x03\x04", b"\xff" * 200])
def test_what_is_no_bundle_is_no_verdict(data: bytes) -> None:
    with pytest.raises(InvalidInput, match="envelope"):
        check_bundle(data, {})


def resigned(exported: Exported, change: Callable[[dict[str, Any]], None]) -> set[str]:
    """What is found in a bundle whose parts do not fit together, signed by the right key all the same."""
    parts = parts_of(exported.data)
    change(parts)
    forged = write_bundle(
        parts, execution_id="exe_1", client_id=CLIENT, signer=exported.signer, keyring=_Ring(exported.keys)
    )
    return named(forged, exported.keys)


def _set(part: str, *path: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(parts: dict[str, Any]) -> None:
        if not path:
            parts[part] = to
            return
        place = parts[part]
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = to

    return change


OTHER = "sha256:" + "0" * 64
MISFITS = {
    "another text": (_set("runbook", "text", to=TEXT.replace("höllo", "x").replace("echo no", "rm -rf /")), "runbook"),
    "another digest ran": (_set("execution", "digest", to=OTHER), "approval"),
    "another digest in telemetry": (_set("telemetry", "runbook", "digest", to=OTHER), "approval"),
    "another version": (_set("execution", "version_id", to="RB-TEST-001-v2"), "approval"),
    "another approval": (_set("execution", "approval_id", to="apr_2"), "approval"),
    "before the approval": (_set("execution", "started_at", to="2020-01-01T00:00:00Z"), "approval"),
    "after the approval": (_set("execution", "started_at", to="2099-01-01T00:00:00Z"), "approval"),
    "other output": (_set("telemetry", "steps", 0, "attempts", 0, "stdout", to="fine"), "telemetry"),
    "another state": (_set("state-after", to=None), "telemetry"),
    "other parameters": (_set("execution", "parameters", "word", to="other"), "inputs"),
    "another subject": (_set("incident", "subject", "mount", to="/var"), "inputs"),
    "other controls": (_set("controls", to=[]), "controls"),
    "no audit": (_set("audit", to=[]), "audit"),
    "an edited entry": (_set("audit", 0, "event", "actor", to="nobody"), "audit"),
    "another status": (_set("execution", "status", to="cancelled"), "telemetry"),
    "an invented artefact": (_set("artefacts", to=[{"digest": OTHER}]), "artefacts"),
    "another run's journal": (_set("journal", 0, "intent", "execution_id", to="exe_2"), "journal"),
    "no text at all": (_set("runbook", to={}), "runbook"),
    "a rule that is not there": (_set("execution", "routing_id", to="rte_1"), "routing"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_parts_that_do_not_fit_together_are_named(exported: Exported, name: str) -> None:
    change, part = MISFITS[name]
    assert part in resigned(exported, change)


def test_an_approval_of_another_key_is_named(exported: Exported, tmp_path: Path) -> None:
    """Whoever holds only a key of their own cannot make evidence that a trusted key seems to have approved."""
    other = FileSigner.load_or_create(tmp_path / "other.key")
    parts = parts_of(exported.data)
    keys = {**exported.keys, other.key_id: other.public_key}
    forged = write_bundle(parts, execution_id="exe_1", client_id=CLIENT, signer=other, keyring=_Ring(keys))
    assert check_bundle(forged, exported.keys).verdict is EvidenceVerdict.UNKNOWN_SIGNER
    assert check_bundle(forged, exported.keys).unknown == (other.key_id,)
    assert named_by(forged, exported.keys) is EvidenceVerdict.CHANGED


def named_by(data: bytes, keys: dict[str, bytes]) -> EvidenceVerdict:
    return check_bundle(data, keys, named=True).verdict


def test_a_list_of_parts_that_names_others_is_refused(exported: Exported) -> None:
    head, *rest = lines_of(exported.data)
    known = json.loads(head)
    manifest = {
        "schema": "runwright/evidence/v1",
        "bundle_id": "evb_1",
        "execution_id": "exe_1",
        "client_id": CLIENT,
        "parts": [{"name": "execution", "sha256": sha256(rest[0]), "bytes": len(rest[0])}],
    }
    forged = {**known, "envelope": sign_payload(exported.signer, EVIDENCE_TYPE, manifest)}
    assert named(rfc8785.dumps(forged) + b"\n" + rest[0], exported.keys) == {"envelope"}


SHAPES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a list": lambda known: [],
    "nothing": lambda known: None,
    "no parts": lambda known: {"schema": known["schema"]},
    "parts that are a number": lambda known: {**known, "parts": 3},
    "parts without digests": lambda known: {**known, "parts": [{"name": name} for name in PARTS]},
    "ids of another type": lambda known: {**known, "bundle_id": [1], "execution_id": {}, "client_id": 4},
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_list_of_parts_of_another_form_is_named_whoever_signed_it(exported: Exported, name: str) -> None:
    head, *rest = lines_of(exported.data)
    known = json.loads(head)
    manifest = SHAPES[name](json.loads(base64.b64decode(json.loads(known["envelope"])["payload"])))
    forged = {**known, "envelope": sign_payload(exported.signer, EVIDENCE_TYPE, manifest)}
    report = check_bundle(rfc8785.dumps(forged) + b"\n" + b"".join(rest), exported.keys)
    assert report.verdict is EvidenceVerdict.CHANGED
    assert report.findings


@pytest.mark.parametrize("lines", [b"[]\n", b"3\n", b"\xff\n", b"[" * 5000 + b"\n"])
def test_parts_of_another_form_are_named_whoever_signed_them(exported: Exported, lines: bytes) -> None:
    head, *_ = lines_of(exported.data)
    known = json.loads(head)
    manifest = json.loads(base64.b64decode(json.loads(known["envelope"])["payload"]))
    manifest["parts"] = [{"name": name, "sha256": sha256(lines), "bytes": len(lines)} for name in PARTS]
    forged = {**known, "envelope": sign_payload(exported.signer, EVIDENCE_TYPE, manifest)}
    report = check_bundle(rfc8785.dumps(forged) + b"\n" + lines * len(PARTS), exported.keys)
    assert report.verdict is EvidenceVerdict.CHANGED
    assert report.findings
