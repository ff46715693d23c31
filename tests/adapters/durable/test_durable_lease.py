"""The lock that keeps two workers of one name apart, and the signs of life beside it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runwright.adapters.durable.lease import ExecutorLease, standing
from runwright.adapters.durable.system import prepare, system_address
from runwright.adapters.durable.takeover import Standstill
from runwright.model.errors import Conflict


def test_the_lock_is_its_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    """Another local user who could open it could hold it, and no worker would start."""
    address = f"sqlite:///{tmp_path / 'durable.db'}"
    lease, second = ExecutorLease(address, "worker-1"), ExecutorLease(address, "worker-1")
    prepare(address)
    before = os.umask(0)
    try:
        lease.take()
    finally:
        os.umask(before)
    (file,) = tmp_path.glob("*.worker-1.lock")
    assert oct(file.stat().st_mode)[-3:] == "600"
    with pytest.raises(Conflict):
        second.take(patience=0)
    lease.release()
    second.take(patience=0)
    second.release()


def test_each_beat_is_seen_until_another_takes_over(queue_url: str) -> None:
    address = system_address(queue_url)
    prepare(address)
    lease = ExecutorLease(address, "worker-1")
    lease.take(patience=0)
    first = lease.seen()
    lease.beat()
    second = lease.seen()
    assert first is not None
    assert second == (first[0], first[1] + 1)
    lease.release()
    lease.beat()  # a session that was lost is replaced
    other = ExecutorLease(address, "worker-1")
    with pytest.raises(Conflict, match="live worker"):
        _take_second(lease, other)
    lease.release()
    other.take(patience=0)
    with pytest.raises(Conflict, match="taken over"):
        lease.beat()
    assert standing(address)["worker-1"] == other.seen()
    lease.release()
    other.release()


def test_what_stands_still_long_enough_is_found() -> None:
    still = Standstill(after=10, every=2)
    for second in range(0, 10, 2):
        assert still.look(second, {"a": ("x", 1), "b": ("y", second)}) == set()
    assert still.look(10, {"a": ("x", 1), "b": ("y", 10)}) == {"a"}
    assert still.look(12, {"a": ("x", 2), "b": ("y", 10)}) == set()
    assert still.look(14, {"b": ("z", 10)}) == set(), "another holder is another life"


def test_a_look_that_comes_late_begins_anew() -> None:
    """This process was stopped, or the database away: nobody knows what others did meanwhile."""
    still = Standstill(after=10, every=2)
    still.look(0, {"a": ("x", 1)})
    assert still.look(100, {"a": ("x", 1)}) == set()
    assert still.look(102, {"a": ("x", 1)}) == set()
    for second in range(104, 110, 2):
        assert still.look(second, {"a": ("x", 1)}) == set()
    assert still.look(110, {"a": ("x", 1)}) == {"a"}


def _take_second(first: ExecutorLease, second: ExecutorLease) -> None:
    """On PostgreSQL the beat took the lock again; a file's lock is lost with its process alone."""
    if first._sqlite is not None:
        first.take(patience=0)
    second.take(patience=0)
