"""The scenarios that come with Runwright: real faults on real services, with reference fixes and cheats."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def folder() -> Path:
    """The folder of the library, one folder per incident type."""
    return Path(str(files(__name__)))
