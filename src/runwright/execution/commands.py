"""What a step's kind means on a host: one sh text per kind, its values beside it (promise 3)."""

from __future__ import annotations

import math
import re
from functools import cache
from importlib.resources import files
from urllib.parse import quote

from runwright.model.documents import HttpCheck, ServiceAction, ServiceState, Step, WaitFor
from runwright.model.errors import Refused
from runwright.model.ports.hosts import Command
from runwright.runbooks.parameters import ResolvedParameters, scalar
from runwright.verification.findings import NoEvidence
from runwright.verification.units import unit_name

VERBS: dict[ServiceState, str] = {
    ServiceState.STARTED: "start",
    ServiceState.STOPPED: "stop",
    ServiceState.RESTARTED: "restart",
    ServiceState.RELOADED: "reload",
}
WAIT_MARGIN = 5.0
"""Seconds a `wait_for` gets beyond its own `for`, so that it can say itself that it waited in vain."""

_HOST = re.compile(r"[A-Za-z0-9._:-]+")


class NotPossible(Refused):
    """A step cannot be turned into a command: its values do not fit, or its kind is not done on a host."""

    code = "step-not-possible"


@cache
def script(name: str) -> str:
    """The sh text of a typed step, from the package's data."""
    return files("runwright.execution").joinpath("scripts", f"{name}.sh").read_text("utf-8")


def step_command(step: Step, resolved: ResolvedParameters, *, become: bool) -> Command:
    """The supervised command of a step that acts on the host.

    Raises NotPossible for `call` and `ask`, which act through other steps and a person, and for values
    that do not fit their field.
    """
    become = step.become if step.become is not None else become
    if step.run is not None:
        return shell_command(step.run, resolved, timeout=step.timeout, become=become)
    if step.service is not None:
        text, given = script("service"), _service(step.service, resolved)
    elif step.http is not None:
        text, given = script("http"), _http(step.http, resolved)
    elif step.wait_for is not None:
        return _wait_for(step, step.wait_for, resolved, become)
    else:
        raise NotPossible(f"Step {step.id} is a {step.kind.value}, which is no command on a host.")
    return Command(text=text, parameters=given, timeout=step.timeout, become=become)


def shell_command(text: str, resolved: ResolvedParameters, *, timeout: float, become: bool) -> Command:
    """The author's own sh text with the run's parameters and secrets as environment variables."""
    return Command(
        text=text,
        parameters=resolved.environment(),
        secrets=dict(resolved.secrets),
        timeout=timeout,
        become=become,
    )


def _service(action: ServiceAction, resolved: ResolvedParameters) -> dict[str, str]:
    enabled = "" if action.enabled is None else str(action.enabled).lower()
    return {"rw_unit": _unit(action.name, resolved), "rw_state": VERBS[action.state], "rw_enabled": enabled}


def _http(check: HttpCheck, resolved: ResolvedParameters) -> dict[str, str]:
    scheme, host = _text(check.scheme, resolved), _text(check.host, resolved)
    port, path = _number(check.port, resolved, "port", 65535), _text(check.path, resolved)
    status = _number(check.status, resolved, "status", 599)
    if scheme not in ("http", "https"):
        raise NotPossible(f"Found scheme {scheme!r}.", allowed="Allowed: http, https.")
    if not _HOST.fullmatch(host):
        raise NotPossible(f"Found host {host!r}.", allowed="Allowed: a host name or address.")
    if not path.startswith("/"):
        raise NotPossible(f"Found path {path!r}.", allowed="Allowed: a path that begins with /.")
    name = f"[{host}]" if ":" in host else host
    url = f"{scheme}://{name}:{port}" + quote(path, safe="/%?&=+:@,;~!$'()*-._")
    contains = _text(check.contains, resolved) if check.contains is not None else ""
    settings = [
        f'url = "{url}"',
        "head" if check.method == "HEAD" else f'request = "{check.method}"',
        "silent",
        "show-error",
        "globoff",
        'noproxy = "*"',
        'proto = "=http,https"',
        f"max-time = {check.timeout:.3f}",
        'write-out = "\\n%{http_code}"',
    ]
    return {
        "rw_url": url,
        "rw_method": check.method,
        "rw_status": str(status),
        "rw_contains": contains,
        "rw_timeout": f"{check.timeout:.3f}",
        "rw_curl": "\n".join(settings) + "\n",
    }


def _wait_for(step: Step, wait: WaitFor, resolved: ResolvedParameters, become: bool) -> Command:
    given = {"rw_for": str(math.ceil(wait.for_)), "rw_every": f"{max(wait.every, 0.01):.3f}", "rw_port_hex": ""}
    if wait.port is not None:
        port = _number(wait.port, resolved, "port", 65535)
        given |= {"rw_kind": "port", "rw_value": str(port), "rw_port_hex": f"{port:04X}"}
    elif wait.path is not None:
        given |= {"rw_kind": "path", "rw_value": _text(wait.path, resolved)}
    elif wait.service is not None:
        given |= {"rw_kind": "service", "rw_value": _unit(wait.service, resolved)}
    else:
        # The text is the author's, approved with the version; its parameters stay variables of the environment.
        given = resolved.environment() | given | {"rw_kind": "run", "rw_value": wait.run or ""}
    secrets = dict(resolved.secrets) if wait.run is not None else {}
    timeout = wait_timeout(step.timeout, wait)
    return Command(text=script("wait_for"), parameters=given, secrets=secrets, timeout=timeout, become=become)


def wait_timeout(timeout: float, wait: WaitFor) -> float:
    """Seconds that an attempt of a `wait_for` gets: never less than it is to wait."""
    return max(timeout, wait.for_ + WAIT_MARGIN)


def _text(written: str | int, resolved: ResolvedParameters) -> str:
    value = scalar(str(written), resolved.values)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _unit(written: str, resolved: ResolvedParameters) -> str:
    """The name of one service, as written or given. Managers take a pattern for every unit that it fits, and
    SysV's runs whatever file a name with `/` leads to."""
    name = _text(written, resolved)
    try:
        unit_name(name)
    except NoEvidence as reason:
        raise NotPossible(f"In a service field: {reason}.", allowed="Allowed: a name without / * ? [ ].") from reason
    return name


def _number(written: str | int, resolved: ResolvedParameters, what: str, most: int) -> int:
    text = _text(written, resolved)
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= most:
        raise NotPossible(f"Found {what} {text!r}.", allowed=f"Allowed: a number from 1 to {most}.")
    return int(text)
