"""What an inventory file means for hosts that are registered already. Pure."""

from __future__ import annotations

from typing import TypeVar

from runwright.model.hosts import Connection, ExecutionPolicy, Host, NewHost, SshConnection, SshEndpoint

E = TypeVar("E", bound=SshEndpoint)

COMPARED = ("connection", "become", "labels", "policy")


def merged(known: Host, described: NewHost, own_labels: str) -> Host:
    """The registered host as the file describes it.

    What a file cannot know stays: accepted host keys of the same address, the sudo password's name where the file
    names none, labels that persons gave, and the policy unless the file says another than the default.
    """
    labels = {name: value for name, value in known.labels.items() if not own_labels or not name.startswith(own_labels)}
    return known.model_copy(
        update={
            "connection": _connection(known.connection, described.connection),
            "become": described.become,
            "labels": {**labels, **described.labels},
            "policy": known.policy if described.policy == ExecutionPolicy() else described.policy,
        }
    )


def differences(known: Host, wanted: Host) -> tuple[str, ...]:
    """Names of the fields in which the two differ."""
    return tuple(name for name in COMPARED if getattr(known, name) != getattr(wanted, name))


def _connection(known: Connection, described: Connection) -> Connection:
    if not isinstance(known, SshConnection) or not isinstance(described, SshConnection):
        return described
    jump = described.jump
    if jump is not None and known.jump is not None:
        jump = _with_keys(known.jump, jump)
    return _with_keys(known, described).model_copy(
        update={"jump": jump, "become_password": described.become_password or known.become_password}
    )


def _with_keys(known: SshEndpoint, described: E) -> E:
    same = (known.address, known.port) == (described.address, described.port)
    if described.host_keys or not same:
        return described
    return described.model_copy(update={"host_keys": known.host_keys})
