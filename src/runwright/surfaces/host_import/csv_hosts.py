"""Hosts out of a CSV file: a header line, then one host a line."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from functools import partial
from typing import Any

from pydantic import ValidationError

from runwright.model.errors import Fault
from runwright.model.hosts import (
    ExecutionPolicy,
    LocalConnection,
    NewHost,
    NspawnConnection,
    SshConnection,
    SshEndpoint,
    SshLogin,
)
from runwright.model.policy import PolicyMode
from runwright.surfaces.host_import.groups import MOST_FAULTS, MOST_HOSTS
from runwright.surfaces.host_import.needs import Defaults
from runwright.surfaces.host_ways import server_of, told

COLUMNS = (
    *("hostname", "connection", "address", "port", "user", "login", "credential", "passphrase"),
    *("become", "become_password", "jump", "jump_login", "jump_credential", "host_key", "policy", "labels"),
)
LABEL_COLUMN = "label."
"""`label.env` holds the values of the label `env`."""

_VALUES = frozenset({"password", "pass", "secret", "key", "private_key", "token"})
_TRUE, _FALSE = frozenset({"yes", "true", "1"}), frozenset({"no", "false", "0", ""})


class CsvHosts:
    """Reads one file. Faults are collected; a line with one gives no host."""

    def __init__(self, file: str | None, defaults: Defaults) -> None:
        self.file = file
        self.faults: list[Fault] = []
        self._defaults = defaults

    def read(self, text: str) -> list[NewHost]:
        """Every host of the file, in its order."""
        reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
        hosts: dict[str, NewHost] = {}
        header: list[str] = []
        try:
            for row in reader:
                if not any(cell.strip() for cell in row):
                    continue
                if not header:
                    header = [cell.strip().lower() for cell in row]
                    if not self._check_header(header, reader.line_num):
                        return []
                    continue
                self._row(header, [cell.strip() for cell in row], reader.line_num, hosts)
                if len(self.faults) >= MOST_FAULTS:
                    break
        except csv.Error as error:
            self._fault(f"not CSV: {error}", reader.line_num)
        if not header:
            self._fault(f"found no header line; allowed: {', '.join(COLUMNS)}, label.NAME", 1)
        return list(hosts.values())

    def _check_header(self, header: list[str], line: int) -> bool:
        for name in header:
            if name in _VALUES:
                self._fault(
                    f"found a column {name!r}: values of secrets are not imported; allowed: credential, with the name "
                    "of a secret",
                    line,
                )
            elif name not in COLUMNS and not (name.startswith(LABEL_COLUMN) and name != LABEL_COLUMN):
                self._fault(f"found column {name[:40]!r}; allowed: {', '.join(COLUMNS)}, label.NAME", line)
        for name in sorted({name for name in header if header.count(name) > 1}):
            self._fault(f"found column {name!r} twice; allowed: once", line)
        if "hostname" not in header:
            self._fault("found no column hostname; allowed: one, with the name of each host", line)
        return not self.faults

    def _row(self, header: list[str], cells: list[str], line: int, hosts: dict[str, NewHost]) -> None:
        if len(cells) != len(header):
            self._fault(f"found {len(cells)} cells; allowed: {len(header)}, as the header has", line)
            return
        row = dict(zip(header, cells, strict=True))
        if row["hostname"] in hosts:
            self._fault(f"found host {row['hostname'][:80]} twice; allowed: once", line)
            return
        if len(hosts) >= MOST_HOSTS:
            if len(hosts) == MOST_HOSTS:
                self._fault(f"found more than {MOST_HOSTS} hosts; allowed: as many in one file", line)
            return
        if self._bad_cells(row, line):
            return
        try:
            hosts[row["hostname"]] = self._host(row)
        except ValidationError as error:
            self._fault(f"found {told(error)}", line)
        except ValueError as error:
            self._fault(str(error), line)

    def _bad_cells(self, row: dict[str, str], line: int) -> bool:
        """Whether cells are wrong by themselves; each is a fault of its own, so that one import tells them all."""
        checks: tuple[tuple[str, Callable[[str], object]], ...] = (
            ("port", _port),
            ("login", partial(_one_of, SshLogin, column="login")),
            ("become", _truth),
            ("jump", server_of),
            ("jump_login", partial(_one_of, SshLogin, column="jump_login")),
            ("policy", partial(_one_of, PolicyMode, column="policy")),
            ("labels", _pairs),
        )
        before = len(self.faults)
        for column, check in checks:
            if not (cell := row.get(column, "")):
                continue
            try:
                check(cell)
            except ValueError as error:
                self._fault(str(error), line)
        return len(self.faults) > before

    def _host(self, row: dict[str, str]) -> NewHost:
        labels = {**self._defaults.labels, **_pairs(row.get("labels", ""))}
        labels |= {
            name.removeprefix(LABEL_COLUMN): value
            for name, value in row.items()
            if name.startswith(LABEL_COLUMN) and value
        }
        return NewHost(
            client_id=self._defaults.client,
            hostname=row["hostname"],
            labels=labels,
            connection=self._connection(row),
            become=_truth(row.get("become", "")),
            policy=ExecutionPolicy(mode=_one_of(PolicyMode, row.get("policy", "") or "auto", "policy")),
        )

    def _connection(self, row: dict[str, str]) -> SshConnection | LocalConnection | NspawnConnection:
        kind, _, rest = row.get("connection", "").partition(":")
        if kind == "local" and not rest:
            return LocalConnection()
        if kind == "nspawn":
            return NspawnConnection(machine=rest)
        if kind not in ("", "ssh"):
            raise ValueError(f"found connection {kind[:40]!r}; allowed: ssh, local, nspawn:MACHINE")
        server = server_of(rest.removeprefix("//")) if rest else None
        login = _one_of(SshLogin, row.get("login", "") or self._defaults.login.value, "login")
        port = row.get("port", "")
        fields: dict[str, Any] = {
            "address": row.get("address", "") or row["hostname"],
            "user": row.get("user", "") or self._defaults.user,
            **(server.fields() if server is not None else {}),
            **({"port": _port(port)} if port else {}),
            **self._secrets(row, login, ""),
            "login": login,
            "become_password": self._secret(row.get("become_password", "")),
            "host_keys": (row["host_key"],) if row.get("host_key") else (),
        }
        return SshConnection(**fields, jump=self._jump(row, fields))

    def _jump(self, row: dict[str, str], host: dict[str, Any]) -> SshEndpoint | None:
        server = server_of(row["jump"]) if row.get("jump") else self._defaults.jump
        if server is None:
            return None
        named = row.get("jump_login", "") or (self._defaults.jump_login.value if self._defaults.jump_login else "")
        login = _one_of(SshLogin, named, "jump_login") if named else host["login"]
        credential = row.get("jump_credential", "") or self._defaults.jump_credential
        secret = self._secret(credential or "") if credential or login is SshLogin.AGENT else host["credential"]
        return SshEndpoint(**{"user": host["user"], **server.fields()}, login=login, credential=secret)

    def _secrets(self, row: dict[str, str], login: SshLogin, prefix: str) -> dict[str, Any]:
        name = row.get("credential", "") or ("" if login is SshLogin.AGENT else self._defaults.credential)
        return {"credential": self._secret(name), "passphrase": self._secret(row.get("passphrase", ""))}

    def _secret(self, name: str) -> Any:
        return self._defaults.secret(name) if name else None

    def _fault(self, message: str, line: int) -> None:
        self.faults.append(Fault(message=message, file=self.file, line=line))


def _pairs(text: str) -> dict[str, str]:
    """`env=prod;team=web`. Raises ValueError on a pair without `=`."""
    found: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in text.split(";"))):
        name, mark, value = pair.partition("=")
        if not mark:
            raise ValueError(f"found label {pair[:40]!r}; allowed: name=value, with ';' between several")
        found[name.strip()] = value.strip()
    return found


def _port(text: str) -> int:
    if not (text.isdecimal() and len(text) < 6 and 1 <= int(text) <= 65535):
        raise ValueError(f"found port {text[:40]!r}; allowed: 1 to 65535")
    return int(text)


def _truth(text: str) -> bool:
    if text.lower() not in _TRUE | _FALSE:
        raise ValueError(f"found become {text[:40]!r}; allowed: yes, no")
    return text.lower() in _TRUE


def _one_of(kind: Callable[[str], Any], text: str, column: str) -> Any:
    try:
        return kind(text)
    except ValueError as error:
        allowed = ", ".join(member.value for member in kind)  # type: ignore[attr-defined]  # an enum
        raise ValueError(f"found {column} {text[:40]!r}; allowed: {allowed}") from error
