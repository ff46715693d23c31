"""Secrets are masked by shape and by value; what only looks secret is left; what nobody sees is shown."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.model.redaction import PATTERNS, redact, visible

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\nAAAABG5vbmU=\n-----END OPENSSH PRIVATE KEY-----"
SECRETS = {
    "private_key": (KEY, "b3BlbnNzaC1rZXktdjEAAAAA"),
    "aws_access_key": ("key AKIAIOSFODNN7EXAMPLE found", "AKIAIOSFODNN7EXAMPLE"),
    "github_token": ("remote: ghp_" + "a1B2" * 9, "a1B2a1B2"),
    "gitlab_token": ("glpat-abcdefghij0123456789", "abcdefghij"),
    "slack_token": ("xoxb-1234567890-abcdef", "1234567890"),
    "slack_webhook": ("https://hooks.slack.com/services/T000/B000/XXXXXXXXXXXXXXXX", "B000"),
    "google_api_key": ("AIza" + "x" * 35, "xxxxxxxx"),
    "stripe_key": ("sk_live_" + "a" * 24, "aaaaaaaa"),
    "openai_key": ("sk-proj-" + "b" * 40, "bbbbbbbb"),
    "npm_token": ("npm_" + "c" * 36, "cccccccc"),
    "jwt": ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl", "c2lnbmF0dXJl"),
    "authorization_header": ("> Authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
    "bearer_token": ("sent bearer abcdef0123456789abcdef", "abcdef0123456789abcdef"),
    "header_secret": ("X-Api-Key: 0123456789", "0123456789"),
    "connection_string": ("postgres://shop:hunter2@db.internal/shop", "hunter2"),
    "url_signature": ("GET /b?sig=abcdefghijklmnop1234", "abcdefghijklmnop1234"),
    "secret_option": ("restic --password hunter22 backup", "hunter22"),
    "basic_auth_option": ("curl -u admin:hunter2 http://x", "hunter2"),
    "mysql_password_option": ("mysqldump -u root -phunter2 shop", "hunter2"),
    "assigned_secret": ("DB_PASSWORD=hunter2", "hunter2"),
    "shadow_hash": ("root:$6$saltsalt$abcdefghijklmnopqrstuvwx:19000", "abcdefghijklmnopqrstuvwx"),
    "age_key": ("AGE-SECRET-KEY-1" + "Q" * 58, "QQQQQQ"),
}


@pytest.mark.parametrize("kind", SECRETS)
def test_secret_is_masked(kind: str) -> None:
    text, secret = SECRETS[kind]
    found = redact(f"before\n{text}\nafter")
    assert secret not in found.text
    assert kind in {item.kind for item in found.found}
    assert found.text.startswith("before\n")
    assert found.text.endswith("\nafter")


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[1mpassword\x1b[0m=hunter2",
        "\x1b[32mapi_key\x1b[0m: \x1b[31mhunter2\x1b[0m",
        "pass\u200bword=hunter2",
        "\x1b]0;title\x07DB_PASS\x1b[38;5;1mWORD=hunter2",
        "postgres://shop:\x1b[1mhun\x1b[0mter2@db.internal/shop",
    ],
)
def test_a_secret_in_colour_is_masked(text: str) -> None:
    """Who reads the text next may drop what a terminal does not show."""
    for given_ in (text, f"known {text}"):
        kept = redact(given_).text
        assert "hunter2" not in kept
        assert "ter2" not in kept
    assert "ter2" not in redact("a \x1b[1mhun\x1b[0mter2 b", ["hunter2"]).text


def test_every_kind_has_an_example() -> None:
    assert {entry.kind for entry in PATTERNS} == set(SECRETS)


@pytest.mark.parametrize(
    "text",
    [
        "sh: 3: cannot create /var/lib/mailcert/challenges/token: Directory nonexistent",
        "FATAL: password authentication failed for user shop",
        "sudo: a password is required",
        "password=$DB_PASSWORD",
        "PermitRootLogin no",
        "token: none",
        "commit 3f786850e387550fdab836ed7e6dc881de23001b",
        "https://example.org/path?page=2",
    ],
)
def test_plain_text_stays(text: str) -> None:
    assert redact(text).text == text


def test_known_values_are_masked_wherever_they_stand() -> None:
    found = redact("a=correct horse; again: correct horse", known=["correct horse", "abc"])
    assert found.text == "a=[redacted:known_value]; again: [redacted:known_value]"
    assert [(item.start, item.end) for item in found.found] == [(2, 15), (24, 37)]


def test_lines_keep_their_numbers() -> None:
    found = redact(f"one\n{KEY}\nlast")
    assert found.text.split("\n")[5] == "last"


@given(st.text(max_size=400), st.lists(st.text(min_size=4, max_size=12), max_size=3))
def test_any_text(text: str, known: list[str]) -> None:
    found = redact(text, known)
    assert found.text.count("\n") == text.count("\n")
    ends = [(item.start, item.end) for item in found.found]
    assert ends == sorted(ends)
    assert all(0 <= start < end <= len(text) for start, end in ends)
    assert all(first[1] <= second[0] for first, second in pairwise(ends))


@pytest.mark.parametrize(
    "unit", ["a", "-", "password", "curl ", "eyJ", "://", "a:", "-----BEGIN ", " -p", "token=", "\n"]
)
def test_hostile_repetition_takes_no_time(unit: str) -> None:
    text = (unit * 60_000)[:60_000]
    began = time.perf_counter()
    redact(text)
    assert time.perf_counter() - began < 3.0


def test_what_nobody_sees_is_shown() -> None:
    assert visible("a\u202eb\u200bc\x1b[0m\ttab\nline") == "a<U+202E>b<U+200B>c<U+001B>[0m\ttab\nline"
    assert visible("Ärger, naïve, 日本") == "Ärger, naïve, 日本"
