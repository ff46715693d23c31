"""One way in: the text of an inventory file, whatever its form."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from runwright.model.errors import Fault, InvalidInput
from runwright.model.hosts import NewHost
from runwright.surfaces.host_import.ansible_hosts import GROUP_LABEL, HostReader
from runwright.surfaces.host_import.ansible_ini import read_ini
from runwright.surfaces.host_import.ansible_json import read_json
from runwright.surfaces.host_import.ansible_yaml import read_yaml
from runwright.surfaces.host_import.csv_hosts import CsvHosts
from runwright.surfaces.host_import.groups import AnsibleInventory, TooManyFaults
from runwright.surfaces.host_import.needs import Defaults as Defaults

FORMATS = ("ansible", "csv")
MAX_BYTES = 4 * 1024 * 1024

_READERS: dict[str, Callable[[str, AnsibleInventory], None]] = {"ini": read_ini, "yaml": read_yaml, "json": read_json}
_ENDINGS = {".ini": "ini", ".cfg": "ini", ".yml": "yaml", ".yaml": "yaml", ".json": "json"}
_GROUP_KEY = re.compile(r"['\"]?[\w.-]+['\"]?:(?:\s.*)?")


@dataclass(frozen=True)
class ReadHosts:
    """What a file holds: hosts, whose labels are the file's own, and what a person should know."""

    hosts: tuple[NewHost, ...]
    own_labels: str
    notes: tuple[str, ...]


def read_hosts(raw: bytes, file: str, defaults: Defaults, kind: str | None = None) -> ReadHosts:
    """Every host of a file. `kind` is one of FORMATS; by the file's name if left out.

    Raises InvalidInput with every fault and its line.
    """
    text = _text(raw, file)
    if (kind or ("csv" if file.lower().endswith(".csv") else "ansible")) == "csv":
        reader = CsvHosts(file, defaults)
        hosts = reader.read(text)
        _refuse(reader.faults, file)
        return ReadHosts(tuple(hosts), "", ())
    inventory = read_ansible(text, file)
    found: list[NewHost] = []
    if not inventory.faults:
        try:
            found = HostReader(inventory, defaults).read()
        except TooManyFaults:
            inventory.notes.clear()
    _refuse(inventory.faults, file)
    return ReadHosts(tuple(found), GROUP_LABEL, tuple(inventory.notes))


def read_ansible(text: str, file: str) -> AnsibleInventory:
    """An Ansible inventory with its faults; never raises on text."""
    inventory = AnsibleInventory(file)
    try:
        _READERS[_form(text, file)](text, inventory)
    except TooManyFaults:
        inventory.notes.clear()
    return inventory


def _form(text: str, file: str) -> str:
    """By the file's ending, else by its first line that says something."""
    for ending, form in _ENDINGS.items():
        if file.lower().endswith(ending):
            return form
    for line in text.splitlines():
        plain = line.strip()
        if plain.startswith("{"):
            return "json"
        if plain and plain[0] not in "#;":
            return "yaml" if plain == "---" or _GROUP_KEY.fullmatch(plain) else "ini"
    return "ini"


def _text(raw: bytes, file: str) -> str:
    """Text in UTF-8, not endless, without NUL. Raises InvalidInput."""
    if len(raw) > MAX_BYTES:
        raise InvalidInput(f"Found {len(raw)} bytes in {file}.", allowed=f"Allowed: at most {MAX_BYTES}.")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        fault = Fault(message=f"found byte 0x{raw[error.start]:02x}; allowed: UTF-8", file=file, line=line)
        raise InvalidInput(f"Found {file}, which is not text.", faults=[fault]) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        fault = Fault(message="found a NUL character; allowed: text", file=file, line=line)
        raise InvalidInput(f"Found {file}, which is not text.", faults=[fault])
    return text


def _refuse(faults: list[Fault], file: str) -> None:
    if faults:
        ordered = sorted(dict.fromkeys(faults), key=lambda fault: (fault.line or 0, fault.path or ""))
        count = "one fault" if len(ordered) == 1 else f"{len(ordered)} faults"
        raise InvalidInput(
            f"Found {count} in {file}; nothing was registered.",
            next_step="Correct the file and import it again.",
            faults=ordered,
        )
