"""An admitted runbook cannot be stored, copied, subclassed or made from data, and runs only where it was admitted."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, TypeAdapter, create_model

from runwright.model.admission import AdmittedRunbook, ApprovedRunbook, LabRunbook
from runwright.model.documents import RunbookDocument
from runwright.model.hosts import HostIdentity
from support.model_records import example_text

DOCUMENT = RunbookDocument.model_validate_json(example_text("RunbookDocument"))
DIGEST = "sha256:" + "0" * 64


def approved() -> ApprovedRunbook:
    return ApprovedRunbook(DOCUMENT, "RB-X-v1", DIGEST, execution_id="exe_1", host_id="hst_1", approval_id="apr_1")


def in_lab(machine: str = "rw-1") -> LabRunbook:
    return LabRunbook(DOCUMENT, "RB-X-v1", DIGEST, machine=machine)


def bare() -> AdmittedRunbook:
    return AdmittedRunbook(DOCUMENT, "RB-X-v1", DIGEST)


KINDS: dict[str, Callable[[], AdmittedRunbook]] = {"approved": approved, "lab": in_lab, "bare": bare}

WAYS: dict[str, Callable[[Any], Any]] = {
    **{
        f"pickle {number}": lambda item, n=number: pickle.dumps(item, n)
        for number in range(pickle.HIGHEST_PROTOCOL + 1)
    },
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "deepcopy inside": lambda item: copy.deepcopy([{"here": item}]),
    "pickle inside": lambda item: pickle.dumps({"here": (item,)}),
    "reduce": lambda item: item.__reduce__(),
    "reduce_ex": lambda item: item.__reduce_ex__(2),
    "getstate": lambda item: item.__getstate__(),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_no_copy_and_no_storage(kind: str, way: str) -> None:
    with pytest.raises(TypeError, match="ask the gate again"):
        WAYS[way](KINDS[kind]())


@pytest.mark.parametrize("kind", KINDS)
def test_json_does_not_know_it(kind: str) -> None:
    item = KINDS[kind]()
    assert not hasattr(item, "__dict__"), "slots: nothing to read or to put beside"
    with pytest.raises(TypeError):
        json.dumps(item)
    with pytest.raises(TypeError):
        vars(item)


@pytest.mark.parametrize("kind", [AdmittedRunbook, ApprovedRunbook, LabRunbook])
def test_pydantic_makes_none_from_data(kind: type[AdmittedRunbook]) -> None:
    with pytest.raises(TypeError, match="never validated from data"):
        TypeAdapter(kind)
    with pytest.raises(TypeError, match="never validated from data"):
        create_model("Carrier", runbook=(kind, ...))
    with pytest.raises(TypeError, match="never validated from data"):
        create_model("Carrier", __config__=ConfigDict(arbitrary_types_allowed=True), runbook=(kind, ...))


def test_a_record_that_holds_anything_does_not_write_it_down() -> None:
    class Anything(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        thing: Any

    with pytest.raises(ValueError, match="Unable to serialize"):
        Anything(thing=approved()).model_dump_json()


@pytest.mark.parametrize("parent", [AdmittedRunbook, ApprovedRunbook, LabRunbook])
@pytest.mark.parametrize("name", ["Sneaky", "ApprovedRunbook", "LabRunbook"])
@pytest.mark.parametrize("module", [__name__, "runwright.model.admission", "runwright.loop"])
def test_there_are_two_kinds_only(parent: type, name: str, module: str) -> None:
    with pytest.raises(TypeError, match="two kinds only"):
        type(name, (parent,), {"__module__": module})


def test_an_approved_runbook_runs_on_its_host_alone() -> None:
    runbook = approved()
    assert runbook.permits(HostIdentity(host_id="hst_1", kind="local"))
    assert not runbook.permits(HostIdentity(host_id="hst_2", kind="local"))
    assert not runbook.permits(HostIdentity(host_id="", kind="local"))
    assert not runbook.permits(HostIdentity(host_id="rw-1", kind="nspawn", lab_machine="rw-1"))


def test_a_lab_runbook_runs_in_its_machine_alone() -> None:
    runbook = in_lab("rw-1")
    assert runbook.permits(HostIdentity(host_id="rw-1", kind="nspawn", lab_machine="rw-1"))
    assert not runbook.permits(HostIdentity(host_id="rw-1", kind="nspawn", lab_machine="rw-2"))
    assert not runbook.permits(HostIdentity(host_id="rw-1", kind="nspawn"))
    assert not runbook.permits(HostIdentity(host_id="rw-1", kind="local", lab_machine=None))


def test_the_base_permits_nothing() -> None:
    assert not bare().permits(HostIdentity(host_id="hst_1", kind="local", lab_machine="rw-1"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["document", "version_id", "digest", "execution_id", "approval_id"])
def test_what_was_admitted_stays_as_it_was(kind: str, name: str) -> None:
    item = KINDS[kind]()
    with pytest.raises(AttributeError):
        setattr(item, name, "another")
