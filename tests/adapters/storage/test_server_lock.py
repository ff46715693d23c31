"""One server per SQLite database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runwright.adapters.storage import claim_server
from runwright.model.errors import Conflict, StorageUnavailable

HOLDER = """
import sys, time
sys.path[:0] = {paths!r}
from runwright.adapters.storage import claim_server
claim_server({where!r})
print("claimed", flush=True)
sys.stdin.read()
"""


def _holder(where: str) -> subprocess.Popen[bytes]:
    program = HOLDER.format(paths=sys.path, where=where)
    process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"claimed\n"
    return process


@pytest.mark.parametrize("form", ["url", "directory"])
def test_a_second_server_is_told_who_holds_the_database(tmp_path: Path, form: str) -> None:
    where = f"sqlite:///{tmp_path}/runwright.db" if form == "url" else str(tmp_path)
    with _holder(where) as process:
        with pytest.raises(Conflict, match=f"process {process.pid} ") as raised:
            claim_server(where)
        assert "one server" in raised.value.allowed
        process.send_signal(signal.SIGKILL)
        process.wait()
        claim_server(where).release()


def test_twice_in_one_process_is_refused_too(tmp_path: Path) -> None:
    with claim_server(tmp_path) as claim:
        assert claim.path is not None
        assert int(claim.path.read_text()) == os.getpid()
        with pytest.raises(Conflict, match=f"process {os.getpid()} "):
            claim_server(str(tmp_path))
    with claim_server(tmp_path) as again:
        again.release()
        again.release()


def test_the_same_file_by_two_names_is_one(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with (
        claim_server(f"sqlite:///{tmp_path}/runwright.db"),
        pytest.raises(Conflict),
    ):
        claim_server(f"sqlite+aiosqlite:///{tmp_path}/link/runwright.db")


def test_postgresql_is_shared() -> None:
    url = "postgresql://eva@localhost/runwright"
    with claim_server(url) as first, claim_server(url):
        assert first.path is None


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match="lock file"):
        claim_server(tmp_path / "nowhere")
