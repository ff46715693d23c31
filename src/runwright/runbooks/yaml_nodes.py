"""A YAML document with the place of everything in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

Path = tuple[str | int, ...]
"""Where in the document: mapping keys and sequence indexes."""


@dataclass(frozen=True)
class Mark:
    """A place in the text. All three count from 0."""

    line: int
    column: int
    index: int


@dataclass
class Node:
    """A scalar, mapping or sequence, with its span in the text."""

    kind: str
    """`scalar`, `mapping` or `sequence`."""
    start: Mark
    end: Mark
    value: Any = None
    style: str = ""
    """Of scalars: empty for plain, else the indicator."""
    flow: bool = False
    entries: list[tuple[Node, Node]] = field(default_factory=list)
    items: list[Node] = field(default_factory=list)

    def child(self, part: str | int) -> Node | None:
        """The value under a key or index, or None."""
        if self.kind == "mapping":
            return next((value for key, value in self.entries if key.value == part), None)
        if self.kind == "sequence" and isinstance(part, int) and 0 <= part < len(self.items):
            return self.items[part]
        return None

    def key(self, name: str | int) -> Node | None:
        """The key's own node, or None."""
        return next((key for key, _ in self.entries if key.value == name), None)

    def walk(self) -> Iterator[Node]:
        """This node and all below it; iterative, so depth does not matter."""
        todo = [self]
        while todo:
            node = todo.pop()
            yield node
            todo.extend(node.items)
            for key, value in node.entries:
                todo.extend((key, value))


def path_text(path: Sequence[str | int]) -> str:
    """`('steps', 2, 'timeout')` -> `steps[2].timeout`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else part)
    return text


@dataclass(frozen=True)
class YamlDocument:
    """Plain data, the text it came from, and where each part stands."""

    data: Any
    root: Node
    text: str
    file: str | None = None

    def node(self, path: Sequence[str | int]) -> Node:
        """The node at a path, or the nearest one above it that exists."""
        node = self.root
        for part in path:
            below = node.child(part)
            if below is None:
                return node
            node = below
        return node

    def position(self, path: Sequence[str | int]) -> tuple[int, int]:
        """Line and column, from 1, of the value at a path (or of the nearest part above it)."""
        start = self.node(path).start
        return start.line + 1, start.column + 1

    def key_position(self, path: Sequence[str | int]) -> tuple[int, int]:
        """Line and column, from 1, of the key that a path ends in; of the value where there is no key."""
        if path:
            parent = self.node(path[:-1])
            key = parent.key(path[-1])
            if key is not None:
                return key.start.line + 1, key.start.column + 1
        return self.position(path)
