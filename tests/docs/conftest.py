"""The documentation as text, and the script that writes the generated part of it."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@cache
def load_script() -> ModuleType:
    """`scripts/write-reference` as a module."""
    path = ROOT / "scripts" / "write-reference"
    loader = SourceFileLoader("write_reference", str(path))
    spec = importlib.util.spec_from_loader("write_reference", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


@pytest.fixture(scope="session")
def reference() -> ModuleType:
    return load_script()


@pytest.fixture(scope="session")
def doc_pages() -> dict[str, str]:
    """Every page for people by its path: README, CONTRIBUTING and all of docs."""
    paths = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}
