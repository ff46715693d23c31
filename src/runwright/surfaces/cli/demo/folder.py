"""The demo's throwaway data directory: its own database, its own key, nothing of it elsewhere."""

from __future__ import annotations

import shutil
from pathlib import Path

from platformdirs import user_cache_path

from runwright.model.errors import Conflict, NotFound

MARK = "RUNWRIGHT-DEMO"
"""A file that says: this directory may be emptied by the demo."""


def demo_folder() -> Path:
    """Where the demo keeps its data until the next one."""
    return user_cache_path("runwright") / "demo"


def fresh_folder() -> Path:
    """An empty demo directory. Raises Conflict if something else stands there."""
    folder = demo_folder()
    if folder.exists():
        if not (folder / MARK).exists():
            raise Conflict(
                f"Found {folder} without the demo's mark, so it is not emptied.",
                next_step="Move it away and try again.",
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True, mode=0o700)
    (folder / MARK).write_text("Data of `runwright demo`. It is emptied by the next demo.\n")
    return folder


def require_demo_folder() -> None:
    """Raise NotFound where no demo has left its data."""
    if not (demo_folder() / MARK).exists():
        raise NotFound("Found no data of a demo.", next_step="Run `runwright demo` first.")
