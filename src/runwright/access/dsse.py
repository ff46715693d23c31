"""Signed statements: DSSE v1 envelopes (github.com/secure-systems-lab/dsse) with ed25519 over canonical JSON.

There is one way to write each statement: RFC 8785 JSON of the record as this package writes it. An envelope
whose payload is anything else is refused, even if its signature is good.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import ValidationError

from runwright.model.errors import Tampered
from runwright.model.ports.signing import Keyring, Signer
from runwright.model.reviews import ApprovalStatement

APPROVAL_TYPE = "application/vnd.runwright.approval+json"
CHECKPOINT_TYPE = "application/vnd.runwright.checkpoint+json"

MAXIMUM_ENVELOPE = 64 * 1024
"""Characters of an approval's envelope."""


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what is signed, so that type and payload cannot be mixed up."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign_payload(signer: Signer, payload_type: str, data: Any) -> str:
    """The envelope, in canonical JSON, of plain data."""
    payload = rfc8785.dumps(data)
    signature = signer.sign(pae(payload_type, payload))
    envelope: dict[str, Any] = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": payload_type,
        "signatures": [{"keyid": signer.key_id, "sig": base64.b64encode(signature).decode()}],
    }
    return rfc8785.dumps(envelope).decode()


def open_payload(keyring: Keyring, payload_type: str, envelope_json: str, *, limit: int = MAXIMUM_ENVELOPE) -> bytes:
    """The payload of an envelope with one good signature by a known key. Raises Tampered saying what is wrong."""
    if len(envelope_json) > limit:
        raise _tampered(f"an envelope of {len(envelope_json)} characters")
    envelope = _exact(_parse(envelope_json, "envelope"), {"payload", "payloadType", "signatures"}, "envelope")
    if _canonical(envelope_json.encode(errors="replace")) != envelope_json.encode(errors="replace"):
        raise _tampered("an envelope that is not in canonical form")
    if envelope["payloadType"] != payload_type:
        raise _tampered(f"payload type {envelope['payloadType']!r}, not {payload_type}")
    signatures = envelope["signatures"]
    if not isinstance(signatures, list) or len(signatures) != 1:
        raise _tampered("not exactly one signature")
    signature = _exact(signatures[0], {"keyid", "sig"}, "signature")
    payload = _base64(envelope["payload"], "payload")
    raw_signature = _base64(signature["sig"], "signature")
    key_id = signature["keyid"]
    public = keyring.public_keys().get(key_id) if isinstance(key_id, str) else None
    if public is None:
        raise _tampered(f"a signature by the unknown key {key_id!r}")
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(raw_signature, pae(payload_type, payload))
    except (InvalidSignature, ValueError) as error:
        raise _tampered(f"a signature that key {key_id} did not make over this") from error
    if _canonical(payload) != payload:
        raise _tampered("a payload that is not in canonical form")
    return payload


def sign_statement(signer: Signer, statement: ApprovalStatement) -> str:
    """The DSSE envelope of an approval, as JSON text."""
    return sign_payload(signer, APPROVAL_TYPE, statement.model_dump(mode="json"))


def open_statement(keyring: Keyring, envelope_json: str) -> ApprovalStatement:
    """The statement inside an approval's envelope, once its signature is found good.

    Raises Tampered for an unknown key, a bad signature, another payload type, several signatures, a payload
    in another encoding than the one way to write it, and for fields that are missing, extra or mistyped.
    """
    payload = open_payload(keyring, APPROVAL_TYPE, envelope_json)
    try:
        statement = ApprovalStatement.model_validate_json(payload)
    except ValidationError as error:
        raise _tampered("a signed statement that is no approval") from error
    if rfc8785.dumps(statement.model_dump(mode="json")) != payload:
        raise _tampered("an approval that is not written as this package writes it")
    return statement


def _tampered(found: str) -> Tampered:
    return Tampered(
        f"Found {found}.",
        allowed="Allowed: an envelope signed by a known approval key, unchanged.",
        next_step="Someone edited the store, or the key is not in the keyring: look into the audit chain.",
    )


def _parse(text: str, what: str) -> Any:
    """JSON without duplicate keys, NaN or huge numbers."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in items}) != len(items):
            raise ValueError("a key stands twice")
        return dict(items)

    def constant(name: str) -> Any:
        raise ValueError(f"{name} is not JSON")

    try:
        return json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
    except (ValueError, RecursionError) as error:
        raise _tampered(f"an {what} that is no plain JSON") from error


def _canonical(payload: bytes) -> bytes | None:
    """The one way to write what the text says; None if it cannot be written so."""
    try:
        return rfc8785.dumps(_parse(payload.decode(), "payload"))
    except ValueError:
        return None


def _exact(value: Any, keys: set[str], what: str) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != keys:
        raise _tampered(f"an {what} with other fields than {', '.join(sorted(keys))}")
    return value


def _base64(value: Any, what: str) -> bytes:
    """Standard base64 in its one canonical spelling."""
    try:
        data = base64.b64decode(value, validate=True) if isinstance(value, str) else None
    except (binascii.Error, ValueError) as error:
        raise _tampered(f"a {what} that is not base64") from error
    if data is None or base64.b64encode(data).decode() != value:
        raise _tampered(f"a {what} that is not base64 as it must be written")
    return data
