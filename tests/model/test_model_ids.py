"""Ids: made, taken apart, compared; and digests that do not depend on how something was written down."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from runwright.model.base import Sha256
from runwright.model.clients import Client, client_scope, scope_client, scopes_for
from runwright.model.ids import (
    ALL,
    ClientId,
    RunbookId,
    VersionId,
    digest,
    incident_fingerprint,
    make_id,
    sha256,
    split_version_id,
    version_id,
)

RUNBOOKS = st.from_regex(r"[A-Z0-9]([A-Z0-9-]{0,20}[A-Z0-9])?", fullmatch=True)
SUBJECTS = st.dictionaries(st.text(max_size=6), st.none() | st.booleans() | st.integers(-99, 99) | st.text(max_size=6))
MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(2400, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - zone beside it


class TestVersionIds:
    @given(RUNBOOKS, st.integers(1, 10**6))
    def test_round_trip(self, runbook: str, number: int) -> None:
        made = version_id(runbook, number)
        assert split_version_id(made) == (runbook, number)
        assert TypeAdapter(VersionId).validate_python(made) == made
        with pytest.raises(ValidationError):
            TypeAdapter(RunbookId).validate_python(made)

    @given(RUNBOOKS, st.integers(1, 10**6), RUNBOOKS, st.integers(1, 10**6))
    def test_two_versions_never_share_an_id(self, one: str, first: int, other: str, second: int) -> None:
        assert (version_id(one, first) == version_id(other, second)) is ((one, first) == (other, second))

    @pytest.mark.parametrize(
        "text", ["", "RB-X", "RB-X-v0", "RB-X-v01", "RB-X-v1 ", "RB-X-v1\n", "rb-x-v1", "RB-X-v-1", "-v1", "RB-X-V1"]
    )
    def test_what_is_none(self, text: str) -> None:
        with pytest.raises(ValueError, match="a version id such as"):
            split_version_id(text)

    @given(st.text(max_size=30))
    def test_any_text_is_refused_or_taken_apart_rightly(self, text: str) -> None:
        try:
            runbook, number = split_version_id(text)
        except ValueError:
            return
        assert version_id(runbook, number) == text


class TestMadeIds:
    @given(MOMENTS, st.binary(min_size=8, max_size=8))
    def test_shape(self, moment: datetime, randomness: bytes) -> None:
        made = make_id("exe", moment, randomness)
        prefix, _, rest = made.partition("_")
        assert prefix == "exe"
        assert len(rest) == 28
        assert int(rest, 16) >= 0
        assert int(rest[:12], 16) == (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
        assert rest[12:] == randomness.hex()

    @given(MOMENTS, st.integers(1, 10**9), st.binary(min_size=8, max_size=8), st.binary(min_size=8, max_size=8))
    def test_they_sort_by_time(self, moment: datetime, later: int, one: bytes, other: bytes) -> None:
        assert make_id("x", moment, one) < make_id("x", moment + timedelta(milliseconds=later), other)

    def test_randomness_tells_the_same_moment_apart(self) -> None:
        moment = datetime(2026, 1, 5, tzinfo=UTC)
        assert make_id("x", moment, bytes(8)) != make_id("x", moment, bytes(7) + b"\1")


class TestClientsAndScopes:
    @pytest.mark.parametrize("text", ["", "-a", "a-", "A", "a b", "a" * 65, "a_b", "ä"])
    def test_no_client_id(self, text: str) -> None:
        with pytest.raises(ValidationError):
            TypeAdapter(ClientId).validate_python(text)

    def test_no_client_is_the_library(self) -> None:
        with pytest.raises(ValidationError, match="means the shared library"):
            Client(id=ALL, name="All", created_at=datetime(2026, 1, 5, tzinfo=UTC))

    @given(st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True))
    def test_scopes_round_trip_and_the_narrower_comes_first(self, client: str) -> None:
        assert scope_client(client_scope(client)) == client
        assert scopes_for(client) == (client_scope(client), ALL)
        assert scope_client(ALL) is None


class TestDigests:
    def test_a_digest_is_the_sha256_of_the_canonical_form(self) -> None:
        canonical = b'{"a":1,"b":[true,null,"\xc3\xa4"]}'
        assert digest({"b": [True, None, "ä"], "a": 1}) == "sha256:" + hashlib.sha256(canonical).hexdigest()
        assert sha256(canonical) == digest({"a": 1, "b": [True, None, "ä"]})

    @given(st.dictionaries(st.text(max_size=5), st.integers(-5, 5), max_size=6))
    def test_the_order_of_keys_does_not_count(self, data: dict[str, int]) -> None:
        assert digest(data) == digest(dict(reversed(data.items())))
        TypeAdapter(Sha256).validate_python(digest(data))

    @given(st.lists(st.integers(0, 3), max_size=4), st.lists(st.integers(0, 3), max_size=4))
    def test_other_data_has_another_digest(self, one: list[int], other: list[int]) -> None:
        assert (digest(one) == digest(other)) is (one == other)


class TestFingerprints:
    @given(SUBJECTS)
    def test_the_order_of_fields_and_absent_ones_do_not_count(self, subject: dict[str, Any]) -> None:
        one = incident_fingerprint("acme", "h", "disk_full", subject)
        shuffled = dict(reversed(subject.items()))
        assert incident_fingerprint("acme", "h", "disk_full", shuffled) == one
        left_out = {key: value for key, value in subject.items() if value is not None}
        assert incident_fingerprint("acme", "h", "disk_full", left_out) == one

    def test_everything_else_does(self) -> None:
        base = ("acme", "h", "disk_full", {"mount": "/"})
        others = [
            ("other", *base[1:]),
            ("acme", "i", *base[2:]),
            ("acme", "h", "high_cpu", {"mount": "/"}),
            ("acme", "h", "disk_full", {"mount": "/var"}),
            ("acme", "h", "disk_full", {"mount": "/", "inodes": False}),
            ("acm", "eh", "disk_full", {"mount": "/"}),
        ]
        prints = {incident_fingerprint(*case) for case in (base, *others)}
        assert len(prints) == len(others) + 1
