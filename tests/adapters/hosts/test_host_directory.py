"""The supervisor's directory of a plain user lies in /tmp, where others may put theirs in its place."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from adapters.hosts.rigs import NOBODY, plain_session, sh
from runwright.adapters.hosts.session import ShellSession
from runwright.model.errors import HostUnreachable

OTHER = 65533
"""Another user of the host, who would like to be believed."""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs to be two users")


@pytest.fixture
async def session() -> AsyncIterator[ShellSession]:
    async with plain_session() as opened:
        yield opened


@pytest.fixture
def aside(session: ShellSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Moves the directory away, as whoever tidies /tmp does; it is back afterwards. Gives its path."""
    base = Path(session.directory)
    kept = base.with_name(f"{base.name}-kept")
    base.rename(kept)
    yield base
    if base.is_symlink():
        base.unlink()
    else:
        shutil.rmtree(base, ignore_errors=True)
    kept.rename(base)


def taken(base: Path, how: str) -> Path:
    """Another user's directory, open to all, in place of ours; where its files are."""
    theirs = base if how == "directory" else base.with_name(f"theirs-{base.name}")
    theirs.mkdir(mode=0o777)
    theirs.chmod(0o777)
    os.chown(theirs, OTHER, OTHER)
    if how == "link":
        base.symlink_to(theirs)
        os.chown(base, OTHER, OTHER, follow_symlinks=False)
    return theirs


@pytest.mark.parametrize("how", ["directory", "link"])
async def test_nothing_starts_where_the_directory_became_anothers(
    session: ShellSession, aside: Path, free_id: str, how: str
) -> None:
    mark = Path(f"/tmp/{free_id}")
    theirs = taken(aside, how)
    try:
        with pytest.raises(HostUnreachable, match="somebody else"):
            await session.run_attempt(free_id, sh(f"touch {mark}"))
        assert not mark.exists()
        assert list(theirs.iterdir()) == []
    finally:
        shutil.rmtree(theirs)


async def test_a_link_to_a_directory_of_ours_is_no_directory_of_ours(
    session: ShellSession, aside: Path, free_id: str, tmp_path: Path
) -> None:
    """Another user's link leads elsewhere every time it is asked."""
    home = aside.with_name(f"home-{aside.name}")
    home.mkdir(mode=0o755)
    os.chown(home, NOBODY, NOBODY)
    aside.symlink_to(home)
    try:
        with pytest.raises(HostUnreachable, match="somebody else"):
            await session.run_attempt(free_id, sh("true"))
        assert list(home.iterdir()) == []
    finally:
        shutil.rmtree(home)


async def test_what_another_user_wrote_about_an_attempt_is_not_believed(
    session: ShellSession, aside: Path, free_id: str
) -> None:
    """Neither an outcome nor whose processes are to be ended."""
    theirs = taken(aside, "directory")
    victim = await session._transport.spawn(("/bin/sleep", "60"), b"")  # type: ignore[attr-defined]  # a process to hit
    pid = victim.pid  # type: ignore[attr-defined]  # of this machine's own kind of channel
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    start = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[19]
    try:
        for name, text in {
            "claim": "",
            "meta": f"{boot}\n{pid}\n{start}\n\n\nabc\n1024\n",
            "exit": "0\n",
            "stdout": "all is well\n",
        }.items():
            (theirs / f"{free_id}.{name}").write_text(text)
        with pytest.raises(HostUnreachable, match="somebody else"):
            await session.attempt_status(free_id)
        with pytest.raises(HostUnreachable, match="somebody else"):
            await session.wait_attempt(free_id, 1)
        report = await session.stop_attempt(free_id)
        assert (report.ended, report.survivors) == (0, ())
        assert Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
        await session.forget_attempt(free_id)
        assert (theirs / f"{free_id}.exit").exists()
    finally:
        victim.kill()
        await victim.close()


async def test_a_guard_sees_no_name_of_the_program_around_it(session: ShellSession) -> None:
    seen = await session.probe(sh('echo "${nonce-}${become-}${sudo_sh-}${lead-}${step-}"'))
    assert seen.stdout == "\n"
