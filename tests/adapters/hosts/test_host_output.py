"""Bounded, masked and cut streams, whatever the chunks."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from runwright.adapters.hosts.output import HeadTail, Marked, Masker, mask


def chunks(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(places)]


@given(st.binary(max_size=300), st.lists(st.integers(0, 300)), st.integers(2, 200))
def test_head_and_tail_are_kept_and_the_cut_is_named(data: bytes, cuts: list[int], limit: int) -> None:
    kept = HeadTail(limit)
    for chunk in chunks(data, cuts):
        kept.feed(chunk)
    half = limit // 2
    assert kept.total == len(data)
    if len(data) <= 2 * half:
        assert kept.text() == data.decode("utf-8", "replace")
    else:
        note = f"\n[runwright: {len(data) - 2 * half} bytes left out here]\n".encode()
        assert kept.text() == (data[:half] + note + data[-half:]).decode("utf-8", "replace")


def test_memory_stays_flat() -> None:
    kept = HeadTail(1000)
    for _ in range(1000):
        kept.feed(b"x" * 10_000)
    assert len(kept._head) + len(kept._tail) <= 2000


@given(st.lists(st.sampled_from([b"ab", b"abc", b"c", b"xabcab", b"aab"])), st.lists(st.integers(0, 60)))
def test_masking_is_the_same_for_all_chunks(parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)
    masker = Masker({"one": "abca", "two": "aab"})
    came = b"".join(masker.feed(chunk) for chunk in chunks(data, cuts)) + masker.flush()
    assert b"aab" not in came
    assert b"abca" not in came
    whole = mask(data, {"one": "abca", "two": "aab"})
    assert b"aab" not in whole


def test_what_cannot_begin_a_secret_is_not_held_back() -> None:
    assert Masker({"one": "secret"}).feed(b"line\n") == b"line\n"


def test_the_longer_of_two_nested_secrets_is_masked_whole() -> None:
    assert mask(b"<abcdef>", {"short": "abc", "long": "abcdef"}) == b"<[secret long]>"


@given(st.binary(max_size=100), st.binary(max_size=100), st.lists(st.integers(0, 240)))
def test_a_stream_ends_at_its_marker(before: bytes, after: bytes, cuts: list[int]) -> None:
    marker = b"0123456789abcdef"
    marked = Marked(marker)
    came = b"".join(marked.feed(chunk) for chunk in chunks(before + marker + after, cuts))
    assert (came, marked.found, marked.after) == (before, True, after)


@given(st.binary(max_size=100), st.lists(st.integers(0, 120)))
def test_a_stream_without_marker_loses_nothing(data: bytes, cuts: list[int]) -> None:
    marked = Marked(b"0123456789abcdef")
    assert b"".join(marked.feed(chunk) for chunk in chunks(data, cuts)) + marked.flush() == data
