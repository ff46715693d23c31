"""Envelopes: what is signed, and every way of bending one that is refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from runwright.access.dsse import (
    APPROVAL_TYPE,
    CHECKPOINT_TYPE,
    open_payload,
    open_statement,
    pae,
    sign_payload,
    sign_statement,
)
from runwright.model.errors import Tampered
from runwright.model.ids import sha256
from runwright.model.reviews import ApprovalStatement

STATEMENT = ApprovalStatement(
    approval_id="apr_1",
    subject_kind="version",
    subject_id="RB-X-001-v2",
    digest=sha256(b"digest"),
    raw_digest=sha256(b"raw"),
    scope="client:acme",
    reviewer_id="usr_1",
    reviewer_name="Ada \u00e4 \U0001f600",
    method="password",
    decided_at=datetime(2026, 1, 5, 9, 0, 0, 123456, tzinfo=UTC),
    expires_at=datetime(2027, 1, 5, 9, 0, tzinfo=UTC),
    nonce="n" * 43,
    fallback="RB-X-001-v1",
)


def test_pae_is_as_the_specification_shows_it() -> None:
    assert (
        pae("http://example.com/HelloWorld", b"hello world")
        == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_a_statement_comes_back_as_signed(keys: Any) -> None:
    envelope = sign_statement(keys.signer, STATEMENT)
    assert open_statement(keys, envelope) == STATEMENT
    data = json.loads(envelope)
    payload = base64.b64decode(data["payload"])
    assert data["payloadType"] == APPROVAL_TYPE
    assert payload == rfc8785.dumps(STATEMENT.model_dump(mode="json"))
    # Any other implementation of DSSE verifies it as well.
    signature = base64.b64decode(data["signatures"][0]["sig"])
    Ed25519PublicKey.from_public_bytes(keys.signer.public_key).verify(signature, pae(APPROVAL_TYPE, payload))


def resigned(keys: Any, payload: bytes, kind: str = APPROVAL_TYPE) -> str:
    """An envelope whose signature is good, over any payload."""
    return rfc8785.dumps(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": kind,
            "signatures": [
                {
                    "keyid": keys.signer.key_id,
                    "sig": base64.b64encode(keys.signer.sign(pae(kind, payload))).decode(),
                }
            ],
        }
    ).decode()


def changed(**fields: Any) -> bytes:
    return rfc8785.dumps({**STATEMENT.model_dump(mode="json"), **fields})


def without(field: str) -> bytes:
    data = STATEMENT.model_dump(mode="json")
    del data[field]
    return rfc8785.dumps(data)


PLAIN = STATEMENT.model_dump(mode="json")

BENT_PAYLOADS: dict[str, bytes] = {
    "extra field": changed(extra="x"),
    "missing field": without("nonce"),
    "missing default": without("fallback"),
    "another type": changed(type="runwright/approval/v2"),
    "another kind": changed(subject_kind="host"),
    "number for a digest": changed(digest=1),
    "short digest": changed(digest="sha256:00"),
    "no zone": changed(expires_at="2027-01-05T09:00:00"),
    "seconds since 1970": changed(expires_at=1799139600),
    "another spelling of the time": changed(expires_at="2027-01-05T09:00:00+00:00"),
    "fallback that is no version": changed(fallback="v1"),
    "spaces": json.dumps(PLAIN, sort_keys=True, ensure_ascii=False).encode(),
    "escaped unicode": json.dumps(PLAIN, sort_keys=True, separators=(",", ":")).encode(),
    "other order": json.dumps(dict(reversed(PLAIN.items())), separators=(",", ":"), ensure_ascii=False).encode(),
    "a key twice": b'{"approval_id":"apr_0",' + rfc8785.dumps(PLAIN)[1:],
    "a line end": rfc8785.dumps(PLAIN) + b"\n",
    "byte order mark": b"\xef\xbb\xbf" + rfc8785.dumps(PLAIN),
    "utf-16": rfc8785.dumps(PLAIN).decode().encode("utf-16"),
    "not utf-8": rfc8785.dumps(PLAIN)[:-1] + b"\xff}",
    "a list": b"[]",
    "nothing": b"",
    "NaN": b'{"a":NaN}',
    "huge number": b'{"a":1' + b"0" * 400 + b"}",
    "lone surrogate": b'{"a":"\\ud800"}',
    "deep": b"[" * 5000 + b"]" * 5000,
}


@pytest.mark.parametrize("name", BENT_PAYLOADS)
def test_a_bent_payload_is_refused_though_well_signed(keys: Any, name: str) -> None:
    with pytest.raises(Tampered):
        open_statement(keys, resigned(keys, BENT_PAYLOADS[name]))


def test_the_helper_signs_well(keys: Any) -> None:
    assert open_statement(keys, resigned(keys, rfc8785.dumps(PLAIN))) == STATEMENT


def edit(change: Callable[[dict[str, Any]], Any]) -> Callable[[str], str]:
    def edited(envelope: str) -> str:
        data = json.loads(envelope)
        change(data)
        return rfc8785.dumps(data).decode()

    return edited


def set_sig(**fields: Any) -> Callable[[str], str]:
    return edit(lambda data: data["signatures"][0].update(fields))


BENT_ENVELOPES: dict[str, Callable[[str], str]] = {
    "no JSON": lambda _: "nothing",
    "empty": lambda _: "",
    "a list": lambda _: "[]",
    "extra field": edit(lambda data: data.update(extra=1)),
    "no payload type": edit(lambda data: data.pop("payloadType")),
    "another payload type": edit(lambda data: data.update(payloadType=CHECKPOINT_TYPE)),
    "no signature": edit(lambda data: data.update(signatures=[])),
    "signatures no list": edit(lambda data: data.update(signatures=data["signatures"][0])),
    "two signatures": edit(lambda data: data["signatures"].append(data["signatures"][0])),
    "extra in signature": set_sig(cert="x"),
    "no key id": edit(lambda data: data["signatures"][0].pop("keyid")),
    "unknown key id": set_sig(keyid="sha256:" + "0" * 64),
    "key id no text": set_sig(keyid=["x"]),
    "empty signature": set_sig(sig=""),
    "zero signature": set_sig(sig=base64.b64encode(bytes(64)).decode()),
    "short signature": set_sig(sig=base64.b64encode(bytes(63)).decode()),
    "signature no base64": set_sig(sig="***"),
    "urlsafe payload": edit(lambda data: data.update(payload=data["payload"].replace("=", "").replace("+", "-"))),
    "payload with a line end": edit(lambda data: data.update(payload=data["payload"] + "\n")),
    "payload no text": edit(lambda data: data.update(payload=1)),
    "payload cut": edit(lambda data: data.update(payload=data["payload"][:-4])),
    "a key twice": lambda envelope: envelope.replace('{"payload"', '{"payload":"e30=","payload"', 1),
    "a space behind": lambda envelope: envelope + " ",
    "spaces between": lambda envelope: json.dumps(json.loads(envelope)),
    "huge": lambda envelope: envelope + " " * 70_000,
}


@pytest.mark.parametrize("name", BENT_ENVELOPES)
def test_a_bent_envelope_is_refused(keys: Any, name: str) -> None:
    envelope = BENT_ENVELOPES[name](sign_statement(keys.signer, STATEMENT))
    with pytest.raises(Tampered):
        open_statement(keys, envelope)


def test_another_key_is_refused_even_under_a_known_id(keys: Any) -> None:
    foreign = sign_statement(keys.stranger, STATEMENT)
    with pytest.raises(Tampered, match="unknown key"):
        open_statement(keys, foreign)
    with pytest.raises(Tampered, match="did not make"):
        open_statement(keys, set_sig(keyid=keys.signer.key_id)(foreign))


def test_a_checkpoint_is_no_approval(keys: Any) -> None:
    """Same payload, other type: the type is part of what is signed."""
    envelope = sign_payload(keys.signer, CHECKPOINT_TYPE, PLAIN)
    with pytest.raises(Tampered):
        open_statement(keys, envelope)
    with pytest.raises(Tampered, match="did not make"):
        open_statement(keys, edit(lambda data: data.update(payloadType=APPROVAL_TYPE))(envelope))


def test_a_broken_public_key_verifies_nothing(keys: Any) -> None:
    class Broken:
        def public_keys(self) -> dict[str, bytes]:
            return {keys.signer.key_id: b"short"}

    with pytest.raises(Tampered):
        open_payload(Broken(), APPROVAL_TYPE, sign_statement(keys.signer, STATEMENT))
