"""Cases that several suites read."""

from __future__ import annotations

from pathlib import Path

from runwright.runbooks.strict_yaml import parse

CASES = Path(__file__).parents[1] / "cases"


def read_only_texts(kind: str) -> list[str]:
    """`only_reads` or `writes`."""
    return list(parse((CASES / "runbooks/read_only.yaml").read_bytes(), "read_only.yaml").data[kind])
