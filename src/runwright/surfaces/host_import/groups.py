"""An Ansible inventory in memory: hosts, groups, and which variable of which group a host sees.

The rules are Ansible's own: https://docs.ansible.com/ansible/latest/inventory_guide/intro_inventory.html. A test
compares the outcome with what `ansible-inventory --list` says of the same files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from runwright.model.errors import Fault

MOST_HOSTS = 2000
"""In one file: what one request to the server holds."""
MOST_FAULTS = 100

EVERYONE = ("all", "ungrouped")
"""Groups that say nothing about a host."""


@dataclass(frozen=True)
class Variable:
    """A value and where it stands."""

    value: Any
    line: int | None = None
    path: str | None = None


@dataclass
class Group:
    """Hosts, other groups, and variables for all of them."""

    name: str
    hosts: list[str] = field(default_factory=list)
    children: list[str] = field(default_factory=list)
    variables: dict[str, Variable] = field(default_factory=dict)
    priority: int = 1


@dataclass
class Hosted:
    """A host as the file names it, with its own variables."""

    name: str
    line: int | None = None
    path: str | None = None
    variables: dict[str, Variable] = field(default_factory=dict)


class TooManyFaults(Exception):
    """Reading on would help nobody."""


class AnsibleInventory:
    """What a file says. Readers fill it in the order of the file, as Ansible does."""

    def __init__(self, file: str | None) -> None:
        self.file = file
        self.hosts: dict[str, Hosted] = {}
        self.groups: dict[str, Group] = {"all": Group("all"), "ungrouped": Group("ungrouped")}
        self.faults: list[Fault] = []
        self.notes: list[str] = []

    def fault(self, message: str, line: int | None = None, path: str | None = None, column: int | None = None) -> None:
        """Write down what is wrong. Raises TooManyFaults."""
        self.faults.append(Fault(message=message, file=self.file, line=line, column=column, path=path))
        if len(self.faults) >= MOST_FAULTS:
            raise TooManyFaults

    def group(self, name: str) -> Group:
        """The group of this name, made if it is new."""
        return self.groups.setdefault(name, Group(name))

    def add_host(self, name: str, group: str, place: Variable, port: int | None = None) -> None:
        """Put a host into a group. A port counts only where the host is named first."""
        if name not in self.hosts:
            if len(self.hosts) >= MOST_HOSTS:
                self.fault(f"found more than {MOST_HOSTS} hosts; allowed: as many in one file", place.line, place.path)
                raise TooManyFaults
            self.hosts[name] = Hosted(name, place.line, place.path)
            if port is not None:
                self.hosts[name].variables["ansible_port"] = Variable(port, place.line, place.path)
        members = self.group(group).hosts
        if name not in members:
            members.append(name)

    def set_variable(self, entity: str, name: str, variable: Variable) -> None:
        """Of a group or a host. Where both have one name Ansible means the group, and so does this."""
        if entity in self.groups:
            if name == "ansible_group_priority":
                self._prioritise(self.groups[entity], variable)
            else:
                self.groups[entity].variables[name] = variable
        else:
            self.hosts[entity].variables[name] = variable

    def _prioritise(self, group: Group, variable: Variable) -> None:
        try:
            group.priority = int(variable.value)
        except (TypeError, ValueError):
            self.fault(
                f"found ansible_group_priority {str(variable.value)[:40]!r}; allowed: a whole number",
                variable.line,
                variable.path,
            )

    def add_child(self, parent: str, child: str, line: int | None = None, path: str | None = None) -> None:
        """Put a group into another. A circle is a fault."""
        if parent == child or parent in self._below(child):
            self.fault(f"found group {child} within itself, by way of {parent}; allowed: no circles", line, path)
            return
        if child not in self.group(parent).children:
            self.groups[parent].children.append(child)
        self.group(child)

    def _below(self, name: str) -> set[str]:
        found: set[str] = set()
        todo = [name]
        while todo:
            group = self.groups.get(todo.pop())
            for child in group.children if group is not None else ():
                if child not in found:
                    found.add(child)
                    todo.append(child)
        return found

    # -- what comes of it

    def members(self) -> dict[str, list[str]]:
        """The groups of every host, from the widest to the narrowest: the order in which their variables count."""
        parents = self._parents()
        depths = self._depths(parents)
        direct: dict[str, set[str]] = {name: set() for name in self.hosts}
        for group in self.groups.values():
            for host in group.hosts:
                direct[host].add(group.name)
        found: dict[str, list[str]] = {}
        above: dict[str, frozenset[str]] = {}
        for host, groups in direct.items():
            names = {"all"}
            for group_name in groups or {"ungrouped"}:
                names |= self._ancestors(group_name, parents, above)
            if names - set(EVERYONE):
                names.discard("ungrouped")
            found[host] = sorted(names, key=lambda name: (depths[name], self.groups[name].priority, name))
        return found

    def variables(self, host: str, groups: list[str]) -> dict[str, Variable]:
        """What a host sees: those of its groups in this order, then its own."""
        found: dict[str, Variable] = {}
        for name in groups:
            found |= self.groups[name].variables
        return found | self.hosts[host].variables

    def _parents(self) -> dict[str, set[str]]:
        parents: dict[str, set[str]] = {name: set() for name in self.groups}
        for group in self.groups.values():
            for child in group.children:
                parents[child].add(group.name)
        for name, found in parents.items():
            if name != "all" and not found:
                found.add("all")
        return parents

    def _ancestors(self, name: str, parents: dict[str, set[str]], known: dict[str, frozenset[str]]) -> frozenset[str]:
        """A group and all above it."""
        if name not in known:
            found, todo = {name}, [name]
            while todo:
                fresh = parents[todo.pop()] - found
                found |= fresh
                todo += fresh
            known[name] = frozenset(found)
        return known[name]

    def _depths(self, parents: dict[str, set[str]]) -> dict[str, int]:
        """The longest way from `all` to each group."""
        depths = dict.fromkeys(self.groups, 0)
        for name in self._from_the_top(parents):
            depths[name] = max((depths[parent] + 1 for parent in parents[name]), default=0)
        return depths

    def _from_the_top(self, parents: dict[str, set[str]]) -> Iterator[str]:
        """Groups in an order in which every one comes after all above it."""
        waiting = {name: len(found) for name, found in parents.items()}
        below: dict[str, list[str]] = {name: [] for name in parents}
        for name, found in parents.items():
            for parent in found:
                below[parent].append(name)
        ready = [name for name, count in waiting.items() if not count]
        while ready:
            name = ready.pop()
            yield name
            for child in below[name]:
                waiting[child] -= 1
                if not waiting[child]:
                    ready.append(child)
