"""Ansible's YAML inventories: groups with `hosts`, `children` and `vars`."""

from __future__ import annotations

from runwright.surfaces.host_import.groups import AnsibleInventory, Variable
from runwright.surfaces.host_import.ranges import expand
from runwright.surfaces.host_import.yaml_tree import Tree, Unread, read_tree

_SECTIONS = ("hosts", "children", "vars")


def read_yaml(text: str, inventory: AnsibleInventory) -> None:
    """Read the document into the inventory, faults included. Raises TooManyFaults."""
    try:
        root = read_tree(text)
    except Unread as error:
        inventory.fault(str(error), error.line, column=error.column)
        return
    if root is None or root.kind != "mapping":
        inventory.fault("found no mapping; allowed: groups by name", root.line if root else 1)
        return
    if any(key.value == "plugin" for key, _ in root.entries):
        inventory.fault(
            "found the configuration of an inventory plugin; allowed: hosts. "
            "`ansible-inventory -i FILE --list` prints what the plugin finds, as JSON that can be imported",
            root.line,
        )
        return
    for key, body in root.entries:
        _group(key, body, inventory)


def _group(key: Tree, body: Tree, inventory: AnsibleInventory) -> str | None:
    """Read one group; its name, or None where it has none."""
    name = key.value
    if not isinstance(name, str) or not name:
        inventory.fault(f"found {str(name)[:40]!r} as a group; allowed: text (put quotes around it)", key.line)
        return None
    inventory.group(name)
    if body.kind == "scalar" and body.value is None:
        return name
    if body.kind != "mapping":
        inventory.fault(f"found no mapping for group {name[:60]}; allowed: hosts, children, vars", body.line)
        return name
    for section, content in body.entries:
        if section.value not in _SECTIONS:
            inventory.fault(
                f"found {str(section.value)[:40]!r} in group {name[:60]}; allowed: {', '.join(_SECTIONS)}",
                section.line,
            )
        elif content.kind == "scalar" and content.value is None:
            continue
        else:
            _section(str(section.value), _entries(content, name, inventory), name, inventory)
    return name


def _entries(content: Tree, group: str, inventory: AnsibleInventory) -> list[tuple[Tree, Tree]]:
    """The entries of a section; one name alone stands for itself with nothing below."""
    if content.kind == "scalar" and isinstance(content.value, str):
        return [(content, Tree("scalar", content.line))]
    if content.kind != "mapping":
        inventory.fault(f"found no mapping in group {group[:60]}; allowed: entries by name", content.line)
        return []
    return content.entries


def _section(kind: str, entries: list[tuple[Tree, Tree]], group: str, inventory: AnsibleInventory) -> None:
    for key, value in entries:
        if kind == "vars":
            inventory.set_variable(group, str(key.value), Variable(value.plain(), key.line))
        elif kind == "children":
            child = _group(key, value, inventory)
            if child is not None:
                inventory.add_child(group, child, key.line)
        else:
            _host(key, value, group, inventory)


def _host(key: Tree, value: Tree, group: str, inventory: AnsibleInventory) -> None:
    if not isinstance(key.value, str):
        inventory.fault(f"found {str(key.value)[:40]} as a host; allowed: text (put quotes around it)", key.line)
        return
    try:
        names, port = expand(key.value)
    except ValueError as error:
        inventory.fault(str(error), key.line)
        return
    if value.kind == "sequence" or (value.kind == "scalar" and value.value):
        inventory.fault(f"found no mapping for host {key.value[:60]}; allowed: variables by name", value.line)
        return
    for host in names:
        inventory.add_host(host, group, Variable(None, key.line), port)
        for name, content in value.entries:
            inventory.set_variable(host, str(name.value), Variable(content.plain(), name.line))
