"""Every record of the model, found by looking, and its example in `tests/cases/examples`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import TypeVar

import runwright.model
from runwright.model.base import OpenRecord, Record

EXAMPLES = Path(__file__).parents[1] / "cases" / "examples"

C = TypeVar("C", bound=type)


def _below(kind: C) -> Iterator[C]:
    for found in kind.__subclasses__():
        yield found
        yield from _below(found)


def _of_the_model(kind: C) -> dict[str, C]:
    for module in pkgutil.walk_packages(runwright.model.__path__, "runwright.model."):
        importlib.import_module(module.name)
    found = {item.__name__: item for item in _below(kind) if item.__module__.startswith("runwright.model.")}
    return {name: item for name, item in sorted(found.items()) if not name.startswith("_")}


RECORDS: dict[str, type[Record]] = {
    name: kind for name, kind in _of_the_model(Record).items() if kind is not OpenRecord
}
ENUMS: dict[str, type[Enum]] = _of_the_model(Enum)


def example_text(name: str) -> str:
    """The example of a record, as JSON."""
    return (EXAMPLES / f"{name}.json").read_text(encoding="utf-8")
