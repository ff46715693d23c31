"""The rules of `risk_rules.yaml`: loaded, compiled, matched against one effective command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib.resources import files

from pydantic import Field

from runwright.model.base import Record
from runwright.model.risk import RiskClass, RiskFinding, RiskVerdict
from runwright.runbooks.commands import EffectiveCommand
from runwright.runbooks.strict_yaml import parse, validate


class RiskRule(Record):
    """One row: which commands, under which conditions, and what that means."""

    id: str = Field(pattern=r"^[a-z][a-z0-9-]+$")
    commands: tuple[str, ...] = Field(min_length=1)
    all: tuple[str, ...] = ()
    any: tuple[str, ...] = ()
    none: tuple[str, ...] = ()
    writes: str | None = None
    verdict: RiskVerdict
    classes: tuple[RiskClass, ...] = Field(min_length=1)
    explanation: str
    safer: str | None = None

    def matches(self, command: EffectiveCommand) -> bool:
        """Whether the command does what the rule is about."""
        if not any(fnmatchcase(command.program, name) for name in self.commands):
            return False
        texts = [word.text for word in command.args]
        if self.writes is not None and not any(_found(self.writes, word.text) for word in command.writes):
            return False
        return (
            all(any(_found(pattern, text) for text in texts) for pattern in self.all)
            and (not self.any or any(_found(pattern, text) for pattern in self.any for text in texts))
            and not any(_found(pattern, text) for pattern in self.none for text in texts)
        )


class RiskRules(Record):
    """The whole file."""

    rules: tuple[RiskRule, ...]


@lru_cache(maxsize=1)
def risk_rules() -> tuple[RiskRule, ...]:
    """The rules in their order. Raises InvalidInput if the installed file was damaged."""
    text = files("runwright.runbooks").joinpath("risk_rules.yaml").read_bytes()
    return validate(parse(text, "risk_rules.yaml"), RiskRules).rules


def table_findings(command: EffectiveCommand, place: str | None) -> Iterator[RiskFinding]:
    """What the rules say about one command."""
    for rule in risk_rules():
        if rule.matches(command):
            yield RiskFinding(
                rule=rule.id,
                verdict=rule.verdict,
                classes=rule.classes,
                command=str(command),
                explanation=rule.explanation,
                safer=rule.safer,
                place=place,
            )


@lru_cache(maxsize=512)
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _found(pattern: str, text: str) -> bool:
    # arguments are cut: our own patterns meet other people's text, and nothing in them needs more
    return _pattern(pattern).search(text[:4_000]) is not None
