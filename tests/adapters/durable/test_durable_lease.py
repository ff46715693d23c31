"""The lock that keeps two workers of one name apart."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runwright.adapters.durable.lease import ExecutorLease
from runwright.model.errors import Conflict


def test_the_lock_is_its_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    """Another local user who could open it could hold it, and no worker would start."""
    address = f"sqlite:///{tmp_path / 'durable.db'}"
    lease, second = ExecutorLease(address, "worker-1"), ExecutorLease(address, "worker-1")
    before = os.umask(0)
    try:
        lease.take()
    finally:
        os.umask(before)
    (file,) = tmp_path.glob("*.lock")
    assert oct(file.stat().st_mode)[-3:] == "600"
    with pytest.raises(Conflict):
        second.take(patience=0)
    lease.release()
    second.take(patience=0)
    second.release()
