"""The starter library: six standard runbooks as data, imported as drafts and approved like any other."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

from runwright.runbooks.load import LoadedRunbook, load_runbook


@lru_cache(maxsize=1)
def starter_runbooks() -> tuple[LoadedRunbook, ...]:
    """The standard runbooks in the order of their ids. Raises InvalidInput if the installed files were damaged."""
    folder = files("runwright.runbooks.library")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    return tuple(load_runbook(folder.joinpath(name).read_bytes(), file=name) for name in names)
