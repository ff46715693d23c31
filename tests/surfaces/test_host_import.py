"""Inventory files become hosts: every case of tests/cases/inventory, and the same files as ansible-core reads them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.model.errors import InvalidInput
from runwright.model.hosts import NewHost, SshConnection, SshLogin, secrets_of
from runwright.runbooks.strict_yaml import parse
from runwright.surfaces.host_import import Defaults, ReadHosts, read_hosts
from runwright.surfaces.host_import.groups import EVERYONE, MOST_FAULTS, MOST_HOSTS
from runwright.surfaces.host_import.read import MAX_BYTES, read_ansible
from runwright.surfaces.host_ways import server_of, way_of

FOLDER = Path(__file__).parents[1] / "cases" / "inventory"
CASES = {path.stem: parse(path.read_bytes(), str(path)).data for path in sorted(FOLDER.glob("*.yaml"))}
GOOD = [name for name, case in CASES.items() if "hosts" in case]
BAD = [name for name, case in CASES.items() if "faults" in case]
ANSIBLE = [name for name in GOOD if not CASES[name]["file"].endswith(".csv")]
PEERS = Path(__file__).parents[2] / ".venv-peers" / "bin"


def read(case: dict[str, Any]) -> ReadHosts:
    return read_hosts(case["text"].encode(), case["file"], Defaults(client="acme", **case.get("options", {})))


def _told(host: NewHost) -> dict[str, Any]:
    login = host.connection.login.value if isinstance(host.connection, SshConnection) else None
    return {
        "way": way_of(host.connection),
        "labels": host.labels,
        "become": host.become,
        "login": login,
        "policy": host.policy.mode.value,
        "secrets": [reference.name for reference in secrets_of(host.connection)],
    }


def test_there_are_cases_of_both_kinds() -> None:
    assert len(GOOD) >= 6
    assert len(BAD) >= 10
    assert not set(CASES) - set(GOOD) - set(BAD)


@pytest.mark.parametrize("name", GOOD)
def test_a_file_becomes_hosts(name: str) -> None:
    case = CASES[name]
    found = read(case)
    assert [host.hostname for host in found.hosts] == list(case["hosts"])
    for host in found.hosts:
        told, wanted = _told(host), case["hosts"][host.hostname]
        assert {key: told[key] for key in wanted} == wanted, host.hostname
        assert host.client_id == "acme"
    for note in case.get("notes", ()):
        assert any(note in said for said in found.notes)
    if "secret" in case:
        assert case["secret"] not in "".join(host.model_dump_json() for host in found.hosts) + "".join(found.notes)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_whole_with_every_fault(name: str) -> None:
    case = CASES[name]
    with pytest.raises(InvalidInput) as raised:
        read(case)
    faults = [(fault.line, fault.path, fault.message) for fault in raised.value.faults]
    assert len(faults) == len(case["faults"]), faults
    for wanted in case["faults"]:
        at = [message for line, path, message in faults if (line, path) == (wanted.get("line"), wanted.get("path"))]
        assert any(wanted["says"] in message for message in at), (wanted, faults)
    assert all(fault.file == case["file"] for fault in raised.value.faults)
    if "secret" in case:
        assert case["secret"] not in str(raised.value) + str(faults)


LISTING = """
import os, sys
from ansible.cli.inventory import InventoryCLI
for file in sys.argv[1:]:
    child = os.fork()  # what it imported is shared; what it was told it keeps for its process
    if not child:
        InventoryCLI(["ansible-inventory", "-i", file, "--list", "--output", file + ".listed"]).run()
    assert os.waitpid(child, 0)[1] == 0, file
"""


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What `ansible-inventory --list` prints of each case, all asked in one process: it takes seconds to start."""
    files: dict[str, Path] = {}
    for name in ANSIBLE:
        case = CASES[name]
        file = files[name] = tmp_path_factory.mktemp(name) / case["file"]
        file.write_text(case["text"])
        if case["text"].startswith("{"):  # a dynamic inventory is a program for Ansible
            file.write_text(f"#!/bin/sh\ncat <<'X'\n{case['text']}\nX\n")
            file.chmod(0o755)
    subprocess.run([PEERS / "python", "-c", LISTING, *files.values()], capture_output=True, check=True, timeout=120)
    return {name: Path(f"{file}.listed").read_text() for name, file in files.items()}


@pytest.mark.peers
@pytest.mark.parametrize("name", ANSIBLE)
def test_ansible_reads_the_same_hosts_groups_and_variables(name: str, listed: dict[str, str]) -> None:
    case = CASES[name]
    theirs = json.loads(listed[name])
    ours = read_ansible(case["text"], case["file"])
    assert ours.faults == []
    members = ours.members()
    variables = {
        host: {key: found.value for key, found in ours.variables(host, members[host]).items()} for host in ours.hosts
    }
    assert {host: found for host, found in variables.items() if found} == theirs["_meta"]["hostvars"]
    groups = {host: {group for group in found if group not in EVERYONE} for host, found in members.items()}
    assert groups == _groups(theirs, set(ours.hosts))
    again = read_hosts(listed[name].encode(), "listed.json", Defaults(client="acme", **case.get("options", {})))
    by_name = {host.hostname: host for host in again.hosts}
    assert by_name == {host.hostname: host for host in read(case).hosts}


def _groups(listed: dict[str, Any], hosts: set[str]) -> dict[str, set[str]]:
    """Every group of each host in what `ansible-inventory --list` printed, groups above included."""
    found: dict[str, set[str]] = {host: set() for host in hosts}

    def below(name: str) -> set[str]:
        group = listed.get(name, {})
        return set(group.get("hosts", ())).union(*(below(child) for child in group.get("children", ())))

    for name in set(listed) - {"_meta", *EVERYONE}:
        for host in below(name):
            found[host].add(name)
    return found


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"\xff\xfe", "UTF-8"),
        (b"a\0b", "NUL"),
        (b"#" * (MAX_BYTES + 1), "bytes"),
        (b"a" * 70_000, "characters"),
        (b'{"a":' * 100_000, "deep"),
        (b"[x:children]\n" * 3 + b"a b\n" * 5000, "name of a group"),
        (b"h[1:2000]\ni[1:2000]\n", "more than 2000 hosts"),
    ],
)
def test_hostile_and_huge_files_are_refused(raw: bytes, says: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        read_hosts(raw, "hosts", Defaults(client="acme"))
    assert says in str(raised.value) + " ".join(fault.message for fault in raised.value.faults)
    assert len(raised.value.faults) <= MOST_FAULTS


def test_as_many_hosts_as_are_allowed_are_read() -> None:
    assert len(read_hosts(f"h[1:{MOST_HOSTS}]\n".encode(), "hosts", Defaults(client="acme")).hosts) == MOST_HOSTS


@pytest.mark.parametrize("file", ["hosts.ini", "hosts.yml", "hosts.json", "hosts.csv", "hosts"])
@given(text=st.text(st.characters(codec="utf-8"), max_size=80) | st.text("[]:{}\n \"'=,-&*!<a1", max_size=60))
def test_any_text_is_hosts_or_faults(file: str, text: str) -> None:
    faults: tuple[object, ...] = ()
    hosts: tuple[NewHost, ...] = ()
    try:
        hosts = read_hosts(text.encode(), file, Defaults(client="acme")).hosts
    except InvalidInput as refused:
        faults = refused.faults
        faulty = True
    else:
        faulty = False
    assert bool(faults) == faulty
    assert not (faults and hosts)


@pytest.mark.parametrize("login", [SshLogin.AGENT, SshLogin.PASSWORD])
def test_what_the_file_does_not_say_is_said_by_the_options(login: SshLogin) -> None:
    defaults = Defaults(
        client="acme", user="ada", login=login, credential="pw", jump=server_of("ssh://ops@hop:2022"), labels={"a": "b"}
    )
    (host,) = read_hosts(b"web\n", "hosts", defaults).hosts
    assert isinstance(host.connection, SshConnection)
    assert way_of(host.connection) == "ssh://ada@web through ssh://ops@hop:2022"
    assert host.labels == {"a": "b"}
    wanted = [] if login is SshLogin.AGENT else ["pw", "pw"]
    assert [reference.name for reference in secrets_of(host.connection)] == wanted


@pytest.mark.parametrize(
    ("text", "way"),
    [
        ("ssh://10.0.0.1", (None, "10.0.0.1", None)),
        ("ada@web:2222", ("ada", "web", 2222)),
        ("ssh://[2001:db8::1]:2222/", (None, "2001:db8::1", 2222)),
        ("ada@2001:db8::1", ("ada", "2001:db8::1", None)),
    ],
)
def test_addresses(text: str, way: tuple[str | None, str, int | None]) -> None:
    found = server_of(text)
    assert (found.user, found.address, found.port) == way


@pytest.mark.parametrize("text", ["", "a b", "a:b", "@", "a@", "x:123456", "a/b@c d"])
def test_what_is_no_address_is_said_so(text: str) -> None:
    with pytest.raises(ValueError, match="allowed"):
        server_of(text)
