"""What a fact is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from runwright.verification.sections import Section


class Unreadable(Exception):
    """Raised by a `process` function: why the fact cannot be told from this answer."""


@dataclass(frozen=True)
class Fact:
    """One question and the pure function that reads its answer into fields of HostState."""

    name: str
    """As `missing` calls it."""
    script: str
    """POSIX sh text; must not call `exit`."""
    process: Callable[[str], Mapping[str, Any]]
    """From the text of the section. Raises Unreadable."""


def read(fact: Fact, section: Section | None, problem: str | None) -> Mapping[str, Any]:
    """The fields that a fact gives. Raises Unreadable with the reason for `missing`."""
    if section is None or not section.ended:
        raise Unreadable(problem or "the host's answer was cut short")
    return fact.process(section.text)
