"""The lab's gate: one machine of the lab's own, and nobody else makes a LabRunbook."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

import runwright
from runwright.execution.memory_journal import MemoryJournal
from runwright.lab.gate import LabGate
from runwright.model.errors import Refused
from runwright.model.hosts import HostIdentity
from runwright.model.ports.machines import Machine
from runwright.runbooks.library import starter_runbooks


@dataclass
class Session:
    identity: HostIdentity


@dataclass
class Named:
    """A machine as far as the gate looks at it."""

    name: str
    session: Session


def machine(name: str, lab_machine: str | None) -> Machine:
    identity = HostIdentity(host_id=name, kind="nspawn", lab_machine=lab_machine)
    return cast("Machine", Named(name, Session(identity)))


@pytest.mark.parametrize("lab_machine", [None, "another"])
def test_a_machine_that_the_lab_did_not_isolate_is_refused(lab_machine: str | None) -> None:
    tried = starter_runbooks()[0]
    with pytest.raises(Refused, match="did not isolate"):
        LabGate(tried, "RB-X-v1", machine=machine("m1", lab_machine), journal=MemoryJournal())


async def test_what_it_admits_runs_on_that_machine_only() -> None:
    tried = starter_runbooks()[0]
    gate = LabGate(tried, f"{tried.document.id}-v3", machine=machine("m1", "m1"), journal=MemoryJournal())
    admitted = await gate.admit("tri_1")
    assert admitted.version_id == f"{tried.document.id}-v3"
    assert admitted.digest == tried.digest
    assert admitted.permits(HostIdentity(host_id="m1", kind="nspawn", lab_machine="m1"))
    assert not admitted.permits(HostIdentity(host_id="m1", kind="nspawn", lab_machine="m2"))
    assert not admitted.permits(HostIdentity(host_id="m1", kind="nspawn"))


def test_lab_runbooks_are_made_in_one_place() -> None:
    source = Path(runwright.__file__).parent
    makers = {
        str(path.relative_to(source))
        for path in source.rglob("*.py")
        if re.search(r"(?<!class )\bLabRunbook\(", path.read_text())
    }
    assert makers == {"lab/gate.py"}
    readers = {
        str(path.relative_to(source))
        for path in source.rglob("*.py")
        if re.search(r"lab(\.| import )references|find_references", path.read_text())
    }
    assert readers == {"lab/check.py", "lab/references.py"}, "fixes and cheats are read by `lab check` alone"
