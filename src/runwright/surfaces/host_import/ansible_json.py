"""What `ansible-inventory --list` prints, and dynamic inventories in the same form."""

from __future__ import annotations

import json
from typing import Any

from runwright.surfaces.host_import.groups import AnsibleInventory, Variable


class _Twice(ValueError):
    """A key stands twice in an object: readers disagree which counts."""


def read_json(text: str, inventory: AnsibleInventory) -> None:
    """Read the document into the inventory, faults included. Raises TooManyFaults."""
    try:
        data = json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        inventory.fault(f"not JSON: {error.msg}", error.lineno, column=error.colno)
        return
    except RecursionError:
        inventory.fault("not JSON that can be read: nested too deep", 1)
        return
    except ValueError as error:  # a key twice, or a number of thousands of digits
        inventory.fault(f"not JSON: {error}"[:200], 1)
        return
    if not isinstance(data, dict):
        inventory.fault("found no object; allowed: groups by name, as `ansible-inventory --list` prints them", 1)
        return
    for name, body in data.items():
        if name != "_meta":
            _group(name, {"hosts": body} if isinstance(body, list) else body, inventory)
    _host_variables(data.get("_meta", {}), inventory)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _Twice(f"found the key {key[:60]!r} twice in an object")
        found[key] = value
    return found


def _group(name: str, body: Any, inventory: AnsibleInventory) -> None:
    if not isinstance(body, dict):
        inventory.fault("found no object; allowed: an object with hosts, children, vars", path=name)
        return
    group = inventory.group(name)
    for index, host in enumerate(_listed(body.get("hosts"), f"{name}.hosts", inventory)):
        inventory.add_host(host, group.name, Variable(None, path=f"{name}.hosts[{index}]"))
    for index, child in enumerate(_listed(body.get("children"), f"{name}.children", inventory)):
        inventory.add_child(name, child, path=f"{name}.children[{index}]")
    variables = body.get("vars") or {}
    if not isinstance(variables, dict):
        inventory.fault("found no object; allowed: variables by name", path=f"{name}.vars")
        return
    for key, value in variables.items():
        inventory.set_variable(name, key, Variable(value, path=f"{name}.vars.{key}"))


def _listed(value: Any, path: str, inventory: AnsibleInventory) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        inventory.fault("found something else than a list of names; allowed: a list of names", path=path)
        return []
    return value


def _host_variables(meta: Any, inventory: AnsibleInventory) -> None:
    hosts = meta.get("hostvars", {}) if isinstance(meta, dict) else None
    if not isinstance(hosts, dict):
        inventory.fault("found no object; allowed: variables by host", path="_meta.hostvars")
        return
    for host, variables in hosts.items():
        path = f"_meta.hostvars.{host}"
        if not isinstance(variables, dict):
            inventory.fault("found no object; allowed: variables by name", path=path)
            continue
        if host not in inventory.hosts:
            inventory.add_host(host, "ungrouped", Variable(None, path=path))
        for key, value in variables.items():
            # Not by `set_variable`: here a host is never taken for a group of its name.
            inventory.hosts[host].variables[key] = Variable(value, path=f"{path}.{key}")
