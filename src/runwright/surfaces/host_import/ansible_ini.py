"""Ansible's INI inventories: `[group]`, `[group:children]`, `[group:vars]`, hosts with `name=value` beside them."""

from __future__ import annotations

import ast
import re
import shlex
import warnings
from dataclasses import dataclass, field
from typing import Any

from runwright.surfaces.host_import.groups import AnsibleInventory, Variable
from runwright.surfaces.host_import.ranges import expand

_SECTION = re.compile(r"\[(?P<name>[^:\]\s]+)(?::(?P<kind>\w+))?\]\s*(?:#.*)?")
_GROUP = re.compile(r"(?P<name>[^:\]\s]+)\s*(?:#.*)?")
_KINDS = ("hosts", "children", "vars")
_LONGEST = 65_536


@dataclass
class _Open:
    """Groups that were named and not declared yet."""

    sections: dict[str, int] = field(default_factory=dict)
    """Name of a `[name:vars]` -> its line."""
    children: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    """Name of a child -> its parents, with lines."""


def read_ini(text: str, inventory: AnsibleInventory) -> None:
    """Read the file into the inventory, faults included. Raises TooManyFaults."""
    group, kind = "ungrouped", "hosts"
    declared = {"all", "ungrouped"}
    waiting = _Open()
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if len(line) > _LONGEST:
            inventory.fault(f"found a line of {len(line)} characters; allowed: {_LONGEST}", number)
            continue
        match = _SECTION.fullmatch(line)
        if match is not None:
            group, kind = match["name"], match["kind"] or "hosts"
            if kind not in _KINDS:
                inventory.fault(f"found section [{group}:{kind}]; allowed: {', '.join(_KINDS)}", number)
                kind = ""
            elif kind == "vars":
                if group not in declared:
                    waiting.sections.setdefault(group, number)
                    inventory.group(group)
            else:
                declared.add(group)
                inventory.group(group)
                waiting.sections.pop(group, None)
        elif line.startswith("[") and line.endswith("]"):
            inventory.fault(f"found {line[:80]!r}; allowed: [group], [group:children] or [group:vars]", number)
            kind = ""
        elif kind == "hosts":
            _host_line(line, number, group, inventory)
        elif kind == "vars":
            _variable_line(line, number, group, inventory)
        elif kind == "children":
            _child_line(line, number, group, inventory, waiting)
    _close(waiting, declared, inventory)


def _close(waiting: _Open, declared: set[str], inventory: AnsibleInventory) -> None:
    """Every group that was named must have been declared, before or after."""
    for name, line in waiting.sections.items():
        inventory.fault(f"found [{name}:vars] and no group {name}; allowed: variables of a group of the file", line)
    for child, parents in waiting.children.items():
        for parent, line in parents:
            if child in declared:
                inventory.add_child(parent, child, line)
            else:
                inventory.fault(f"found {child} under [{parent}:children] and no group of this name", line)


def _child_line(line: str, number: int, group: str, inventory: AnsibleInventory, waiting: _Open) -> None:
    match = _GROUP.fullmatch(line)
    if match is None:
        inventory.fault(f"found {line[:80]!r}; allowed: the name of a group", number)
    else:
        waiting.children.setdefault(match["name"], []).append((group, number))


def _variable_line(line: str, number: int, group: str, inventory: AnsibleInventory) -> None:
    name, mark, value = line.partition("=")
    if not mark:
        inventory.fault("found a line without `=` among variables; allowed: name=value", number)
    else:
        inventory.set_variable(group, name.strip(), Variable(literal(value.strip()), number))


def _host_line(line: str, number: int, group: str, inventory: AnsibleInventory) -> None:
    try:
        words = shlex.split(line, comments=True)
        names, port = expand(words[0]) if words else ([], None)
    except ValueError as error:
        # The words of shlex (an open quote) say nothing of the line; ours do.
        inventory.fault(str(error) if str(error).startswith("found") else f"found a line with {error}", number)
        return
    variables: dict[str, Variable] = {}
    for word in words[1:]:
        name, mark, value = word.partition("=")
        if not mark:
            inventory.fault("found a word without `=` beside a host; allowed: name=value", number)
        else:
            variables[name] = Variable(literal(value), number)
    for host in names:
        if host == "---":
            inventory.fault("found `---`, which begins a YAML file; allowed: INI here", number)
            continue
        inventory.add_host(host, group, Variable(None, number), port)
        for name, variable in variables.items():
            inventory.set_variable(host, name, variable)


def literal(text: str) -> Any:
    """A value as Ansible's INI reader takes it: a Python literal where it is one (`22`, `True`), else the text."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            return _plain(ast.literal_eval(text))
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return text


def _plain(value: Any) -> Any:
    """Only what JSON knows: tuples and sets are lists, bytes are text."""
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)
