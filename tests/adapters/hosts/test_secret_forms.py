"""Secrets are masked as programs print them, and nothing else is."""

from __future__ import annotations

import base64
import json
import shlex
import subprocess
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.adapters.hosts.output import Masker, mask
from runwright.adapters.hosts.secret_forms import forms

SECRET = "Kan/+'\"$ä arie-7f3a9c81"
KEY = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nshort\nAASCBKcwggSjAgEAAoIBAQC7VJ\n-----END KEY-----\n"


def run(*argv: str, given: bytes = SECRET.encode()) -> bytes:
    return subprocess.run(argv, input=given, capture_output=True, check=True).stdout


PRINTED = {
    "plain": SECRET.encode(),
    "base64": run("base64", "-w0"),
    "base64 of a line": run("base64", "-w0", given=SECRET.encode() + b"\n"),
    "url-safe base64": base64.urlsafe_b64encode(SECRET.encode()),
    "basic auth": base64.b64encode(b"ada:" + SECRET.encode()),
    "basic auth, longer name": base64.b64encode(b"admin:" + SECRET.encode() + b"@db"),
    "hex": SECRET.encode().hex().encode(),
    "HEX": SECRET.encode().hex().upper().encode(),
    "od": run("od", "-An", "-tx1", "-v", "-w100").replace(b" ", b""),
    "url": quote(SECRET, safe="").encode(),
    "url path": quote(SECRET).encode(),
    "form": quote_plus(SECRET).encode(),
    "json": json.dumps({"token": SECRET}).encode(),
    "json, as it is": json.dumps({"token": SECRET}, ensure_ascii=False).encode(),
    "shell quotes": shlex.quote(SECRET).encode(),
    "sh -x": f"+ echo '{SECRET.replace(chr(39), chr(39) + chr(92) + chr(39) * 2)}'".encode(),
}


def remains(text: bytes) -> bool:
    """Whether half of any form of the secret is still in a text."""
    return any(form[: len(form) // 2] in text or form[-(len(form) // 2) :] in text for form in forms(SECRET))


@pytest.mark.parametrize("name", PRINTED)
def test_a_printed_form_is_masked_whole_and_split(name: str) -> None:
    printed = b"before " + PRINTED[name] + b" after"
    masked = mask(printed, {"token": SECRET})
    assert b"[secret token]" in masked
    assert not remains(masked), masked
    assert masked.startswith(b"before ")
    assert masked.endswith(b" after")
    for cut in range(len(printed)):
        masker = Masker({"token": SECRET})
        assert masker.feed(printed[:cut]) + masker.feed(printed[cut:]) + masker.flush() == masked


def test_a_key_is_masked_line_by_line_and_its_frame_is_not() -> None:
    printed = "".join(f"sshd[1]: {line}\n" for line in KEY.splitlines()).encode()
    masked = mask(printed, {"key": KEY})
    assert b"MIIEvQ" not in masked
    assert b"AASCBK" not in masked
    assert b"-----BEGIN KEY-----" in masked


@pytest.mark.parametrize("secret", ["a", "ab12", " x "])
def test_a_short_secret_is_masked_as_it_is_alone(secret: str) -> None:
    assert set(forms(secret)) == {secret.encode(), secret.strip().encode()}
    assert mask(b"<" + secret.encode() + b">", {"s": secret}) == b"<[secret s]>"


@given(st.text(min_size=5, max_size=60), st.binary(max_size=20), st.binary(max_size=20))
def test_base64_is_masked_wherever_the_secret_stands_in_it(secret: str, before: bytes, after: bytes) -> None:
    raw = secret.encode(errors="surrogateescape") if secret.isprintable() else secret.encode("utf-8", "replace")
    text = raw.decode("utf-8", "surrogateescape")
    printed = base64.b64encode(before + raw + after)
    masked = mask(printed, {"s": text})
    assert len(raw) < 9 or b"[secret s]" in masked


def test_text_that_has_nothing_to_do_with_it_is_left_alone() -> None:
    text = bytes(range(256)) * 50 + b"Kan arie base64 hex"
    assert mask(text, {"token": SECRET}) == text


def test_masking_four_megabytes_takes_little() -> None:
    block = b"some ordinary line of output, as a step prints it\n" * 1300
    masker = Masker({f"s{number}": f"{SECRET}{number}" for number in range(3)})
    begun = time.process_time()
    for _ in range(64):
        masker.feed(block)
    assert time.process_time() - begun < 2.0
