"""Any value becomes exactly one word, for every shell at hand."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runwright.adapters.hosts.quoting import assignments, check_attempt_id, payload, quote, script
from runwright.model.errors import InvalidInput

SHELLS = [[name] for name in ("dash", "bash") if shutil.which(name)]
SHELLS += [["busybox", "sh"]] if shutil.which("busybox") else []


def run(shell: list[str], program: bytes) -> bytes:
    return subprocess.run(shell, input=program, capture_output=True, check=True).stdout


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
@settings(max_examples=60, deadline=None)
@given(value=st.binary(max_size=400).map(lambda data: data.replace(b"\0", b"")))
def test_a_quoted_value_is_one_word_with_these_bytes(shell: list[str], value: bytes) -> None:
    program = b"set -- " + quote(value) + b' x; [ $# = 2 ] || exit 1; printf "%s" "$1"; exit 0\n'
    assert run(shell, program) == value


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
@settings(max_examples=60, deadline=None)
@given(
    value=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=300),
    more=st.lists(st.sampled_from(["'", "\n", "-", "\\", "$(id)", "`id`", "\x81", "\x88", "é"]), max_size=20).map(
        "".join
    ),
)
def test_a_parameter_reaches_the_text_as_it_is(shell: list[str], value: str, more: str) -> None:
    program = payload('printf "%s" "$value"', {"value": value + more}, "att")
    assert run(shell, program) == (value + more).encode()


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_text_after_a_lost_half_is_not_started(shell: list[str], tmp_path: Path) -> None:
    """A connection that ends in the middle of a request leaves the shell with half a compound command."""
    whole = payload(f"touch {tmp_path}/started; : {'x' * 5000}", {}, "att")
    subprocess.run(shell, input=whole[: len(whole) - 10], capture_output=True, check=False)
    assert list(tmp_path.iterdir()) == []


def test_nul_is_refused_with_a_sentence() -> None:
    with pytest.raises(InvalidInput, match="NUL"):
        quote("a\0b")


@pytest.mark.parametrize("name", ["", "1a", "a-b", "a b", "a;b", "a\n", "é"])
def test_only_shell_names_are_assigned(name: str) -> None:
    with pytest.raises(InvalidInput):
        assignments({name: "x"})


def test_attempt_ids_are_file_names() -> None:
    assert check_attempt_id("exe_0123.a-b:"[:-1]) == "exe_0123.a-b"
    with pytest.raises(InvalidInput):
        check_attempt_id("exe/../x")


def test_a_request_holds_its_values_quoted_and_in_braces() -> None:
    request = script("forget", id="a'b", base="/x", nonce="n")
    assert request.startswith(b"{\nid='a'\\''b'\n")
    assert request.endswith(b"}\n")
