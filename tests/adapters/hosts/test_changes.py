"""What a machine's snapshots see, and that looking leaves no trace."""

from __future__ import annotations

import os
from pathlib import Path

from runwright.adapters.hosts.changes import compare, snapshot
from runwright.model.lab import Change

LONG_AGO = 1_000_000_000


def test_looking_leaves_the_time_of_last_access_alone(tmp_path: Path) -> None:
    upper, live = tmp_path / "upper", tmp_path / "live"
    (live / "run").mkdir(parents=True)
    upper.mkdir()
    files = [upper / "dump", live / "run" / "part"]
    for file in files:
        file.write_text("x")
        os.utime(file, (LONG_AGO, LONG_AGO))
    seen = snapshot(upper, live, None)
    assert [file.stat().st_atime for file in files] == [LONG_AGO, LONG_AGO]
    files[1].write_text("y")
    (change,) = compare(tmp_path, seen, snapshot(upper, live, seen))
    assert (change.path, change.change) == ("/run/part", Change.CHANGED)
