"""The disk under the database fills up: a sentence, nothing changed, and work goes on once there is room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from runwright.model.errors import StorageUnavailable
from runwright.surfaces.client import RunwrightClient
from support.server import Server, approve_runbook, finished, first_admin, report

RUNBOOK = """\
schema: runwright/v1
id: RB-TEST-NOTHING-001
name: Does nothing
platform: linux
incident_types: [high_cpu]
severity: low
steps:
  - id: nothing
    run: "true"
"""


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with 48 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all the room that is left."""
    path = folder / "ballast"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            return path


def report_many(admin: RunwrightClient) -> None:
    """What a full disk refuses at some point: pages that are free within the files are used up first."""
    for number in range(500):
        report(admin, {"process": f"full-{number}"}, "high_cpu")


@pytest.mark.lab
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_refuses_whole_and_loses_nothing(small: Path) -> None:
    server = Server(small)
    server.start()
    try:
        admin = first_admin(server)
        approve_runbook(admin, RUNBOOK)
        kept = report(admin, {"process": "before"}, "high_cpu")
        finished(admin, admin.executions(incident_id=kept.id)[0].id)

        ballast = fill(small)
        with pytest.raises(StorageUnavailable) as refused:
            report_many(admin)
        assert "full" in str(refused.value)
        known = len(admin.incidents())

        ballast.unlink()
        after = report(admin, {"process": "after"}, "high_cpu")
        finished(admin, admin.executions(incident_id=after.id)[0].id)
        assert len(admin.incidents()) == known + 1
        assert admin.incident(kept.id) is not None
        assert server.run("audit", "verify").returncode == 0
    finally:
        server.close()
