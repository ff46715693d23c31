"""`runwright demo`, as a newcomer runs it: to its end, interrupted, and with a person who rejects."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "runwright", "demo"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A cache and a temporary directory of its own, so that what is left behind can be seen."""
    folder = tmp_path / "t"
    folder.mkdir()
    return {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "TMPDIR": str(folder), "COLUMNS": "160"}


def left_behind(environment: dict[str, str]) -> list[str]:
    """Processes, mounts, machines and directories of a demo."""
    mark = environment["XDG_CACHE_HOME"].encode()
    found = [str(path) for path in Path(environment["TMPDIR"]).iterdir()]
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if int(entry.name) != os.getpid() and mark in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def orphans() -> set[str]:
    """State files of machines whose maker is gone; machines of other tests that run now are not meant."""
    found = set()
    for path in Path("/run/runwright/machines").glob("*.json"):
        try:
            owner = json.loads(path.read_text())["owner"]["pid"]
        except FileNotFoundError:
            continue
        if not Path(f"/proc/{owner}").exists():
            found.add(path.name)
    return found


def play(environment: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *options],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment,
        timeout=280,
        check=False,
    )


def check_story(text: str, runbook: str) -> None:
    assert f"chosen: {runbook}-v1" in text
    assert "failure: failed, checked on the host itself" in text
    assert "runbook_insufficient" in text
    assert "stale_lock" in text
    assert f"chosen: {runbook}-v2" in text
    assert "success: passed, checked on the host itself" in text
    assert "runwright serve --demo" in text


def test_the_story_without_machines(environment: dict[str, str]) -> None:
    told = play(environment, "--no-lab", "--yes")
    assert told.returncode == 0, told.stdout + told.stderr
    check_story(told.stdout, "RB-DEMO-SHOP-001")
    assert "not tried: no lab" in told.stdout
    assert "approved without asking (--yes was given)" in told.stdout
    assert left_behind(environment) == []
    assert (Path(environment["XDG_CACHE_HOME"]) / "runwright" / "demo" / "runwright.db").exists()


@pytest.mark.lab
def test_the_story_on_a_machine(environment: dict[str, str]) -> None:
    before = orphans()
    told = play(environment)
    assert told.returncode == 0, told.stdout + told.stderr
    check_story(told.stdout, "RB-LINUX-SERVICE-001")
    assert "service-crash/stale-lock: healed on a fresh machine" in told.stdout
    assert "approved without asking (there is no terminal)" in told.stdout
    assert left_behind(environment) == []
    assert orphans() <= before


@pytest.mark.lab
@pytest.mark.parametrize("act", ["1/8", "3/8", "4/8"])
def test_interrupted_it_leaves_nothing(environment: dict[str, str], act: str) -> None:
    before = orphans()
    story = subprocess.Popen(
        [*COMMAND, "--yes"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
    )
    assert story.stdout is not None
    told = ""
    for line in story.stdout:
        told += line
        if act in line:
            break
    story.send_signal(signal.SIGINT)
    told += story.stdout.read()
    story.stdout.close()
    assert story.wait(timeout=60) == 130, told
    assert "Traceback" not in told
    assert left_behind(environment) == []
    assert orphans() <= before
    assert not (Path(environment["XDG_CACHE_HOME"]) / "runwright" / "demo").exists()


def test_a_person_at_the_terminal_may_reject(environment: dict[str, str]) -> None:
    """The question is asked at a terminal; rejecting ends the story with nothing of v2 live."""
    ours, theirs = pty.openpty()
    story = subprocess.Popen(
        [*COMMAND, "--no-lab"], stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    )
    os.close(theirs)
    told = b""
    answers = [(b"pprove or [r]eject?", b"r\n"), (b"Why?", b"not on my shift\n")]
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        if select.select([ours], [], [], 1.0)[0]:
            try:
                told += os.read(ours, 65536)
            except OSError:
                break
        elif story.poll() is not None:
            break
        if answers and answers[0][0] in told:
            os.write(ours, answers.pop(0)[1])
    os.close(ours)
    assert story.wait(timeout=30) == 1, told.decode(errors="replace")
    assert b"Rejected: nothing of it will ever run." in told
    assert b"7/8" not in told
    assert left_behind(environment) == []
