"""A worker that was stopped for longer than its lease and wakes up after another has taken over."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


@pytest.mark.postgres
@pytest.mark.skipif(os.geteuid() != 0, reason="the judge looks at other processes of this machine")
def test_a_worker_that_wakes_up_starts_nothing() -> None:
    """At five moments beside each other, in a process of its own that may fork."""
    done = subprocess.run(
        [sys.executable, "-m", "crash.stalled"],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("stalled ") == 5
