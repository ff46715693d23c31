"""Redaction takes secrets and nothing else: the rest of the text, its lines and its order stay."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.model.redaction import PATTERNS, Redacted, redact, visible

SECRET = "hunter2hunter2"
WORDS = st.text(st.characters(codec="utf-8"), max_size=40)
PIECES = st.lists(
    WORDS
    | st.sampled_from(
        [
            f"password={SECRET}",
            f"Authorization: Bearer {SECRET}abcdef",
            f"postgres://app:{SECRET}@db/shop",
            "AKIA" + "A" * 16,
            "-----BEGIN PRIVATE KEY-----\nMIIB\nabc\n-----END PRIVATE KEY-----",
            "\n",
        ]
    ),
    max_size=6,
).map("".join)


def outside(text: str, answer: Redacted) -> list[str]:
    """The pieces of the original text between what was masked."""
    pieces, at = [], 0
    for found in answer.found:
        pieces.append(text[at : found.start])
        at = found.end
    return [*pieces, text[at:]]


@given(PIECES)
def test_nothing_but_secrets_is_lost(text: str) -> None:
    answer = redact(text)
    masks = [f"[redacted:{found.kind}]" + "\n" * text.count("\n", found.start, found.end) for found in answer.found]
    pieces = outside(text, answer)
    rebuilt = pieces[0] + "".join(mask + piece for mask, piece in zip(masks, pieces[1:], strict=True))
    assert answer.text == rebuilt


@given(PIECES)
def test_lines_keep_their_numbers(text: str) -> None:
    assert redact(text).text.count("\n") == text.count("\n")


@given(PIECES)
def test_spans_are_in_order_and_apart(text: str) -> None:
    found = redact(text).found
    assert all(item.start < item.end <= len(text) for item in found)
    assert all(one.end <= other.start for one, other in pairwise(found))


@given(WORDS, st.lists(st.text(min_size=4, max_size=12), min_size=1, max_size=4), WORDS)
def test_known_values_are_nowhere_left(before: str, known: list[str], after: str) -> None:
    text = before + " ".join(known) + after
    pieces = outside(text, redact(text, known))
    assert not any(value in piece for value in known for piece in pieces)


@given(st.text(max_size=3))
def test_short_known_values_would_shred_the_text(short: str) -> None:
    assert redact("a b c", [short]).text == "a b c"


@pytest.mark.parametrize("kind", sorted({entry.kind for entry in PATTERNS}))
def test_kinds_are_words(kind: str) -> None:
    assert re.fullmatch(r"[a-z][a-z_]*", kind)


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_visible_text_has_nothing_hidden(text: str) -> None:
    shown = visible(text)
    assert not [char for char in shown if unicodedata.category(char) in HIDDEN and char not in "\n\t"]
    assert visible(shown) == shown
    assert shown == "".join(visible(char) for char in text), "each character by itself, nothing dropped or moved"
    assert all(visible(char) in (char, f"<U+{ord(char):04X}>") for char in text)


HIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
"""Categories of Unicode whose characters are not seen, or change how others are."""


@pytest.mark.parametrize("char", ["\u202e", "\u200b", "\u2066", "\x1b", "\x00", "\x7f", "\ufeff", "\u2028", "\u3164"])
def test_what_could_deceive_is_named(char: str) -> None:
    assert visible(f"a{char}b") == f"a<U+{ord(char):04X}>b"
