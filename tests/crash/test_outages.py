"""The database goes away for ten seconds in the middle of runs, and the disk is full for as long."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


@pytest.mark.postgres
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_work_goes_on_by_itself_when_the_database_is_back() -> None:
    """Both beside each other, in a process of its own that may fork; its mounts are its own too."""
    done = subprocess.run(
        ["unshare", "-m", sys.executable, "-m", "crash.outages", "postgres-stopped", "disk-full", "--seconds", "10"],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["disk-full", "postgres-stopped"], done.stdout
    assert not any(" 0 runs" in line for line in lines)
