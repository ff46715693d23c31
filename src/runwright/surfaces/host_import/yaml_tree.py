"""YAML as Ansible's authors write it: with anchors, merge keys, `yes` for true and `!vault` texts; every node's line.

Runbooks take none of these. Inventories were written for another reader, so they are read with its rules (YAML 1.1),
bounded in depth and size. Nothing recurses while reading, and no tag makes an object.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
)

MOST_NODES = 200_000
DEEPEST = 40

# What ruamel's scanner was seen to raise on hostile text, beside its own errors.
_READER_ERRORS = (YAMLError, ValueError, OverflowError, IndexError, TypeError, AttributeError, AssertionError)

_BOOLEANS = re.compile(r"yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF")
_TRUE = frozenset({"yes", "true", "on"})
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_INTEGER = re.compile(
    r"(?P<sign>[-+]?)(?:0b(?P<two>[01_]+)|0x(?P<sixteen>[0-9a-fA-F_]+)|0(?P<eight>[0-7_]+)|(?P<ten>0|[1-9][0-9_]*)"
    r"|(?P<sixty>[1-9][0-9_]*(?::[0-5]?[0-9])+))"
)
_FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?)")
_BASES = {"two": 2, "eight": 8, "ten": 10, "sixteen": 16}

SECRET_TAGS = ("!vault", "!vault-encrypted")
UNSAFE = "!unsafe"


class Unread(Exception):
    """The text is no such YAML. `line` counts from 1."""

    def __init__(self, message: str, line: int, column: int | None = None) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


@dataclass
class Tree:
    """A node with the line it stands on, from 1."""

    kind: str
    """`scalar`, `mapping` or `sequence`."""
    line: int
    value: Any = None
    entries: list[tuple[Tree, Tree]] = field(default_factory=list)
    items: list[Tree] = field(default_factory=list)

    def plain(self) -> Any:
        """As plain data. What is anchored is shared, never copied without bound: see `read_tree`."""
        if self.kind == "mapping":
            return {str(key.value): value.plain() for key, value in self.entries}
        if self.kind == "sequence":
            return [item.plain() for item in self.items]
        return self.value


def read_tree(text: str) -> Tree | None:
    """The document, None if it is empty. Raises Unread with the place of the first fault."""
    reader = _Reader()
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            reader.take(event)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(part for part in (error.context, error.problem) if part)
        line = mark.line + 1 if mark is not None else reader.line
        raise Unread(f"not YAML: {problem}", line, mark.column + 1 if mark is not None else None) from error
    except _READER_ERRORS as error:
        raise Unread(f"not YAML: {str(error)[:200] or type(error).__name__}", reader.line) from error
    if reader.root is not None:
        _bounded(reader.root)
    return reader.root


def _bounded(root: Tree) -> None:
    """Refuse what aliases blow up: nodes are counted as often as they are reached, without walking them twice."""
    sizes: dict[int, int] = {}
    heights: dict[int, int] = {}
    todo: list[tuple[Tree, bool]] = [(root, False)]
    while todo:
        node, ready = todo.pop()
        below = [*node.items, *(part for entry in node.entries for part in entry)]
        if ready:
            sizes[id(node)] = 1 + sum(sizes[id(item)] for item in below)
            if sizes[id(node)] > MOST_NODES:
                raise Unread(f"found more than {MOST_NODES} values; allowed: as many", node.line)
            heights[id(node)] = 1 + max((heights[id(item)] for item in below), default=0)
            if heights[id(node)] > 2 * DEEPEST:
                raise Unread(f"found nesting deeper than {2 * DEEPEST}; allowed: as deep", node.line)
        elif id(node) not in sizes:
            todo.append((node, True))
            todo += [(item, False) for item in below]


class _Reader:
    """Nodes out of events, with a stack of its own."""

    def __init__(self) -> None:
        self.root: Tree | None = None
        self.line = 1
        self._stack: list[Tree] = []
        self._keys: list[Tree | None] = []
        self._anchors: dict[str, Tree] = {}
        self._pending: list[str | None] = []
        self._count = 0
        self._documents = 0

    def take(self, event: Event) -> None:
        self.line = event.start_mark.line + 1
        if isinstance(event, DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise Unread("found a second document; allowed: one in a file", self.line)
        elif isinstance(event, CollectionEndEvent):
            node = self._stack.pop()
            self._keys.pop()
            anchor = self._pending.pop()
            if anchor is not None:
                # Only now: an alias within what it stands for would have no end.
                self._anchors[anchor] = node
            if node.kind == "mapping":
                _merge(node)
            self._place(node)
        elif isinstance(event, NodeEvent):
            self._node(event)

    def _node(self, event: NodeEvent) -> None:
        self._count += 1
        if self._count > MOST_NODES:
            raise Unread(f"found more than {MOST_NODES} values; allowed: as many", self.line)
        if isinstance(event, AliasEvent):
            known = self._anchors.get(str(event.anchor))
            if known is None:
                raise Unread(f"found alias *{str(event.anchor)[:40]} and no anchor of this name before it", self.line)
            self._place(known)
        elif isinstance(event, ScalarEvent):
            node = Tree("scalar", self.line, self._scalar(event))
            if event.anchor is not None:
                self._anchors[str(event.anchor)] = node
            self._place(node)
        else:
            self._check_tag(event)
            if len(self._stack) >= DEEPEST:
                raise Unread(f"found nesting deeper than {DEEPEST}; allowed: as deep", self.line)
            kind = "mapping" if isinstance(event, MappingStartEvent) else "sequence"
            self._stack.append(Tree(kind, self.line))
            self._keys.append(None)
            self._pending.append(str(event.anchor) if event.anchor is not None else None)

    def _check_tag(self, event: NodeEvent) -> None:
        tag = getattr(event, "tag", None)
        if tag is not None and str(tag) != UNSAFE:
            raise Unread(f"found a tag {str(tag)[:60]}; allowed: !vault and !unsafe", self.line)

    def _scalar(self, event: ScalarEvent) -> Any:
        tag = getattr(event, "tag", None)
        if tag is not None and str(tag) in SECRET_TAGS:
            return {"__ansible_vault": event.value}  # as `ansible-inventory --list` writes it
        self._check_tag(event)
        return resolve(event.value) if not event.style and tag is None else event.value

    def _place(self, node: Tree) -> None:
        if not self._stack:
            self.root = node
            return
        parent = self._stack[-1]
        if parent.kind == "sequence":
            parent.items.append(node)
            return
        key = self._keys[-1]
        if key is None:
            if node.kind != "scalar":
                raise Unread("found a mapping or list as a key; allowed: a name", node.line)
            self._keys[-1] = node
            return
        self._keys[-1] = None
        if key.value != "<<" and any(known.value == key.value for known, _ in _same(parent, key)):
            raise Unread(f"found the key {str(key.value)[:60]!r} twice; allowed: once", key.line)
        parent.entries.append((key, node))
        _index(parent).setdefault(key.value, (key, node))


_Index = dict[Any, tuple[Tree, Tree]]


def _index(node: Tree) -> _Index:
    """Entries by key, kept beside the node while it is read."""
    if not isinstance(node.value, dict):
        node.value = {}
    found: _Index = node.value
    return found


def _same(node: Tree, key: Tree) -> list[tuple[Tree, Tree]]:
    known = _index(node).get(key.value)
    return [known] if known is not None else []


def _merge(node: Tree) -> None:
    """`<<: *defaults`: what the mapping itself does not name comes from there."""
    own = [(key, value) for key, value in node.entries if key.value != "<<"]
    names = {key.value for key, _ in own}
    merged: list[tuple[Tree, Tree]] = []
    for key, value in node.entries:
        if key.value != "<<":
            continue
        for source in value.items if value.kind == "sequence" else [value]:
            if source.kind != "mapping":
                raise Unread("found a merge key << that names no mapping", key.line)
            fresh = [entry for entry in source.entries if entry[0].value not in names]
            names |= {entry[0].value for entry in fresh}
            merged += fresh
    node.entries = merged + own
    node.value = None


def resolve(text: str) -> Any:
    """A plain scalar by the rules of YAML 1.1, which Ansible's reader follows; dates stay text."""
    if text in _NULL:
        return None
    if _BOOLEANS.fullmatch(text):
        return text.lower() in _TRUE
    match = _INTEGER.fullmatch(text) if len(text) < 40 else None
    if match is not None:
        return _integer(match)
    if len(text) < 40 and _FLOAT.fullmatch(text):
        return float(text.replace("_", ""))
    return text


def _integer(match: re.Match[str]) -> int:
    sign = -1 if match["sign"] == "-" else 1
    if match["sixty"]:
        total = 0
        for part in match["sixty"].replace("_", "").split(":"):
            total = total * 60 + int(part)
        return sign * total
    name = next(name for name in _BASES if match[name])
    digits = match[name].replace("_", "")
    return sign * int(digits or "0", _BASES[name])
