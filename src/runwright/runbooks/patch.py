"""Where the parts of a runbook stand in its lines, so that text can be patched without touching the rest."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from runwright.runbooks.yaml_nodes import Node, YamlDocument


@dataclass(frozen=True)
class Item:
    """One entry of a block list, in line numbers from 0; ends are exclusive."""

    lead: int
    """First of the comment lines that stand right above it; they go where it goes."""
    dash: int
    end: int
    node: Node


class Lines:
    """A document's lines and what stands on them."""

    def __init__(self, document: YamlDocument) -> None:
        self.document = document
        self.root = document.root
        self.lines = document.text.split("\n")
        if self.lines[-1] == "":
            self.lines.pop()
        self.crlf = bool(self.lines) and self.lines[0].endswith("\r")

    @property
    def patchable(self) -> bool:
        """Whether the document is a block mapping; one in {...} is written anew."""
        return self.root.kind == "mapping" and not self.root.flow

    def section(self, name: str) -> tuple[Node, Node] | None:
        """Key and value of a top-level field."""
        return next(((key, value) for key, value in self.root.entries if key.value == name), None)

    def items(self, section: str) -> list[Item] | None:
        """The entries of a block list, or None if it is absent or written in brackets."""
        found = self.section(section)
        if found is None or found[1].kind != "sequence" or found[1].flow or not found[1].items:
            return None
        column = found[1].start.column
        items: list[Item] = []
        before = found[0].start.line + 1
        for node in found[1].items:
            dash = node.start.line
            while dash > before and self.lines[dash][column : column + 1] != "-":
                dash -= 1
            lead = self._lead(dash, before)
            end = self.end(node)
            items.append(Item(lead, dash, end, node))
            before = end
        return items

    def lead_of(self, key: Node) -> int:
        """First of the comment lines right above a top-level field."""
        before = 0
        for other, value in self.root.entries:
            if other is key:
                break
            before = self.end(value)
        return self._lead(key.start.line, before)

    def _lead(self, line: int, floor: int) -> int:
        while line > floor and self.lines[line - 1].lstrip().startswith("#"):
            line -= 1
        return line

    def end(self, node: Node) -> int:
        """The line after the last one that belongs to a node."""
        node = self._last(node)
        if node.style not in ("|", ">"):
            return node.end.line + 1
        end = node.end.line if node.end.column == 0 else node.end.line + 1
        end = min(end, len(self.lines))
        if not self.keeps_blank_lines(node):
            while end > node.start.line + 1 and not self.lines[end - 1].strip():
                end -= 1
        return end

    def keeps_blank_lines(self, node: Node) -> bool:
        """Whether a node ends in a block (`|+`) to which blank lines behind it would belong."""
        node = self._last(node)
        header = self.lines[node.start.line][node.start.column :]
        return node.style in ("|", ">") and "+" in header.split("#")[0][:3]

    @staticmethod
    def _last(node: Node) -> Node:
        while not node.flow and (node.entries or node.items):
            node = node.entries[-1][1] if node.entries else node.items[-1]
        return node

    def replaced(self, start: int, end: int, text: str) -> str:
        """The document with lines from start up to end replaced; `text` ends its lines with line feeds."""
        mark = "\r" if self.crlf else ""
        fresh = [line + mark for line in text.split("\n")[:-1]]
        return "\n".join([*self.lines[:start], *fresh, *self.lines[end:]]) + "\n"

    def spaced(self, items: list[Item]) -> bool:
        """Whether entries are set apart by blank lines."""
        pairs = list(itertools.pairwise(items))
        return bool(pairs) and all(second.lead > first.end for first, second in pairs)
