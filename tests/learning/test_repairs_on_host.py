"""The guards of repairs, run by sh on this machine against real files and real processes."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runwright.learning.evidence import Evidence
from runwright.learning.repairs import suggestions
from runwright.learning.repairs.case import Case
from runwright.model.proposals import AddStep
from support.telemetry import document_of, result_of


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory below /tmp with a plain name: telemetry may name paths there."""
    made = Path(tempfile.mkdtemp(prefix="rwtest", dir="/tmp"))
    yield made
    shutil.rmtree(made)


def step_for(said: str, repair: str, service: str = "rwtest-none") -> dict[str, Any]:
    """The step that the catalogue adds for a journal line."""
    case = {"incident": {"incident_type": "service_crash", "subject": {"service": service}}}
    case["state_after"] = {"journal": [said]}
    found = suggestions(Case(Evidence.of(result_of(case)), document_of(case).document))
    edit = next(item for item in found if item.repair == repair).edits[0]
    assert isinstance(edit, AddStep)
    return edit.content


def sh(text: str, service: str = "rwtest-none") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "service": service, "LC_ALL": "C.UTF-8"}
    return subprocess.run(["sh", "-c", text], env=environment, capture_output=True, text=True, check=False, timeout=30)


def applies(step: dict[str, Any]) -> bool:
    found = sh(step["only_if"])
    assert found.returncode in (0, 1), found.stderr
    return found.returncode == 0


def run(step: dict[str, Any]) -> None:
    found = sh(step["run"])
    assert found.returncode == 0, found.stderr


def lock_step(lock: Path) -> dict[str, Any]:
    return step_for(f"rwtest: lock file {lock} exists, refusing to start", "stale_file")


def dead_pid() -> int:
    with subprocess.Popen(["true"]) as process:
        process.wait()
        return process.pid


def test_a_lock_of_a_dead_process_is_removed_and_once_is_enough(place: Path) -> None:
    lock = place / "a.lock"
    lock.write_text(f"{dead_pid()}\n")
    step = lock_step(lock)
    assert applies(step)
    run(step)
    assert not lock.exists()
    assert not applies(step)
    run(step)


def test_an_empty_lock_that_nobody_has_open_is_stale(place: Path) -> None:
    lock = place / "a.lock"
    lock.touch()
    assert applies(lock_step(lock))


def test_a_lock_that_names_a_living_process_is_kept(place: Path) -> None:
    lock = place / "a.lock"
    lock.write_text(f"{os.getpid()}\n")
    assert not applies(lock_step(lock))


def test_a_lock_that_a_living_process_has_open_is_kept(place: Path) -> None:
    lock = place / "a.lock"
    with lock.open("w"):
        assert not applies(lock_step(lock))
    assert applies(lock_step(lock))


def test_a_lock_held_through_a_link_is_kept(place: Path) -> None:
    (place / "real").touch()
    link = place / "a.lock"
    link.symlink_to(place / "real")
    with (place / "real").open("w"):
        assert not applies(lock_step(link))


def test_a_number_given_again_to_a_younger_process_is_stale(place: Path) -> None:
    lock = place / "a.lock"
    with subprocess.Popen(["sleep", "30"]) as process:
        lock.write_text(f"{process.pid}\n")
        os.utime(lock, (1_000_000_000, 1_000_000_000))
        try:
            assert applies(lock_step(lock))
        finally:
            process.kill()


def test_a_lock_directory_goes_with_its_pid_file_and_nothing_else(place: Path) -> None:
    lock = place / "a.lock"
    lock.mkdir()
    (lock / "pid").write_text(f"{dead_pid()}\n")
    step = lock_step(lock)
    assert applies(step)
    run(step)
    assert not lock.exists()
    lock.mkdir()
    (lock / "data").write_text("precious")
    sh(step["run"])
    assert (lock / "data").read_text() == "precious"


def test_a_socket_that_nobody_listens_on_is_removed(place: Path) -> None:
    path = place / "a.sock"
    step = step_for(f"bind() to unix:{path} failed (98: Address already in use)", "stale_socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        assert not applies(step)
    assert path.is_socket()
    assert applies(step)
    run(step)
    assert not path.exists()


def test_a_missing_directory_is_made(place: Path) -> None:
    missing = place / "cache"
    step = step_for(f"FileNotFoundError: [Errno 2] No such file or directory: '{missing}/a.pid'", "missing_directory")
    assert applies(step)
    if os.geteuid() == 0:
        run(step)
        assert missing.is_dir()
        assert not applies(step)


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux' /proc")
def test_a_port_of_a_stranger_is_left_alone(place: Path) -> None:
    """No unit of this name exists here, so whoever listens is a stranger."""
    listen = (
        "import socket, time; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); "
        "print(s.getsockname()[1], flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", listen], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        try:
            step = step_for(f"Error: listen EADDRINUSE: address already in use :::{port}", "port_held")
            assert applies(step)
            assert sh(step["run"]).returncode == 1
            assert process.poll() is None
        finally:
            process.kill()
    assert not applies(step)


def test_the_newest_good_copy_is_put_back(place: Path) -> None:
    """On a path below /srv or /opt as the repair demands, so the text is moved to this test's place."""
    step = step_for("app: /opt/rwtest/app.conf:3: unknown directive 'x'", "restore_configuration")
    file = place / "app.conf"
    text = {name: step[name].replace("/opt/rwtest/app.conf", str(file)) for name in ("only_if", "run")}
    file.write_text("broken")
    assert not applies(text)
    (place / "app.conf.old").write_text("older")
    os.utime(place / "app.conf.old", (1_000_000_000, 1_000_000_000))
    (place / "app.conf.bak").write_text("good")
    (place / "app.conf~").write_text("")
    assert applies(text)
    run(text)
    assert file.read_text() == "good"
    assert (place / "app.conf.broken").read_text() == "broken"
    run(text)
    assert (place / "app.conf.broken").read_text() == "broken"


def disk_step(place: Path, repair: str, protect: list[str], inodes: bool = False) -> dict[str, Any]:
    subject = {"mount": str(place), "protect": protect, "inodes": inodes}
    case = {
        "incident": {"incident_type": "disk_full", "subject": subject},
        "runbook": "RB-LINUX-DISK-001",
        "steps": [{"id": "look"}],
    }
    found = suggestions(Case(Evidence.of(result_of(case)), document_of(case).document))
    edit = next(item for item in found if item.repair == repair).edits[0]
    assert isinstance(edit, AddStep)
    return edit.content


def sweep(step: dict[str, Any], place: Path, protect: list[str]) -> None:
    environment = {**os.environ, "mount": str(place), "protect": "\n".join(protect)}
    found = subprocess.run(["sh", "-c", step["run"]], env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


def test_rotated_logs_go_and_current_protected_and_open_ones_stay(place: Path) -> None:
    kept_dir = place / "keep"
    kept_dir.mkdir()
    names = ["app.log", "app.log.1", "app.log.2.gz", "lone.log.1"]
    names += ["odd name.log", "odd name.log.1", "open.log", "open.log.1"]
    for name in names:
        (place / name).write_text("x")
    for name in ("k.log", "k.log.1"):
        (kept_dir / name).write_text("x")
    protect = [str(kept_dir)]
    with (place / "open.log.1").open():
        sweep(disk_step(place, "rotated_logs", protect), place, protect)
    left = {path.name for path in place.rglob("*") if path.is_file()}
    assert left == {"app.log", "lone.log.1", "odd name.log", "open.log", "open.log.1", "k.log", "k.log.1"}


def test_marked_caches_are_emptied(place: Path) -> None:
    cache, data = place / "cache", place / "data"
    for folder in (cache, data):
        folder.mkdir()
        (folder / "blob").write_text("x")
    (cache / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55\n")
    (data / "CACHEDIR.TAG").write_text("not a signature\n")
    sweep(disk_step(place, "marked_caches", []), place, [])
    assert not (cache / "blob").exists()
    assert (data / "blob").exists()


def test_only_old_files_of_crowded_session_directories_go(place: Path) -> None:
    crowded, small = place / "sessions", place / "box" / "session"
    crowded.mkdir()
    small.mkdir(parents=True)
    for number in range(501):
        path = crowded / f"s{number}"
        path.touch()
        os.utime(path, (1_000_000_000, 1_000_000_000))
    (crowded / "live").touch()
    (small / "s").touch()
    os.utime(small / "s", (1_000_000_000, 1_000_000_000))
    sweep(disk_step(place, "old_sessions", [], inodes=True), place, [])
    assert [path.name for path in crowded.iterdir()] == ["live"]
    assert (small / "s").exists()
