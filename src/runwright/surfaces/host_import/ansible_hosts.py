"""From an Ansible inventory to hosts: what its connection variables mean here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from runwright.model.hosts import Connection, LocalConnection, NewHost, SshConnection, SshEndpoint, SshLogin
from runwright.surfaces.host_import.groups import EVERYONE, AnsibleInventory, Variable
from runwright.surfaces.host_import.needs import HOSTNAME, Defaults, SecretValues, key_names
from runwright.surfaces.host_import.ssh_options import SshOptions, read_options
from runwright.surfaces.host_ways import told

GROUP_LABEL = "group."
"""Each group of a host is a label: `group.web=true`."""

# Where Ansible knows several names, the last one that is set counts.
ADDRESS = ("ansible_host", "ansible_ssh_host")
PORT = ("ansible_port", "ansible_ssh_port")
USER = ("ansible_user", "ansible_ssh_user")
WAY = ("ansible_connection",)
PASSWORD = ("ansible_password", "ansible_ssh_pass", "ansible_ssh_password")
KEY_FILE = ("ansible_private_key_file", "ansible_ssh_private_key_file")
BECOME = ("ansible_sudo", "ansible_become")
BECOME_METHOD = ("ansible_become_method",)
BECOME_USER = ("ansible_become_user", "ansible_sudo_user")
BECOME_PASSWORD = ("ansible_become_password", "ansible_become_pass", "ansible_sudo_pass")
OPTIONS = ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args")

_SSH = frozenset({"ssh", "smart", "paramiko", "paramiko_ssh"})
_TRUE = frozenset({"y", "yes", "on", "1", "true", "t", "1.0"})
_FALSE = frozenset({"n", "no", "off", "0", "false", "f", "0.0", "none", ""})
_LABEL = re.compile(r"[^A-Za-z0-9._/-]")


@dataclass(frozen=True)
class Described:
    """One host with its groups and everything it sees."""

    name: str
    groups: tuple[str, ...]
    variables: Mapping[str, Variable]
    line: int | None
    path: str | None

    def find(self, names: tuple[str, ...]) -> Variable | None:
        """The variable that counts among several names."""
        found = [self.variables[name] for name in names if name in self.variables]
        set_ones = [variable for variable in found if variable.value is not None]
        return set_ones[-1] if set_ones else None

    def value(self, names: tuple[str, ...]) -> Any:
        found = self.find(names)
        return found.value if found is not None else None


@dataclass(frozen=True)
class Names:
    """The secrets that hosts name, by host or by path of a key file."""

    passwords: SecretValues
    become: SecretValues
    keys: Mapping[str, str]


class HostReader:
    """Makes hosts of what an inventory describes; what does not fit becomes a fault of the inventory."""

    def __init__(self, inventory: AnsibleInventory, defaults: Defaults) -> None:
        self._inventory = inventory
        self._defaults = defaults
        self._options: dict[str, SshOptions] = {}

    def read(self) -> list[NewHost]:
        """Every host, in the order of the file. Raises TooManyFaults."""
        described = [found for found in self._described() if self._wanted(found)]
        for found in described:
            self._options[found.name] = self._read_options(found)
        names = Names(
            SecretValues.of(_values(described, PASSWORD), "ssh-password"),
            SecretValues.of(_values(described, BECOME_PASSWORD), "become-password"),
            key_names(sorted({path for found in described for path in self._key_paths(found)})),
        )
        hosts = [self._host(found, names) for found in described]
        return [host for host in hosts if host is not None]

    def _described(self) -> list[Described]:
        members = self._inventory.members()
        return [
            Described(
                host.name,
                tuple(group for group in members[host.name] if group not in EVERYONE),
                self._inventory.variables(host.name, members[host.name]),
                host.line,
                host.path,
            )
            for host in self._inventory.hosts.values()
        ]

    def _wanted(self, found: Described) -> bool:
        names = {found.name, "all", *found.groups}
        wanted = [word for word in self._defaults.limit if not word.startswith("!")]
        refused = {word[1:] for word in self._defaults.limit if word.startswith("!")}
        return not names & refused and (not wanted or bool(names & set(wanted)))

    def _host(self, found: Described, names: Names) -> NewHost | None:
        """The host, or None with its faults written down."""
        before = len(self._inventory.faults)
        if not HOSTNAME.fullmatch(found.name):
            self._fault(
                found,
                None,
                f"found host {found.name[:80]!r}; allowed: letters, digits, '.', '_' and '-' (give it a name, and its "
                "address in ansible_host)",
            )
            return None
        connection = self._connection(found, names)
        become = self._truth(found, BECOME)
        self._check_become(found)
        labels = self._labels(found)
        if connection is None or len(self._inventory.faults) > before:
            return None
        try:
            return NewHost(
                client_id=self._defaults.client,
                hostname=found.name,
                labels=labels,
                connection=connection,
                become=become,
            )
        except ValidationError as error:
            self._fault(found, None, f"found {told(error)}")
            return None

    def _connection(self, found: Described, names: Names) -> Connection | None:
        kind = str(self._text(found, WAY) or "ssh").removeprefix("ansible.builtin.")
        if kind == "local":
            return LocalConnection()
        if kind not in _SSH:
            self._fault(
                found,
                found.find(WAY),
                f"found ansible_connection {kind[:40]!r} of host {found.name}; allowed: ssh, local (leave others out "
                "with --limit)",
            )
            return None
        options = self._options[found.name]
        credential, login = self._login(found, names, options)
        port = self._port(found) or options.port or 22
        fields: dict[str, Any] = {
            "address": str(self._text(found, ADDRESS) or found.name).strip("[]"),
            "port": port,
            "user": self._text(found, USER) or options.user or self._defaults.user,
            "login": login,
            "credential": self._defaults.secret(credential) if credential else None,
            "become_password": (
                self._defaults.secret(names.become.names[found.name]) if found.name in names.become.names else None
            ),
        }
        try:
            return SshConnection(**fields, jump=self._jump(found, names, options, credential, login))
        except ValidationError as error:
            self._fault(found, found.find(ADDRESS) or found.find(USER), f"found {told(error)} for host {found.name}")
            return None

    def _login(self, found: Described, names: Names, options: SshOptions) -> tuple[str | None, SshLogin]:
        """The secret and the kind of login: a key file goes before a password, and both before the defaults."""
        path = self._text(found, KEY_FILE) or options.identity
        if path:
            return names.keys[path], SshLogin.KEY
        if found.name in names.passwords.names:
            return names.passwords.names[found.name], SshLogin.PASSWORD
        if self._defaults.login is SshLogin.AGENT:
            return None, SshLogin.AGENT
        return self._defaults.credential, self._defaults.login

    def _jump(
        self, found: Described, names: Names, options: SshOptions, credential: str | None, login: SshLogin
    ) -> SshEndpoint | None:
        server = options.jump or self._defaults.jump
        if server is None:
            return None
        if options.jump_identity:
            credential, login = names.keys[options.jump_identity], SshLogin.KEY
        elif self._defaults.jump_login is not None or self._defaults.jump_credential is not None:
            login = self._defaults.jump_login or SshLogin.KEY
            credential = None if login is SshLogin.AGENT else self._defaults.jump_credential or credential
        fields = {"user": self._text(found, USER) or options.user or self._defaults.user, **server.fields()}
        secret = self._defaults.secret(credential) if credential else None
        return SshEndpoint(**fields, login=login, credential=secret)

    def _read_options(self, found: Described) -> SshOptions:
        text = " ".join(str(found.variables[name].value) for name in OPTIONS if _told(found, name))
        try:
            options = read_options(text)
        except ValueError as error:
            self._fault(found, found.find(OPTIONS), f"{error} (host {found.name})")
            return SshOptions()
        if options.trusting:
            self._note("Host keys are always checked here: what an option says otherwise is not taken over.")
        if options.ignored:
            self._note(f"Not taken over: ssh options {', '.join(dict.fromkeys(options.ignored))}.")
        return options

    def _key_paths(self, found: Described) -> set[str]:
        options = self._options[found.name]
        named = (self._text(found, KEY_FILE), options.identity, options.jump_identity)
        return {path for path in named if path}

    def _check_become(self, found: Described) -> None:
        """Only sudo to root is known here."""
        for names, allowed in ((BECOME_METHOD, ("sudo", "ansible.builtin.sudo")), (BECOME_USER, ("root",))):
            value = self._text(found, names)
            if value and value not in allowed:
                self._fault(
                    found,
                    found.find(names),
                    f"found {names[0]} {value[:40]!r} of host {found.name}; allowed: {allowed[0]}",
                )

    def _port(self, found: Described) -> int | None:
        variable = found.find(PORT)
        if variable is None or variable.value == "":
            return None
        text = str(variable.value)
        if isinstance(variable.value, bool) or not re.fullmatch("[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
            self._fault(found, variable, f"found port {text[:40]!r} of host {found.name}; allowed: 1 to 65535")
            return None
        return int(text)

    def _truth(self, found: Described, names: tuple[str, ...]) -> bool:
        variable = found.find(names)
        text = str(variable.value).lower() if variable is not None else "no"
        if text not in _TRUE | _FALSE:
            self._fault(found, variable, f"found {names[-1]} {text[:40]!r} of host {found.name}; allowed: yes, no")
        return text in _TRUE

    def _text(self, found: Described, names: tuple[str, ...]) -> str | None:
        """A variable as text. One that is to be filled in when a play runs is a fault: it means nothing yet."""
        variable = found.find(names)
        if variable is None:
            return None
        if isinstance(variable.value, dict | list):
            self._fault(found, variable, f"found {names[0]} of host {found.name} that is no text; allowed: text")
            return None
        text = str(variable.value)
        if "{{" in text or "{%" in text:
            self._fault(
                found, variable, f"found a template in {names[0]} of host {found.name}; allowed: the value itself"
            )
            return None
        return text

    def _labels(self, found: Described) -> dict[str, str]:
        labels = dict(self._defaults.labels)
        for group in found.groups:
            name = _LABEL.sub("_", group)
            if name != group:
                self._note(f"Group {group} is the label {GROUP_LABEL}{name}.")
            labels[f"{GROUP_LABEL}{name}"[:63]] = "true"
        for name in self._defaults.label_variables:
            variable = found.variables.get(name)
            if variable is None or variable.value is None:
                continue
            if isinstance(variable.value, dict | list):
                self._fault(found, variable, f"found {name} of host {found.name} that is no text or number as a label")
            else:
                value = variable.value
                labels[name] = str(value).lower() if isinstance(value, bool) else str(value)
        return labels

    def _fault(self, found: Described, variable: Variable | None, message: str) -> None:
        """With the place of the variable, or else of the host. One fault of a group is told once."""
        line = variable.line if variable is not None else found.line
        path = variable.path if variable is not None else found.path
        self._inventory.fault(message, line, path)

    def _note(self, text: str) -> None:
        if text not in self._inventory.notes:
            self._inventory.notes.append(text)


def _told(found: Described, name: str) -> bool:
    return name in found.variables and found.variables[name].value not in (None, "")


def _values(described: list[Described], names: tuple[str, ...]) -> dict[str, object]:
    found = {host.name: host.value(names) for host in described}
    return {name: value for name, value in found.items() if value not in (None, "")}
