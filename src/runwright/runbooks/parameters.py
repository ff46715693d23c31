"""Parameters resolved for one run: data from the incident, the host or the caller, never code (promise 3)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runwright.model.documents import (
    BooleanParameter,
    IntegerParameter,
    Parameter,
    ParameterValue,
    RunbookDocument,
    SecretParameter,
)
from runwright.model.errors import Fault, InvalidInput
from runwright.model.hosts import SecretRef
from runwright.runbooks.constraints import problem_with
from runwright.runbooks.visible import shown

_REFERENCE = re.compile(r"\$([a-z][a-z0-9_]*)")
_INTEGER = re.compile(r"[-+]?[0-9]{1,17}", re.ASCII)


@dataclass(frozen=True)
class ResolvedParameters:
    """What a run gets. Secrets stay references until the host adapter."""

    values: dict[str, ParameterValue]
    secrets: dict[str, SecretRef] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    """Optional parameters that nobody gave."""

    def environment(self) -> dict[str, str]:
        """Environment variables by name: booleans as true and false, absent ones empty, secrets left out.

        Absent ones are set to the empty string, so that a variable of that name which the host happens to
        have never takes their place.
        """
        entries = {name: as_text(value) for name, value in self.values.items()}
        return entries | dict.fromkeys(self.absent, "")


def as_text(value: ParameterValue) -> str:
    """A value as shell text sees it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def resolve(
    document: RunbookDocument,
    *,
    subject: Mapping[str, Any],
    host: Mapping[str, str],
    given: Mapping[str, Any],
    client_id: str | None,
) -> ResolvedParameters:
    """Values for every parameter: given, else from its source, else its default.

    Arguments: `subject`, the incident's (a list of it becomes one text, an entry a line); `host`, the host's
    attributes; `given`, values named by the caller (they win over the source, under the same constraints);
    `client_id`, whose secrets the references name.
    A parameter with neither `required: false` nor a default is required, unless an `ask` step answers it.
    Raises InvalidInput with every fault: all that is missing, unknown or against its constraints.
    """
    faults = [
        Fault(message=f"found an unknown parameter {shown(name)}; allowed: {_names(document)}", path=f"given.{name}")
        for name in given
        if name not in document.parameters
    ]
    answered = {step.ask.parameter for step in (*document.steps, *document.rollback) if step.ask}
    values: dict[str, ParameterValue] = {}
    secrets: dict[str, SecretRef] = {}
    absent: list[str] = []
    for name, parameter in document.parameters.items():
        if isinstance(parameter, SecretParameter):
            secret = _secret(name, parameter, given, client_id)
            if isinstance(secret, Fault):
                faults.append(secret)
            elif secret is not None:
                secrets[name] = secret
            continue
        raw = _raw(name, parameter, subject, host, given)
        if raw is None:
            if parameter.required is False or name in answered:
                absent.append(name)
            else:
                faults.append(_missing(name, parameter))
            continue
        value, problem = _typed(parameter, raw)
        if problem is None and value is not None:
            problem = problem_with(parameter, value)
        if problem is not None:
            faults.append(Fault(message=f"parameter {name}: {problem}", path=f"parameters.{name}"))
        elif value is not None:
            values[name] = value
    if faults:
        listed = "; ".join(str(fault) for fault in faults)
        raise InvalidInput(
            f"found parameters that {document.id} cannot run with: {listed}.",
            next_step="Give them, correct the incident's subject, or change the runbook.",
            faults=faults,
        )
    return ResolvedParameters(values, secrets, tuple(absent))


def scalar(text: Any, values: Mapping[str, ParameterValue]) -> Any:
    """A typed field's value: `$name` stands for the parameter, anything else for itself.

    Raises InvalidInput if the parameter has no value.
    """
    match = _REFERENCE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return text
    if match[1] not in values:
        names = ", ".join(sorted(values)) or "none"
        raise InvalidInput(f"found {text}, a parameter without a value.", allowed=f"Allowed: {names}.")
    return values[match[1]]


def answer_to(name: str, parameter: Parameter, raw: Any) -> ParameterValue:
    """A person's answer to an `ask` step as a value of the parameter. Raises InvalidInput if it is not one."""
    if isinstance(parameter, SecretParameter):
        raise InvalidInput(f"found an answer for the secret {shown(name)}.", allowed="A secret is never asked for.")
    value, problem = _typed(parameter, raw)
    if problem is None and value is not None:
        problem = problem_with(parameter, value)
    if problem is not None or value is None:
        raise InvalidInput(f"parameter {name}: {problem or 'found nothing'}.", next_step="Answer again.")
    return value


def _names(document: RunbookDocument) -> str:
    return ", ".join(sorted(document.parameters)) or "none"


def _secret(
    name: str, parameter: SecretParameter, given: Mapping[str, Any], client_id: str | None
) -> SecretRef | Fault | None:
    if name in given:
        message = f"parameter {name}: found a value for a secret; allowed: none, it is read from {parameter.from_}"
        return Fault(message=message, path=f"parameters.{name}")
    if client_id is None:
        if parameter.required is False:
            return None
        message = f"parameter {name}: found no client whose secret this could be; allowed: a run for a client"
        return Fault(message=message, path=f"parameters.{name}")
    return SecretRef(client_id=client_id, name=(parameter.from_ or "").removeprefix("secret."))


def _raw(
    name: str, parameter: Parameter, subject: Mapping[str, Any], host: Mapping[str, str], given: Mapping[str, Any]
) -> Any:
    if given.get(name) is not None:
        return given[name]
    source = parameter.from_ or ""
    found: Any = None
    if source.startswith("incident.subject."):
        found = subject.get(source.removeprefix("incident.subject."))
    elif source.startswith("host."):
        found = host.get(source.removeprefix("host."))
    return found if found is not None else getattr(parameter, "default", None)


def _missing(name: str, parameter: Parameter) -> Fault:
    source = parameter.from_ or "the caller"
    message = f"parameter {name}: found no value in {source}; allowed: a {parameter.type}"
    return Fault(message=message, path=f"parameters.{name}")


def _typed(parameter: Parameter, raw: Any) -> tuple[ParameterValue | None, str | None]:
    """A raw value in the parameter's type, or the problem."""
    if isinstance(parameter, BooleanParameter):
        words = {"true": True, "false": False}
        value = raw if isinstance(raw, bool) else words.get(raw) if isinstance(raw, str) else None
        return (value, None) if value is not None else (None, f"found {shown(raw)}; allowed: true or false")
    if isinstance(parameter, IntegerParameter):
        if isinstance(raw, float) and raw.is_integer():
            raw = int(raw)
        if isinstance(raw, str) and _INTEGER.fullmatch(raw):
            raw = int(raw)
        if isinstance(raw, int) and not isinstance(raw, bool):
            return raw, None
        return None, f"found {shown(raw)}; allowed: a whole number"
    return _text(raw)


def _text(raw: Any) -> tuple[str | None, str | None]:
    """A list becomes its entries joined by line feeds: the one separator that shell text can split on safely."""
    if isinstance(raw, list | tuple):
        texts = [_text(entry)[0] for entry in raw if isinstance(entry, str | int | float)]
        plain = [text for text in texts if text is not None and "\n" not in text]
        if len(plain) != len(raw):
            return None, "found a list with an entry that is no single line of text; allowed: plain entries"
        return "\n".join(plain), None
    if isinstance(raw, bool):
        return as_text(raw), None
    if isinstance(raw, float) and raw.is_integer():
        raw = int(raw)
    if isinstance(raw, str | int | float):
        return str(raw), None
    return None, f"found {shown(raw)}; allowed: text, a number, true, false, or a list of them"
