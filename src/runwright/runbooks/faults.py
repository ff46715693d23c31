"""pydantic's errors as sentences for people, each at its line and column."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from runwright.model.errors import Fault
from runwright.runbooks.visible import shown
from runwright.runbooks.yaml_nodes import Path, YamlDocument, path_text

ALLOWED: dict[str, str] = {
    "id": "letters, digits and hyphens (steps: lower case, starting with a letter; runbooks: upper case)",
    "on_failure": "abort, continue, or the id of a later step",
    "port": "a whole number from 1 to 65535, or $name of a parameter",
    "status": "a whole number from 100 to 599, or $name of a parameter",
    "scheme": "http, https, or $name of a parameter",
    "from": "incident.subject.NAME, host.NAME, caller or secret.NAME",
    "digest": "sha256: and 64 hexadecimal digits",
}
"""What a field allows, where the schema's own words (a union's branches, a pattern) help nobody."""

_DURATIONS = frozenset({"timeout", "delay", "for", "every", "hold", "expires", "settle", "recovers_after"})

_TYPES = {
    "string_type": "text (put quotes around it)",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "dict_type": "a mapping (`name: value` lines)",
    "model_type": "a mapping (`name: value` lines)",
    "model_attributes_type": "a mapping (`name: value` lines)",
    "tuple_type": "a list",
    "list_type": "a list",
}

_BOUNDS = {
    "greater_than_equal": ("ge", "at least {}"),
    "greater_than": ("gt", "more than {}"),
    "less_than_equal": ("le", "at most {}"),
    "less_than": ("lt", "less than {}"),
    "string_too_short": ("min_length", "at least {} characters"),
    "string_too_long": ("max_length", "at most {} characters"),
    "too_short": ("min_length", "at least {} entries"),
    "too_long": ("max_length", "at most {} entries"),
}


def explain(error: ValidationError, document: YamlDocument, model: type[BaseModel]) -> list[Fault]:
    """One fault per place: the branches of a union are made into one sentence."""
    places: dict[tuple[Path, str], list[ErrorDetails]] = {}
    for details in error.errors(include_url=False):
        if details["type"] == "too_short" and details.get("input"):
            continue  # it has entries; they are faulty themselves and listed
        path, missing = _data_path(details, document.data)
        places.setdefault((path, missing), []).append(details)
    return [_fault(path, missing, group, document, model) for (path, missing), group in places.items()]


def _data_path(details: ErrorDetails, data: Any) -> tuple[Path, str]:
    """pydantic's location without union labels, and the name of a missing field."""
    path: list[str | int] = []
    here = data
    for part in details["loc"]:
        in_list = isinstance(here, list) and isinstance(part, int) and part < len(here)
        if in_list or (isinstance(here, dict) and part in here):
            here = here[part]
            path.append(part)
        # else: a union's label, `[key]`, or a missing field's name
    missing = str(details["loc"][-1]) if details["type"] == "missing" else ""
    return tuple(path), missing


def _fault(
    path: Path, missing: str, group: list[ErrorDetails], document: YamlDocument, model: type[BaseModel]
) -> Fault:
    details = group[0]
    on_key = details["type"] == "extra_forbidden" or "[key]" in details["loc"]
    where = (*path, "type") if details["type"] == "union_tag_invalid" else path
    line, column = document.key_position(path) if on_key or missing else document.position(where)
    if missing:
        known = ", ".join(_fields(model, path, document.data))
        message = f"found no field {missing!r}, which is required; allowed here: {known}"
    elif details["type"] == "extra_forbidden":
        message = _unknown(path, document, model)
    elif "[key]" in details["loc"]:
        message = f"found the name {shown(path[-1])}; allowed: lower case letters, digits and _, starting with a letter"
    else:
        message = _value(path, group)
    return Fault(message=message, file=document.file, line=line, column=column, path=path_text(path) or None)


def _unknown(path: Path, document: YamlDocument, model: type[BaseModel]) -> str:
    name = str(path[-1])
    known = _fields(model, path[:-1], document.data)
    near = difflib.get_close_matches(name, known, 1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"found unknown field {shown(name)}{hint}; allowed: {', '.join(known) or 'none'}"


def _value(path: Path, group: list[ErrorDetails]) -> str:
    details = group[0]
    field = next((str(part) for part in reversed(path) if isinstance(part, str)), "")
    own = [each for each in group if each["type"] == "value_error"]
    if own:
        return " and ".join(dict.fromkeys(str(each["ctx"]["error"]) for each in own))
    if details["type"] == "union_tag_not_found":
        return f"found no field 'type', which is required; allowed: {_tags(details)}"
    if details["type"] == "union_tag_invalid":
        return f"found type {shown(details['ctx'].get('tag'))}; allowed: {_tags(details)}"
    found = shown(details["input"]) if "input" in details else "this"
    if field in ALLOWED and not isinstance(path[-1], int) and not _is_bound(group):
        return f"found {found}; allowed: {ALLOWED[field]}"
    if field in _DURATIONS and any(each["type"] in _TYPES for each in group):
        return f"found {found}; allowed: a duration as in 500ms, 30s, 5m, 2h or 1d"
    return f"found {found}; allowed: {' or '.join(dict.fromkeys(_allowed(each) for each in group))}"


def _is_bound(group: list[ErrorDetails]) -> bool:
    return len(group) == 1 and group[0]["type"] in _BOUNDS


def _allowed(details: ErrorDetails) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind in _TYPES:
        return _TYPES[kind]
    if kind in _BOUNDS:
        name, text = _BOUNDS[kind]
        return text.format(context.get(name))
    if kind in ("literal_error", "enum"):
        return str(context.get("expected", "")).replace("'", "")
    if kind == "string_pattern_mismatch":
        return f"text that matches {context.get('pattern')}"
    return details["msg"]


def _tags(details: ErrorDetails) -> str:
    return str(details.get("ctx", {}).get("expected_tags", "string, integer, boolean, secret")).replace("'", "")


def _fields(model: type[BaseModel], path: Path, data: Any) -> list[str]:
    """The fields allowed at a path, by the names used in files."""
    kinds: list[Any] = [model]
    here = data
    for part in path:
        here = here[part]
        kinds = [below for kind in kinds for below in _below(kind, part)]
    return list(dict.fromkeys(name for kind in _records(kinds, here) for name in _names(kind)))


def _names(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _unwrapped(kind: Any) -> Iterator[Any]:
    """The types in an annotation: unions and Annotated taken apart."""
    origin = get_origin(kind)
    if origin is Annotated:
        yield from _unwrapped(get_args(kind)[0])
    elif origin in (Union, types.UnionType):
        for each in get_args(kind):
            yield from _unwrapped(each)
    else:
        yield kind


def _below(kind: Any, part: str | int) -> Iterator[Any]:
    for each in _unwrapped(kind):
        origin, inner = get_origin(each), get_args(each)
        if origin in (tuple, list) and inner:
            yield inner[0]
        elif origin is dict:
            yield inner[1]
        elif isinstance(each, type) and issubclass(each, BaseModel):
            for name, field in each.model_fields.items():
                if part in (name, field.alias):
                    yield field.annotation


def _records(kinds: list[Any], data: Any) -> list[type[BaseModel]]:
    """The record types at a place; of a tagged union only the one that `type` (or `op`, `kind`) names."""
    found = [
        each for kind in kinds for each in _unwrapped(kind) if isinstance(each, type) and issubclass(each, BaseModel)
    ]
    for tag in ("type", "op", "kind"):
        tagged = [
            each
            for each in found
            if isinstance(data, dict)
            and tag in each.model_fields
            and data.get(tag) in get_args(each.model_fields[tag].annotation)
        ]
        if tagged and len(found) > 1:
            return tagged
    return found
