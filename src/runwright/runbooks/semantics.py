"""What a runbook must satisfy beyond its schema. Works on plain data, so its faults are found beside the schema's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter, ValidationError

from runwright.model.documents import Parameter
from runwright.model.incidents import incident_kinds
from runwright.runbooks.constraints import problem_with
from runwright.runbooks.patterns import problem_of
from runwright.runbooks.visible import hidden_in, name_of, shown
from runwright.runbooks.yaml_nodes import Path

Problem = tuple[Path, str]
"""Where, and a sentence."""

SECTIONS = ("steps", "verify", "rollback")
SHELL_FIELDS = ("run", "only_if", "unless", "until")
TYPED_KINDS = ("service", "http", "wait_for", "call", "ask")
_REFERENCE = re.compile(r"\$([a-z][a-z0-9_]*)")
_INSIDE = re.compile(r"\$\{?([a-z][a-z0-9_]*)")
_NUMERIC_FIELDS = ("port", "status")

RESERVED_NAMES = frozenset({"http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"})
"""Lower-case environment variables that programs obey; a parameter of that name would steer them."""

_PARAMETER: TypeAdapter[Parameter] = TypeAdapter(Parameter)


def problems(data: Any) -> Iterator[Problem]:
    """Every problem of a runbook's plain data. Ill-typed parts are left to the schema."""
    if not isinstance(data, dict):
        return
    yield from _incident_types(data)
    yield from _step_ids(data)
    yield from _on_failure(data)
    yield from _parameters(data)
    yield from _references(data)
    yield from _hidden(data)


def steps_of(data: Any) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every step and check with its path; ill-typed ones are left out."""
    for section in SECTIONS:
        listed = data.get(section) if isinstance(data, dict) else None
        for index, step in enumerate(listed if isinstance(listed, list) else []):
            if isinstance(step, dict):
                yield (section, index), step


def shell_texts(data: Any) -> Iterator[tuple[Path, str]]:
    """Every piece of shell text with its path."""
    for path, step in steps_of(data):
        for name in SHELL_FIELDS:
            if isinstance(step.get(name), str):
                yield (*path, name), step[name]
        waiting = step.get("wait_for")
        if isinstance(waiting, dict) and isinstance(waiting.get("run"), str):
            yield (*path, "wait_for", "run"), waiting["run"]


def typed_strings(data: Any) -> Iterator[tuple[Path, str]]:
    """Every string in a typed field (`service.name`, `http.path`, `call.parameters.x`, ...) with its path."""
    for path, step in steps_of(data):
        for kind in TYPED_KINDS:
            fields = step.get(kind)
            if not isinstance(fields, dict):
                continue
            for name, value in fields.items():
                if kind == "ask" or (kind == "wait_for" and name == "run"):
                    continue
                if isinstance(value, str):
                    yield (*path, kind, name), value
                elif kind == "call" and name == "parameters" and isinstance(value, dict):
                    for key, text in value.items():
                        if isinstance(text, str):
                            yield (*path, kind, name, key), text


def _incident_types(data: dict[str, Any]) -> Iterator[Problem]:
    known = incident_kinds()
    listed = data.get("incident_types")
    seen: set[str] = set()
    for index, name in enumerate(listed if isinstance(listed, list) else []):
        if not isinstance(name, str):
            continue
        if name not in known:
            yield ("incident_types", index), f"found incident type {shown(name)}; allowed: {', '.join(sorted(known))}"
        elif name in seen:
            yield ("incident_types", index), f"found incident type {shown(name)} twice; allowed: each once"
        seen.add(name)


def _step_ids(data: dict[str, Any]) -> Iterator[Problem]:
    first: dict[str, Path] = {}
    for path, step in steps_of(data):
        name = step.get("id")
        if not isinstance(name, str):
            continue
        if name in first:
            where = f"{first[name][0]}[{first[name][1]}]"
            yield (*path, "id"), f"found the id {shown(name)} again (first in {where}); allowed: each id once"
        first.setdefault(name, path)
        if name in ("abort", "continue"):
            yield (*path, "id"), f"found the id {shown(name)}, a word of on_failure; allowed: any other"


def _on_failure(data: dict[str, Any]) -> Iterator[Problem]:
    for path, step in steps_of(data):
        target = step.get("on_failure")
        if not isinstance(target, str) or target in ("abort", "continue"):
            continue
        listed = data[str(path[0])]
        later = [each.get("id") for each in listed[int(path[1]) + 1 :] if isinstance(each, dict)]
        if target not in later:
            names = ", ".join(str(name) for name in later if name) or "no step follows"
            yield (*path, "on_failure"), f"found {shown(target)}; allowed: abort, continue or a later step ({names})"


def _parameters(data: dict[str, Any]) -> Iterator[Problem]:
    declared = data.get("parameters")
    for name, content in (declared if isinstance(declared, dict) else {}).items():
        path: Path = ("parameters", name)
        if name in RESERVED_NAMES:
            yield path, f"found the parameter name {shown(name)}, which programs read as a setting; allowed: any other"
        if not isinstance(content, dict):
            continue
        if content.get("required") is True and "default" in content:
            yield (*path, "required"), "found required: true and a default; allowed: one of them"
        yield from _sources(path, content)
        yield from _values(path, content)


def _sources(path: Path, content: dict[str, Any]) -> Iterator[Problem]:
    source = content.get("from")
    secret = isinstance(source, str) and source.startswith("secret.")
    if content.get("type") == "secret" and not secret:
        where = (*path, "from") if "from" in content else path
        yield where, f"found a secret from {shown(source)}; allowed: secret.NAME"
    elif content.get("type") != "secret" and secret:
        yield (*path, "from"), f"found {shown(source)} for a {content.get('type')}; allowed: type: secret"


def _values(path: Path, content: dict[str, Any]) -> Iterator[Problem]:
    pattern = content.get("pattern")
    if isinstance(pattern, str):
        problem = problem_of(pattern)
        if problem is not None:
            yield (*path, "pattern"), problem
            return
    try:
        parameter = _PARAMETER.validate_python(_tupled(content), strict=False)
    except ValidationError:
        return  # the schema says what is wrong
    low, high = getattr(parameter, "min", None), getattr(parameter, "max", None)
    if low is not None and high is not None and low > high:
        yield (*path, "min"), f"found min {low} above max {high}; allowed: min up to max"
    default = getattr(parameter, "default", None)
    if default is not None:
        problem = problem_with(parameter, default)
        if problem is not None:
            yield (*path, "default"), problem
    for index, choice in enumerate(getattr(parameter, "enum", None) or ()):
        only = parameter.model_copy(update={"enum": None})
        problem = problem_with(only, choice)
        if problem is not None:
            yield (*path, "enum", index), problem


def _tupled(content: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}


def _references(data: dict[str, Any]) -> Iterator[Problem]:
    declared = data.get("parameters")
    types = {
        name: content.get("type") if isinstance(content, dict) else None
        for name, content in (declared if isinstance(declared, dict) else {}).items()
    }
    names = ", ".join(sorted(types)) or "none declared"
    for path, text in typed_strings(data):
        whole = _REFERENCE.fullmatch(text)
        if whole is None:
            inside = [name for name in _INSIDE.findall(text) if name in types]
            if inside:
                yield path, f"found ${inside[0]} inside {shown(text)}; allowed: $name alone, as the whole value"
            continue
        name = whole[1]
        if name not in types:
            yield path, f"found {shown(text)}, a parameter that is not declared; allowed: {names}"
        elif types[name] == "secret":
            yield path, f"found the secret {shown(text)} in a typed field; allowed: secrets in shell text only"
        elif path[-1] in _NUMERIC_FIELDS and path[-2] in ("http", "wait_for") and types[name] != "integer":
            yield path, f"found {shown(text)}, a {types[name]}; allowed: a parameter of type integer"
    for path, step in steps_of(data):
        asked = step.get("ask")
        target = asked.get("parameter") if isinstance(asked, dict) else None
        if isinstance(target, str) and target not in types:
            yield (*path, "ask", "parameter"), f"found {shown(target)}, which is not declared; allowed: {names}"
        elif isinstance(target, str) and types[target] == "secret":
            yield (*path, "ask", "parameter"), "found a secret as an answer; allowed: string, integer or boolean"


def _hidden(data: dict[str, Any]) -> Iterator[Problem]:
    fields = [*shell_texts(data), *typed_strings(data)]
    for name in ("id", "name"):
        if isinstance(data.get(name), str):
            fields.append(((name,), data[name]))
        fields += [((*path, name), step[name]) for path, step in steps_of(data) if isinstance(step.get(name), str)]
    declared = data.get("parameters")
    for name, content in (declared if isinstance(declared, dict) else {}).items():
        fields.append((("parameters", name), str(name)))
        if isinstance(content, dict) and isinstance(content.get("pattern"), str):
            fields.append((("parameters", name, "pattern"), content["pattern"]))
    for path, text in fields:
        found = hidden_in(text)
        if found:
            names = ", ".join(dict.fromkeys(name_of(character) for _, character in found))
            yield path, f"found the character {names}, which people do not see; allowed: visible text, tab, line feed"
