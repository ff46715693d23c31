"""What tests of the lab share: real machines, removed whatever happens."""

from __future__ import annotations

import pytest

from runwright.adapters.clock import SystemClock
from runwright.adapters.hosts.machines import NspawnMachines
from runwright.model.ports.machines import Machines


@pytest.fixture
def machines() -> Machines:
    return NspawnMachines()


@pytest.fixture
def system_clock() -> SystemClock:
    return SystemClock()
