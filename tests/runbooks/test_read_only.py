"""What a check may run on a host: texts that only read, told from texts that only look so."""

from __future__ import annotations

from pathlib import Path

import pytest

from runwright.runbooks.library import starter_runbooks
from runwright.runbooks.read_only import reading
from runwright.runbooks.strict_yaml import parse

CASES = parse((Path(__file__).parents[1] / "cases/runbooks/read_only.yaml").read_bytes(), "read_only.yaml").data
PLAIN = {"service", "mount"}


@pytest.mark.parametrize("text", CASES["only_reads"])
def test_a_text_that_only_reads(text: str) -> None:
    found = reading(text, PLAIN)
    assert found.only_reads, found.reason


@pytest.mark.parametrize("text", CASES["writes"])
def test_a_text_that_does_more_or_may(text: str) -> None:
    found = reading(text, PLAIN)
    assert not found.only_reads
    assert found.reason


def test_a_value_that_may_begin_with_a_dash_is_no_operand() -> None:
    assert reading('systemctl is-active "$service"', {"service"}).only_reads
    assert not reading('systemctl is-active "$service"').only_reads


def test_what_the_parser_does_not_know_is_not_evaluated() -> None:
    for text in ("[[ -e x ]]", "a=(1 2)", "cat <(ls)", "select x in a; do :; done", "coproc cat", "x+=1", "let x=1"):
        assert not reading(text).only_reads, text


def test_most_guards_of_the_standard_runbooks_are_evaluated() -> None:
    """Not all: some ask curl or run a program of the host."""
    texts = [
        text
        for loaded in starter_runbooks()
        for step in (*loaded.document.steps, *loaded.document.rollback)
        for text in (step.only_if, step.unless)
        if text is not None
    ]
    known = [text for text in texts if reading(text, {"service", "mount", "path", "job", "process"}).only_reads]
    assert len(texts) >= 5
    assert len(known) >= len(texts) * 0.6, sorted(set(texts) - set(known))
