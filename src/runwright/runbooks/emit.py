"""Plain data as YAML in the house style: blocks for multi-line text, quotes where text would not stay text."""

from __future__ import annotations

import re
from typing import Any

from runwright.model.base import DURATION
from runwright.model.errors import InvalidInput
from runwright.runbooks.strict_yaml import MAX_DEPTH
from runwright.runbooks.visible import is_hidden
from runwright.runbooks.yaml_scalars import resolve

FLOW_WIDTH = 100
"""A mapping or list of scalars is written on one line up to this many columns."""

_FLOW_PLAIN = re.compile(r"[A-Za-z_$/][A-Za-z0-9_$/.@+=%-]*", re.ASCII)
_BLOCK_PLAIN = re.compile(r"[A-Za-z_$/][ -~]*", re.ASCII)
_OTHER_WORDS = frozenset({"y", "n", "yes", "no", "on", "off"})
"""Words that YAML 1.1 readers take for booleans."""

_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


def emit(value: Any, indent: int = 0) -> str:
    """A mapping or list as block lines at an indentation, each ended by a line feed.

    Raises InvalidInput for what YAML of ours cannot hold: other types, nesting too deep.
    """
    return "".join(line + "\n" for line in _block(value, indent, 0))


def emit_entry(key: str, value: Any, indent: int) -> str:
    """`key: value` at an indentation."""
    return emit({key: value}, indent)


def emit_item(value: Any, indent: int) -> str:
    """`- value` at an indentation; the house writes a step's fields as a block even where they would fit a line."""
    return emit([value], indent)


def scalar_text(value: Any, *, flow: bool = False) -> str | None:
    """A scalar on one line, or None if it wants a block of its own."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if not isinstance(value, str):
        raise InvalidInput(f"found a {type(value).__name__} in YAML data.", allowed="Allowed: JSON values.")
    if not flow and _literal(value):
        return None
    if _stays_text(value, flow):
        return value
    if value and all(not is_hidden(each) and each not in "\n\t" for each in value):
        return "'" + value.replace("'", "''") + "'"
    return '"' + "".join(_escaped(each) for each in value) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if not is_hidden(character):
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _stays_text(value: str, flow: bool) -> bool:
    """Whether a plain scalar would be read back as this very text."""
    if DURATION.fullmatch(value):
        return True
    if value.lower() in _OTHER_WORDS or resolve(value)[0] != value:
        return False
    if flow:
        return bool(_FLOW_PLAIN.fullmatch(value))
    return bool(_BLOCK_PLAIN.fullmatch(value)) and not re.search(r": | #|:$| $", value)


def _literal(value: str) -> bool:
    """Whether a text can be a literal block: several lines, visible, no white space that a block would blur."""
    lines = value.split("\n")
    return (
        len(lines) > 1
        and not value.endswith("\n\n")  # a block that keeps trailing lines would take in blank lines set behind it
        and bool(lines[0])
        and lines[0][0] not in " \t"
        and not any(line and not line.strip(" \t") for line in lines)
        and all(not is_hidden(each) for each in value)
    )


def _flow(value: Any) -> str | None:
    """A mapping or list of scalars on one line, or None."""
    if isinstance(value, dict):
        if any(isinstance(each, dict | list) for each in value.values()):
            return None
        parts = [f"{_key(key)}: {scalar_text(each, flow=True)}" for key, each in value.items()]
        text = "{" + ", ".join(parts) + "}"
    else:
        if any(isinstance(each, dict | list) for each in value):
            return None
        text = "[" + ", ".join(scalar_text(each, flow=True) or "" for each in value) + "]"
    return text if len(text) <= FLOW_WIDTH and "\n" not in text else ("{}" if value == {} else None)


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise InvalidInput(f"found the key {key!r} in YAML data.", allowed="Allowed: strings.")
    return scalar_text(key, flow=True) or ""


def _block(value: Any, indent: int, depth: int) -> list[str]:
    if depth > MAX_DEPTH:
        raise InvalidInput("found YAML data that is nested too deep.", allowed=f"Allowed: {MAX_DEPTH} levels.")
    pad = " " * indent
    lines: list[str] = []
    if isinstance(value, dict):
        for key, below in value.items():
            lines += _field(f"{pad}{_key(key)}:", below, indent, depth)
        return lines or [f"{pad}{{}}"]
    if not isinstance(value, list):
        raise InvalidInput(f"found {type(value).__name__} in YAML data.", allowed="Allowed: a mapping or a list.")
    for below in value:
        if isinstance(below, dict) and below:
            inner = _block(below, indent + 2, depth + 1)
            lines += [f"{pad}- {inner[0][indent + 2 :]}", *inner[1:]]
        else:
            lines += _field(f"{pad}-", below, indent, depth)
    return lines or [f"{pad}[]"]


def _field(head: str, value: Any, indent: int, depth: int) -> list[str]:
    """What follows `key:` or `-`."""
    if isinstance(value, dict | list):
        flow = _flow(value)
        if flow is not None:
            return [f"{head} {flow}"]
        return [head, *_block(value, indent + 2, depth + 1)]
    text = scalar_text(value)
    if text is not None:
        return [f"{head} {text}"]
    chomp = "" if value.endswith("\n") else "-"
    rows = value.removesuffix("\n").split("\n")
    return [f"{head} |{chomp}", *(" " * (indent + 2) + row if row else "" for row in rows)]
