"""The guards of repairs, run by sh on this machine against real files and real processes."""

from __future__ import annotations

import os
import pwd
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
    text = {name: _moved(step[name], file) for name in ("only_if", "run")}
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


def _moved(text: str, file: Path) -> str:
    """The text of a step for /opt/rwtest/app.conf, for this file."""
    return text.replace("/opt/rwtest/app.conf", str(file)).replace(" /opt || exit", " /tmp || exit")


def test_an_environment_file_that_the_unit_demands_is_put_back_from_its_copy(place: Path) -> None:
    said = "rwtest.service: Failed to load environment files: No such file or directory"
    step = step_for(said, "restore_environment_file")
    file, there = place / "env", place / "there"
    there.touch()
    tool = place / "bin" / "systemctl"
    tool.parent.mkdir()
    tool.write_text(
        "#!/bin/sh\n"
        f"echo 'EnvironmentFiles={place}/optional (ignore_errors=yes)'\n"
        f"echo 'EnvironmentFiles={there} (ignore_errors=no)'\n"
        f"echo 'EnvironmentFiles={file} (ignore_errors=no)'\n"
    )
    tool.chmod(0o755)

    def at_place(text: str) -> str:
        text = text.replace("/etc/*[", "/tmp/*[").replace("/etc/?*", "/tmp/?*").replace(" /etc ||", " /tmp ||")
        return f"PATH={tool.parent}:$PATH\n{text}"

    moved = {name: at_place(step[name]) for name in ("only_if", "run")}
    assert not applies(step), "its place is not below /etc"
    assert not applies(moved), "there is no copy"
    (place / "env.dpkg-old").write_text("PORT=8091\n")
    assert applies(moved)
    run(moved)
    assert file.read_text() == "PORT=8091\n"
    assert not applies(moved)


def test_a_copy_is_put_back_only_where_nobody_else_could_have_put_it(place: Path) -> None:
    step = step_for("app: /opt/rwtest/app.conf:3: unknown directive 'x'", "restore_configuration")
    file, victim = place / "app.conf", place / "shadow"
    text = {name: _moved(step[name], file) for name in ("only_if", "run")}
    (place / "app.conf.bak").write_text("theirs")
    victim.write_text("root's")
    file.symlink_to(victim)
    assert not applies(text)
    sh(text["run"])
    assert victim.read_text() == "root's"
    file.unlink()
    file.write_text("broken")
    assert applies(text)
    place.chmod(0o777)
    assert not applies(text)
    sh(text["run"])
    assert file.read_text() == "broken"


def test_a_path_that_telemetry_names_is_not_followed_through_a_link(place: Path) -> None:
    """Whoever may write to /tmp can put a link there, and a line into the journal that names what lies behind it."""
    victim = place / "etc"
    victim.mkdir()
    (victim / "passwd").touch()
    (place / "spool").symlink_to(victim)
    step = lock_step(place / "spool" / "passwd")
    assert not applies(step)
    sh(step["run"])
    assert (victim / "passwd").exists()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(victim / "a.sock"))
    listener.close()
    step = step_for(f"bind() to unix:{place}/spool/a.sock failed (98: Address already in use)", "stale_socket")
    assert not applies(step)
    sh(step["run"])
    assert (victim / "a.sock").exists()
    said = f"FileNotFoundError: [Errno 2] No such file or directory: '{place}/spool/cron/a.pid'"
    step = step_for(said, "missing_directory")
    assert not applies(step)
    sh(step["run"])
    assert not (victim / "cron").exists()


def test_a_path_with_a_parameter_does_not_leave_its_root() -> None:
    """The step is learned with one service's name, and runs with the next incident's."""
    step = step_for("rwtest: lock file /tmp/rwtest-none.lock exists, refusing to start", "stale_file")
    assert "${service}" in step["run"]
    with tempfile.TemporaryDirectory(prefix="rwvictim", dir="/var/tmp") as folder:
        victim = Path(folder) / "a.lock"
        victim.touch()
        foreign = f"../..{folder}/a"
        assert sh(step["only_if"], service=foreign).returncode == 1
        sh(step["run"], service=foreign)
        assert victim.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_ownership_is_given_back_only_on_the_units_own_files(place: Path) -> None:
    """The unit's user may put links and further names of files into its own directory."""
    own, victim = place / "rwtest-none", place / "etc"
    for folder in (own, victim):
        folder.mkdir()
    (victim / "shadow").touch()
    (own / "db").symlink_to(victim)
    (own / "data").touch()
    os.link(victim / "shadow", own / "other")
    tools = place / "bin"
    tools.mkdir()
    (tools / "systemctl").write_text("#!/bin/sh\necho User=nobody\n")
    (tools / "systemctl").chmod(0o755)
    for name in ("db/shadow", "other", "data"):
        step = step_for(f"rwtest-none: open {own}/{name}: permission denied", "wrong_owner")
        text = {key: f"PATH={tools}:$PATH\n{step[key]}" for key in ("only_if", "run")}
        applies(text)
        run(text)
    assert (victim / "shadow").stat().st_uid == 0
    assert victim.stat().st_uid == 0
    assert (own / "data").stat().st_uid == own.stat().st_uid == pwd.getpwnam("nobody").pw_uid


def test_a_missing_directory_is_made_with_those_above_it(place: Path) -> None:
    said = f"FileNotFoundError: [Errno 2] No such file or directory: '{place}/a/b/c.pid'"
    step = step_for(said, "missing_directory")
    assert applies(step)
    if os.geteuid() == 0:
        run(step)
        assert oct((place / "a" / "b").stat().st_mode)[-3:] == "755"
        assert not applies(step)


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


def test_a_line_feed_in_a_name_leads_to_no_other_file(place: Path) -> None:
    """Anyone may make a directory `a<line feed>` with the path of someone else's file in it."""
    cache, victim = place / "cache", place / "precious"
    trap = cache / "a\n" / str(victim).lstrip("/")
    trap.parent.mkdir(parents=True)
    for file in (victim, trap, cache / "blob"):
        file.write_text("x")
    (cache / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55\n")
    sweep(disk_step(place, "marked_caches", []), place, [])
    assert victim.exists()
    assert not (cache / "blob").exists()


@pytest.mark.parametrize("repair", ["rotated_logs", "marked_caches", "old_sessions", "old_leavings"])
def test_every_search_whose_finds_are_removed_leaves_such_names_out(place: Path, repair: str) -> None:
    text = disk_step(place, repair, [], inodes=repair == "old_sessions")["run"]
    searches = [part.partition("|")[0] for part in text.split("find ")[1:] if "-type" in part.partition("|")[0]]
    assert searches
    for search in searches:
        assert "! -path '*\n*'" in search or "wc -l" in search or "-maxdepth 1 -type f " in search, search


def test_a_directory_that_became_a_link_is_not_swept_through(place: Path) -> None:
    """Between the search and the removal: here the search itself makes the change."""
    other, box = place / "other", place / "box"
    other.mkdir()
    box.mkdir()
    for folder in (other, box):
        (folder / "app.log.1").write_text("x")
        (folder / "app.log").write_text("x")
    step = disk_step(place, "rotated_logs", [str(other)])
    swap = f'kept() {{ mv "{box}" "{place}/was" 2>/dev/null && ln -s "{other}" "{box}"; return 1; }}\n'
    head, mark, rest = step["run"].partition("open=$(")
    sweep({"run": head + swap + mark + rest.replace('find "$mount"', f'find "{box}"', 1)}, place, [])
    assert box.is_symlink()
    assert (other / "app.log.1").exists()


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


def test_what_programs_left_in_their_temporary_directories_goes_when_old(place: Path) -> None:
    scratch, data = place / "queue" / "tmp", place / "queue" / "new"
    for folder in (scratch, data):
        folder.mkdir(parents=True)
        for name in ("old", "open"):
            (folder / name).touch()
            os.utime(folder / name, (1_000_000_000, 1_000_000_000))
        (folder / "fresh").touch()
    with (scratch / "open").open():
        sweep(disk_step(place, "old_leavings", []), place, [])
    assert {path.name for path in scratch.iterdir()} == {"open", "fresh"}
    assert {path.name for path in data.iterdir()} == {"old", "open", "fresh"}


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
