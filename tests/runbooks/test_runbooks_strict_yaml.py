"""Strict YAML: what is refused, where; what is read; and that nothing breaks it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runwright.model.base import Record
from runwright.model.errors import InvalidInput
from runwright.model.ids import digest
from runwright.runbooks.emit import emit
from runwright.runbooks.strict_yaml import MAX_BYTES, parse, read, validate


def test_what_yaml_forbids_is_refused_with_its_place(must_error_case: dict[str, Any]) -> None:
    case = must_error_case
    with pytest.raises(InvalidInput) as caught:
        parse(case["text"], "case.yaml")
    first = caught.value.faults[0]
    assert case["says"] in " ".join(fault.message for fault in caught.value.faults)
    assert first.file == "case.yaml"
    assert first.line is not None
    assert first.column is not None
    if "at" in case:
        assert f"{first.line}:{first.column}" == case["at"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("12:30:45", "12:30:45"),
        ("2024-01-01", "2024-01-01"),
        ("1_000", "1_000"),
        ("1.2.3", "1.2.3"),
        ("=", "="),
        ("-", None),
        ("true", True),
        ("'true'", "true"),
        ('"1"', "1"),
        ("null", None),
        ("~", None),
        ("", None),
        ("-7", -7),
        ("0", 0),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("'0644'", "0644"),
        ("a#b", "a#b"),
        ("http://x/y", "http://x/y"),
        ("|\n  a\n   b\n", "a\n b\n"),
        ("|-\n  # no comment\n", "# no comment"),
        (">-\n  a\n  b\n", "a b"),
        ("|\n  5\n", "5\n"),
        ("[a, 'b', 3]", ["a", "b", 3]),
        ("{a: b}", {"a": "b"}),
    ],
)
def test_scalars_are_the_core_schema_and_strings_stay_strings(text: str, value: Any) -> None:
    if text == "-":
        value = [None]
        document = parse("key:\n  -\n")
    else:
        document = parse(f"key: {text}\n")
    found = document.data["key"]
    assert found == value
    assert type(found) is type(value)


def test_all_faults_come_at_once_in_the_order_of_the_text() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse("a: &x 1\nb: *x\na: 2\nc: !t 0x1\nd: {<<: {}}\n")
    assert [(fault.line, fault.column) for fault in caught.value.faults] == [
        (1, 4),
        (2, 4),
        (3, 1),
        (4, 4),
        (4, 4),
        (5, 5),
    ]


@pytest.mark.parametrize(
    ("data", "line", "column", "says"),
    [
        (b"a: b\nc: \xff\n", 2, 4, "0xff"),
        ("ä: ".encode() + b"\xc3", 1, 4, "0xc3"),
        (b"\xef\xbb\xbfa: b\n", 1, 1, "byte order mark"),
        ("a: b\ufeff\n".encode(), 1, 5, "byte order mark"),
        (b"a: b\nc: d\x00\n", 2, 5, "U+0000"),
        (b"a: \x1b[2J\n", 1, 4, "U+001B"),
        ("a: \u2028\n".encode(), 1, 4, "LINE SEPARATOR"),
        ("a: \x85\n".encode(), 1, 4, "U+0085"),
        (b"a: b\rc: d\n", 1, 5, "U+000D"),
        ("a: b".encode("utf-16"), 1, 1, "0xff"),
    ],
)
def test_bytes_that_are_no_text_of_ours_are_refused_with_their_place(
    data: bytes, line: int, column: int, says: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(data)
    first = caught.value.faults[0]
    assert (first.line, first.column) == (line, column)
    assert says in first.message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x" * (MAX_BYTES + 1), "bytes"),
        ("[" * 100_000, "deeper"),
        ("{" * 100_000, "deeper"),
        ("- " * 50_000, "deeper"),
        ("".join(" " * depth + "a:\n" for depth in range(600)), "deeper"),
        ("a: [" + "1," * 90_000 + "]", "values"),
        ("- a\n" * 50_000, "values"),
        ('a: "' + "\\\n" * 80_000 + '"', "not indented"),
        ("a: &x b\n" * 1_000, "100 faults"),
    ],
    ids=["bytes", "brackets", "braces", "dashes", "blocks", "flow", "block", "faults of layout", "faults"],
)
def test_what_is_too_large_is_refused_soon(text: str, says: str) -> None:
    started = time.perf_counter()
    with pytest.raises(InvalidInput, match=says):
        parse(text)
    assert time.perf_counter() - started < 20


def test_windows_line_ends_give_the_same_data() -> None:
    text = "a: b\nc: |\n  d\n  e\nf: [g]\n"
    assert parse(text.replace("\n", "\r\n")).data == parse(text).data


def test_positions_count_from_one_and_fall_back_to_the_parent() -> None:
    document = parse("a:\n  - b: c\n    dd: e\n")
    assert document.position(("a", 0, "dd")) == (3, 9)
    assert document.key_position(("a", 0, "dd")) == (3, 5)
    assert document.position(("a", 0, "gone", 3)) == (2, 5)


class _Point(Record):
    x: int
    y: int = 0


def test_any_record_is_validated_with_places() -> None:
    assert validate(parse("x: 1\n"), _Point) == _Point(x=1)
    with pytest.raises(InvalidInput) as caught:
        validate(parse("x: a\nz: 1\n", "p.yaml"), _Point)
    assert [str(fault) for fault in caught.value.faults] == [
        "p.yaml:1:4: found 'a'; allowed: a whole number (x)",
        "p.yaml:2:1: found unknown field 'z'; allowed: x, y (z)",
    ]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(st.text(), st.binary()))
def test_no_text_and_no_bytes_break_the_reader(text: str | bytes) -> None:
    document, faults = read(text)
    assert (document is not None) or faults
    assert all(fault.line is not None and fault.column is not None and fault.message for fault in faults)


_PIECES = st.sampled_from(
    [
        "a",
        "b:",
        ": ",
        "- ",
        "-",
        "\n",
        "\n  ",
        "\n    ",
        "|",
        ">-",
        "|2",
        "#",
        " #",
        "'",
        '"',
        "[",
        "]",
        "{",
        "}",
        ",",
        "?",
        "&x ",
        "*x",
        "!t ",
        "!!str ",
        "<<",
        "%YAML 1.2",
        "---",
        "...",
        "\t",
        "\\",
        "\\x",
        "~",
        "1",
        "0x",
        ".inf",
        "é",
        "\u2028",
        "\r\n",
        "@",
        "`",
    ]
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_PIECES, max_size=25).map("".join))
def test_no_yaml_like_text_breaks_the_reader(text: str) -> None:
    document, faults = read(text)
    assert (document is not None) or faults
    if document is not None and not faults:
        digest(document.data)  # what is accepted has a canonical form
        assert document.position(("nowhere",))[0] >= 1


_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53) + 1, 2**53 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(alphabet=st.characters(exclude_categories=("Cs",), exclude_characters="\0")),
    st.sampled_from(
        [
            "yes",
            "0644",
            "1e3",
            "a: b",
            "a #b",
            "- x",
            "",
            " ",
            "\n",
            "a\n",
            "a\n\n",
            "a\nb",
            "\ta\nb",
            "a\n \nb",
            "$x",
            "null",
        ]
    ),
)
_DATA = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text("abcyn -:#$\n", max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.text("abc_-", min_size=1, max_size=5), _DATA, min_size=1, max_size=4))
def test_emitted_data_is_read_back_as_it_was(data: dict[str, Any]) -> None:
    assert digest(parse(emit(data)).data) == digest(data)
